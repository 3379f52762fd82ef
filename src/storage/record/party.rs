//! Parties and ids as they are stored: in bodies by name, in keys as bytes.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{CustomerId, Party, UserId};

/// Mirrors [`Party`].
#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum PartyRecord {
    Customer(Uuid),
    User(Uuid),
    System,
}

impl From<Party> for PartyRecord {
    fn from(party: Party) -> Self {
        match party {
            Party::Customer(id) => Self::Customer(id.0),
            Party::User(id) => Self::User(id.0),
            Party::System => Self::System,
        }
    }
}

impl From<PartyRecord> for Party {
    fn from(record: PartyRecord) -> Self {
        match record {
            PartyRecord::Customer(id) => Self::Customer(CustomerId(id)),
            PartyRecord::User(id) => Self::User(UserId(id)),
            PartyRecord::System => Self::System,
        }
    }
}

const CUSTOMER: u8 = b'c';
const USER: u8 = b'u';
const SYSTEM: u8 = b's';

pub(super) fn key(party: Party) -> Vec<u8> {
    let tagged = |tag: u8, id: Uuid| [&[tag], id.as_bytes().as_slice()].concat();
    match party {
        Party::Customer(id) => tagged(CUSTOMER, id.0),
        Party::User(id) => tagged(USER, id.0),
        Party::System => vec![SYSTEM],
    }
}

pub(super) fn from_key(key: &[u8]) -> Option<Party> {
    let (tag, id) = key.split_first()?;
    let uuid = || Uuid::from_slice(id).ok();
    match *tag {
        CUSTOMER => Some(Party::Customer(CustomerId(uuid()?))),
        USER => Some(Party::User(UserId(uuid()?))),
        SYSTEM if id.is_empty() => Some(Party::System),
        _ => None,
    }
}
