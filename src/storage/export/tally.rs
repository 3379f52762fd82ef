//! Counts and checksums over what a store holds, whatever order it is read in.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What a store holds, by sections. Their order is that of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// Configuration, sessions, keys.
    Documents,
    /// Records of operators.
    Operators,
    /// Customers with their commands.
    Conversations,
    /// The logs.
    Chats,
    /// How far participants have come.
    Watermarks,
    /// The index of open chats.
    OpenChats,
    /// The audit trail.
    Audit,
}

impl Section {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Documents,
        Self::Operators,
        Self::Conversations,
        Self::Chats,
        Self::Watermarks,
        Self::OpenChats,
        Self::Audit,
    ];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Documents => "documents",
            Self::Operators => "operators",
            Self::Conversations => "conversations",
            Self::Chats => "chats",
            Self::Watermarks => "chats with watermarks",
            Self::OpenChats => "open chats",
            Self::Audit => "entries of the audit trail",
        }
    }
}

/// A number of items and the sum of their SHA-256 hashes: equal for equal sets of items.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// The sum, as four numbers of 64 bits that are each added modulo 2^64 (the hash's bytes from
    /// its front, little-endian), in hexadecimal digits.
    #[serde(with = "hex")]
    sum: [u64; 4],
}

impl Tally {
    /// Adds an item by its hash.
    pub(super) fn add(&mut self, item: Sha256) {
        let hash: [u8; 32] = item.finalize().into();
        let (parts, _) = hash.as_chunks::<8>();
        for (sum, part) in self.sum.iter_mut().zip(parts) {
            *sum = sum.wrapping_add(u64::from_le_bytes(*part));
        }
        self.count += 1;
    }
}

mod hex {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(sum: &[u64; 4], to: S) -> Result<S::Ok, S::Error> {
        let [a, b, c, d] = sum;
        to.serialize_str(&format!("{a:016x}{b:016x}{c:016x}{d:016x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u64; 4], D::Error> {
        let text = String::deserialize(from)?;
        let mut sum = [0; 4];
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(Error::custom("a sum has 64 hexadecimal digits"));
        }
        for (part, digits) in sum.iter_mut().zip(digits.chunks(16)) {
            let digits = std::str::from_utf8(digits).map_err(Error::custom)?;
            *part = u64::from_str_radix(digits, 16).map_err(Error::custom)?;
        }
        Ok(sum)
    }
}

/// All that a store holds, counted and summed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Each section; one without items may be absent.
    pub sections: BTreeMap<Section, Tally>,
    /// Events of all chats.
    pub events: u64,
    /// The number that the last process got. A store that it was copied into may have a higher one.
    pub process: u64,
    /// Chats that could not be copied whole.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub damaged: BTreeSet<Uuid>,
    /// Documents that could not be copied: kind and id, with a `/` in between.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub damaged_documents: BTreeSet<String>,
    /// Operators whose records could not be copied.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub damaged_operators: BTreeSet<Uuid>,
}

impl Summary {
    /// How many items a section has.
    pub fn count(&self, section: Section) -> u64 {
        self.sections.get(&section).map_or(0, |tally| tally.count)
    }

    pub(super) fn tally(&mut self, section: Section) -> &mut Tally {
        self.sections.entry(section).or_default()
    }

    /// The first difference to what should be there, in words; the process aside.
    pub(super) fn differs(&self, should: &Self) -> Option<String> {
        for section in Section::ALL {
            let (found, wanted) = (self.count(section), should.count(section));
            let name = section.name();
            if found != wanted {
                return Some(format!("{found} {name} instead of {wanted}"));
            }
            if self.sections.get(&section) != should.sections.get(&section) && wanted > 0 {
                return Some(format!("{wanted} {name}, but not all as they were"));
            }
        }
        let (found, wanted) = (self.events, should.events);
        (found != wanted).then(|| format!("{found} events instead of {wanted}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(items: &[&str]) -> Tally {
        let mut tally = Tally::default();
        items.iter().for_each(|item| tally.add(Sha256::new_with_prefix(item)));
        tally
    }

    #[test]
    fn equal_for_equal_items_in_any_order_and_for_no_others() {
        assert_eq!(tally(&["a", "b"]), tally(&["b", "a"]));
        assert_ne!(tally(&["a", "b"]), tally(&["a", "c"]));
        assert_ne!(tally(&["a", "a"]), tally(&["a"]));
        assert_ne!(tally(&["a", "a"]), tally(&["b", "b"]), "equal ones do not cancel out");
    }

    #[test]
    fn as_many_others_are_a_difference() {
        let of = |items: &[&str]| Summary {
            sections: BTreeMap::from([(Section::Audit, tally(items))]),
            ..Summary::default()
        };
        assert_eq!(of(&["a", "b"]).differs(&of(&["b", "a"])), None);
        let differs = of(&["a", "c"]).differs(&of(&["a", "b"]));
        let said = "2 entries of the audit trail, but not all as they were";
        assert_eq!(differs.as_deref(), Some(said));
        assert_eq!(of(&[]).differs(&Summary::default()), None, "none are none, named or not");
    }

    #[test]
    fn is_written_and_read() {
        let some = tally(&["a", "b", "c"]);
        let text = serde_json::to_string(&some).unwrap();
        assert_eq!(serde_json::from_str::<Tally>(&text).unwrap(), some);
        assert!(serde_json::from_str::<Tally>(&text.replace("\"sum\":\"", "\"sum\":\"0")).is_err());
    }
}
