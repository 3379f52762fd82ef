//! Conversations: written on conditions only.

use async_trait::async_trait;
use uuid::Uuid;

use crate::domain::{ChannelId, ChatId, CommandId, Customer};
use crate::storage::{ClaimOpen, Conversations, StoreError};

use super::ScyllaStore;
use super::errors::{contended, unreadable};
use super::limits::CONDITION_TRIES;
use super::statements::statements;

statements! {
    read: SerialRead = "SELECT command, chat FROM %.conversations \
        WHERE channel = ? AND customer = ? AND command IN ('', ?)";
    latest: SerialRead = "SELECT chat FROM %.conversations \
        WHERE channel = ? AND customer = ? AND command = ''";
    all: SerialRead = "SELECT command, chat FROM %.conversations \
        WHERE channel = ? AND customer = ?";
    by_token: Read = "SELECT DISTINCT token(channel, customer), channel, customer FROM %.conversations \
        WHERE token(channel, customer) >= ? AND token(channel, customer) <= ? LIMIT ?";
    first: Condition = "INSERT INTO %.conversations (channel, customer, command, chat) \
        VALUES (?, ?, '', ?) IF NOT EXISTS";
    next: Condition = "UPDATE %.conversations SET chat = ? \
        WHERE channel = ? AND customer = ? AND command = '' IF chat = ?";
    command: Condition = "INSERT INTO %.conversations (channel, customer, command, chat) \
        VALUES (?, ?, ?, ?) IF NOT EXISTS";
    drop: Condition = "DELETE FROM %.conversations \
        WHERE channel = ? AND customer = ? AND command = ? IF chat = ?";
    channel_use: Write = "INSERT INTO %.channels_used (channel) VALUES (?) USING TIMESTAMP ?";
    channel_used: Read = "SELECT channel FROM %.channels_used WHERE channel = ?";
}

#[async_trait]
impl Conversations for ScyllaStore {
    async fn claim_open(
        &self,
        customer: Customer,
        command: &CommandId,
        chat: ChatId,
        after: Option<ChatId>,
    ) -> Result<ClaimOpen, StoreError> {
        let statements = &self.db.statements;
        for _ in 0..CONDITION_TRIES {
            let (latest, opened) = self.talk(customer, command).await?;
            if let Some(opened) = opened {
                return Ok(ClaimOpen::Existing(opened));
            }
            if let Some(present) = latest.filter(|_| latest != after) {
                return Ok(ClaimOpen::Existing(present));
            }
            let (channel, id) = (customer.channel.0, customer.id.0);
            let by_command = (channel, id, command.as_str(), chat.0);
            let applied = match latest {
                None => {
                    // Before, so that a channel with a chat is never taken for one without.
                    self.use_channel(customer.channel).await?;
                    let both = [&statements.conversations.first, &statements.conversations.command];
                    let first = (channel, id, chat.0);
                    self.db.condition_all(both, (first, by_command)).await?
                }
                Some(present) => {
                    let both = [&statements.conversations.next, &statements.conversations.command];
                    let next = (chat.0, channel, id, present.0);
                    self.db.condition_all(both, (next, by_command)).await?
                }
            };
            if applied {
                return Ok(ClaimOpen::Claimed);
            }
        }
        Err(contended())
    }

    async fn latest(&self, customer: Customer) -> Result<Option<ChatId>, StoreError> {
        let values = (customer.channel.0, customer.id.0);
        let answer = self.db.read(&self.db.statements.conversations.latest, values).await?;
        let row = answer.maybe_first_row::<(Uuid,)>().map_err(unreadable)?;
        Ok(row.map(|(chat,)| ChatId(chat)))
    }

    async fn commands(&self, customer: Customer) -> Result<Vec<(CommandId, ChatId)>, StoreError> {
        let (_, mut commands) = self.talks_of(customer).await?;
        commands.sort_unstable();
        Ok(commands)
    }

    async fn forget(&self, customer: Customer, chat: ChatId) -> Result<(), StoreError> {
        let statements = &self.db.statements;
        let (channel, id) = (customer.channel.0, customer.id.0);
        for _ in 0..CONDITION_TRIES {
            let (latest, commands) = self.talks_of(customer).await?;
            // The latest first: it is always that of a command which is there.
            if latest == Some(chat) {
                let before = commands.iter().map(|(_, of)| *of).filter(|of| *of != chat).max();
                let applied = match before {
                    Some(before) => {
                        let next = (before.0, channel, id, chat.0);
                        self.db.condition(&statements.conversations.next, next).await?
                    }
                    None => {
                        let latest = (channel, id, "", chat.0);
                        self.db.condition(&statements.conversations.drop, latest).await?
                    }
                };
                if !applied {
                    continue;
                }
            }
            for (command, _) in commands.iter().filter(|(_, of)| *of == chat) {
                // One that is not applied is gone already.
                let row = (channel, id, command.as_str(), chat.0);
                self.db.condition(&statements.conversations.drop, row).await?;
            }
            return Ok(());
        }
        Err(contended())
    }

    async fn any(&self, channel: ChannelId) -> Result<bool, StoreError> {
        let answer =
            self.db.read(&self.db.statements.conversations.channel_used, (channel.0,)).await?;
        Ok(answer.rows_num() > 0)
    }
}

impl ScyllaStore {
    /// The latest chat, and the one that the command opened.
    async fn talk(
        &self,
        customer: Customer,
        command: &CommandId,
    ) -> Result<(Option<ChatId>, Option<ChatId>), StoreError> {
        let values = (customer.channel.0, customer.id.0, command.as_str());
        let answer = self.db.read(&self.db.statements.conversations.read, values).await?;
        let (mut latest, mut opened) = (None, None);
        for row in answer.rows::<(&str, Uuid)>().map_err(unreadable)? {
            let (command, chat) = row.map_err(unreadable)?;
            let found = if command.is_empty() { &mut latest } else { &mut opened };
            *found = Some(ChatId(chat));
        }
        Ok((latest, opened))
    }

    /// The latest chat, and each command with its chat, read as the conditional writes left them.
    pub(super) async fn talks_of(
        &self,
        customer: Customer,
    ) -> Result<(Option<ChatId>, Vec<(CommandId, ChatId)>), StoreError> {
        let of = (customer.channel.0, customer.id.0);
        let answer = self.db.read(&self.db.statements.conversations.all, of).await?;
        let (mut latest, mut commands) = (None, Vec::new());
        for row in answer.rows::<(&str, Uuid)>().map_err(unreadable)? {
            let (command, chat) = row.map_err(unreadable)?;
            if command.is_empty() {
                latest = Some(ChatId(chat));
            } else {
                let command = CommandId::new(command).map_err(unreadable)?;
                commands.push((command, ChatId(chat)));
            }
        }
        Ok((latest, commands))
    }

    async fn use_channel(&self, channel: ChannelId) -> Result<(), StoreError> {
        if self.channels_used.contains(&channel) {
            return Ok(());
        }
        let values = (channel.0, self.db.stamp()?);
        self.db.write(&self.db.statements.conversations.channel_use, values).await?;
        self.channels_used.insert(channel);
        Ok(())
    }
}
