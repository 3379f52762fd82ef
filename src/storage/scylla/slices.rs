//! Parts of a partition by time: ids of chats begin with the milliseconds of their making, so a span
//! of time is a range of keys.

/// A key behind all ids.
pub(super) const END: [u8; 17] = [0xff; 17];

/// A key behind the ids that were made before this time, ms, and before all others.
pub(super) fn key_at(ms: u64) -> Vec<u8> {
    match ms.to_be_bytes() {
        [0, 0, time @ ..] => time.to_vec(),
        _ => END.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ChatId, Timestamp};

    #[test]
    fn keys_lie_between_the_ids_of_their_times() {
        for ms in [0, 1, 60_000, 1_700_000_000_000, (1 << 48) - 1] {
            let first = ChatId::first_at(Timestamp(ms)).0.as_u128();
            assert!(key_at(ms).as_slice() < first.to_be_bytes().as_slice());
            let last = (first | ((1 << 80) - 1)).to_be_bytes();
            assert!(last.as_slice() < key_at(ms + 1).as_slice(), "{ms}");
        }
        assert!(u128::MAX.to_be_bytes().as_slice() < END.as_slice());
    }
}
