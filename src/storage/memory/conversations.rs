//! Which chat a customer is in, in memory.

use async_trait::async_trait;

use crate::domain::{ChannelId, ChatId, CommandId, Customer};
use crate::storage::{ClaimOpen, Conversations, StoreError};

use super::{FaultAt, MemoryStore, State};

impl State {
    /// In the order of the commands' texts.
    pub(super) fn commands_of(&self, customer: Customer) -> Vec<(CommandId, ChatId)> {
        let commands = self.commands.iter().filter(|((of, _), _)| *of == customer);
        let mut commands: Vec<_> = commands.map(|((_, id), chat)| (id.clone(), *chat)).collect();
        commands.sort_unstable();
        commands
    }
}

#[async_trait]
impl Conversations for MemoryStore {
    async fn claim_open(
        &self,
        customer: Customer,
        command: &CommandId,
        chat: ChatId,
        after: Option<ChatId>,
    ) -> Result<ClaimOpen, StoreError> {
        self.write(FaultAt::Conversations, |state| {
            let opened = (customer, command.clone());
            if let Some(opened) = state.commands.get(&opened) {
                return Ok(ClaimOpen::Existing(*opened));
            }
            let present = state.latest.get(&customer).copied();
            if let Some(present) = present.filter(|_| present != after) {
                return Ok(ClaimOpen::Existing(present));
            }
            state.latest.insert(customer, chat);
            state.commands.insert(opened, chat);
            Ok(ClaimOpen::Claimed)
        })
    }

    async fn latest(&self, customer: Customer) -> Result<Option<ChatId>, StoreError> {
        Ok(self.lock().latest.get(&customer).copied())
    }

    async fn commands(&self, customer: Customer) -> Result<Vec<(CommandId, ChatId)>, StoreError> {
        Ok(self.lock().commands_of(customer))
    }

    async fn forget(&self, customer: Customer, chat: ChatId) -> Result<(), StoreError> {
        self.write(FaultAt::Forget, |state| {
            state.commands.retain(|(of, _), opened| *of != customer || *opened != chat);
            if state.latest.get(&customer) == Some(&chat) {
                let left = state.commands_of(customer);
                match left.into_iter().map(|(_, chat)| chat).max() {
                    Some(before) => state.latest.insert(customer, before),
                    None => state.latest.remove(&customer),
                };
            }
            Ok(())
        })
    }

    async fn any(&self, channel: ChannelId) -> Result<bool, StoreError> {
        Ok(self.lock().latest.keys().any(|of| of.channel == channel))
    }
}
