//! Conversations, operators, watermarks, and the numbers of processes.

use std::collections::BTreeMap;

use async_trait::async_trait;
use uuid::Uuid;

use crate::domain::operator::OperatorRecord;
use crate::domain::{ChannelId, ChatId, CommandId, Customer, Party, UserId};
use crate::storage::{
    ClaimOpen, Conversations, OperatorRecordError, OperatorRecords, Processes, StoreError,
    Watermark, Watermarks, record,
};

use super::ScyllaStore;
use super::errors::{unavailable, unreadable};
use super::limits::CONDITION_TRIES;

/// A compare-and-set that lost every time.
fn contended() -> StoreError {
    unavailable("others change the same row all the time")
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
                    let both = [&statements.talk_first, &statements.talk_command];
                    let first = (channel, id, chat.0);
                    self.db.condition_all(both, (first, by_command)).await?
                }
                Some(present) => {
                    let both = [&statements.talk_next, &statements.talk_command];
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
        let answer = self.db.read(&self.db.statements.talk_latest, values).await?;
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
                        self.db.condition(&statements.talk_next, next).await?
                    }
                    None => {
                        let latest = (channel, id, "", chat.0);
                        self.db.condition(&statements.talk_drop, latest).await?
                    }
                };
                if !applied {
                    continue;
                }
            }
            for (command, _) in commands.iter().filter(|(_, of)| *of == chat) {
                // One that is not applied is gone already.
                let row = (channel, id, command.as_str(), chat.0);
                self.db.condition(&statements.talk_drop, row).await?;
            }
            return Ok(());
        }
        Err(contended())
    }

    async fn any(&self, channel: ChannelId) -> Result<bool, StoreError> {
        let answer = self.db.read(&self.db.statements.channel_used, (channel.0,)).await?;
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
        let answer = self.db.read(&self.db.statements.talk_read, values).await?;
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
        let answer = self.db.read(&self.db.statements.talk_all, of).await?;
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
        self.db.write(&self.db.statements.channel_use, values).await?;
        self.channels_used.insert(channel);
        Ok(())
    }
}

#[async_trait]
impl OperatorRecords for ScyllaStore {
    async fn load(&self, operator: UserId) -> Result<OperatorRecord, OperatorRecordError> {
        let answer = self.db.read(&self.db.statements.operator_load, (operator.0,)).await?;
        match answer.maybe_first_row::<(&[u8],)>().map_err(unreadable)? {
            Some((sealed,)) => Ok(record::decode_operator(operator, sealed)?),
            None => Ok(OperatorRecord::default()),
        }
    }

    async fn save(&self, operator: UserId, record: OperatorRecord) -> Result<(), StoreError> {
        let sealed = record::encode_operator(operator, &record)?;
        let values = (operator.0, sealed, self.db.stamp()?);
        self.db.write(&self.db.statements.operator_save, values).await
    }
}

#[async_trait]
impl Watermarks for ScyllaStore {
    async fn load(&self, chat: ChatId) -> Result<BTreeMap<Party, Watermark>, StoreError> {
        let answer = self.db.read(&self.db.statements.marks_load, (chat.0,)).await?;
        let mut marks = BTreeMap::new();
        for row in answer.rows::<(&[u8], Option<i64>, Option<i64>)>().map_err(unreadable)? {
            let (key, delivered, read) = row.map_err(unreadable)?;
            let party = record::decode_party(key).ok_or_else(|| StoreError::Damaged {
                reason: format!("a watermark of chat {chat} names no party"),
            })?;
            let seq = |mark: Option<i64>| mark.unwrap_or(0).unsigned_abs();
            let (delivered, read) = (seq(delivered), seq(read));
            marks.insert(party, Watermark { delivered, read });
        }
        Ok(marks)
    }

    async fn raise(
        &self,
        chat: ChatId,
        marks: BTreeMap<Party, Watermark>,
    ) -> Result<(), StoreError> {
        let (statements, mut writes) = (&self.db.statements, Vec::new());
        let seq = |mark: u64| i64::try_from(mark).unwrap_or(i64::MAX);
        for (party, mark) in &marks {
            let key = record::encode_party(*party);
            // Nobody has read what was not delivered. Each is its own timestamp.
            let (delivered, read) = (seq(mark.delivered.max(mark.read)), seq(mark.read));
            let values = (delivered, delivered, chat.0, key.clone());
            writes.push((&statements.mark_delivered, values));
            writes.push((&statements.mark_read, (read, read, chat.0, key)));
        }
        if writes.is_empty() {
            return Ok(());
        }
        self.db.write_all(writes).await
    }

    async fn forget(&self, chat: ChatId) -> Result<(), StoreError> {
        // Values are their own timestamps, and all of them are smaller: none is raised any more.
        let values = (self.db.stamp()?, chat.0);
        self.db.write(&self.db.statements.marks_drop, values).await
    }
}

/// The counter of processes.
pub(super) const PROCESS: &str = "process";

#[async_trait]
impl Processes for ScyllaStore {
    async fn begin(&self) -> Result<u64, StoreError> {
        let statements = &self.db.statements;
        for _ in 0..CONDITION_TRIES {
            let answer = self.db.read(&statements.counter_get, (PROCESS,)).await?;
            let row = answer.maybe_first_row::<(i64,)>().map_err(unreadable)?;
            let next = row.map_or(1, |(value,)| value + 1);
            let applied = match row {
                None => self.db.condition(&statements.counter_new, (PROCESS, next)).await?,
                Some((value,)) => {
                    self.db.condition(&statements.counter_set, (next, PROCESS, value)).await?
                }
            };
            if applied {
                return Ok(next.unsigned_abs());
            }
        }
        Err(contended())
    }
}
