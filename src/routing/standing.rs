//! How a member stands towards a chat: the one place in which this is decided.

use crate::domain::Timestamp;
use crate::domain::operator::{OperatorState, Standing};

/// The standing of a member, whatever the chat: by what it told last, less the reservations that
/// are on their way to it.
pub fn of_member(belief: Option<&OperatorState>, on_the_way: u32) -> Standing {
    match belief {
        None => Standing::Unknown,
        Some(state) if has_room(state.standing) && state.free <= on_the_way => Standing::Full,
        Some(state) => state.standing,
    }
}

/// Whether a member counts as eligible: ready and there, full or not.
pub fn is_eligible(standing: Standing) -> bool {
    match standing {
        Standing::Free | Standing::Full | Standing::Kept | Standing::Choosing => true,
        Standing::Unknown
        | Standing::Offline
        | Standing::Away
        | Standing::Busy
        | Standing::NotConnected
        | Standing::CoolingDown
        | Standing::Declined
        | Standing::ShownLately
        | Standing::Asked
        | Standing::NotMember
        | Standing::Owner => false,
    }
}

fn has_room(standing: Standing) -> bool {
    match standing {
        Standing::Free | Standing::Kept => true,
        Standing::Unknown
        | Standing::Offline
        | Standing::Away
        | Standing::Busy
        | Standing::NotConnected
        | Standing::Full
        | Standing::Choosing
        | Standing::CoolingDown
        | Standing::Declined
        | Standing::ShownLately
        | Standing::Asked
        | Standing::NotMember
        | Standing::Owner => false,
    }
}

/// The standing of a member, given the rank of the chat: slots are kept only from larger ones.
pub fn for_rank(member: Standing, kept_below: Option<i64>, rank: i64) -> Standing {
    match kept_below {
        Some(kept) if member == Standing::Kept && rank < kept => Standing::Free,
        Some(_) | None => member,
    }
}

/// A chat's refusal by a member, as it matters now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// When.
    pub at: Timestamp,
    /// Whether another eligible member has not refused it.
    pub others: bool,
}

/// What of a chat stands between it and a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Against {
    /// The member refused it.
    pub refused: Option<Refused>,
    /// The member was offered another chat of the same visitor, and others wait: until then.
    pub shown_until: Option<Timestamp>,
}

/// The standing of a member towards a chat, and until when it holds if time alone ends it.
pub fn towards(
    member: Standing,
    against: Against,
    cool_down_ms: u64,
    now: Timestamp,
) -> (Standing, Option<Timestamp>) {
    if let Some(refused) = against.refused.filter(|_| is_eligible(member)) {
        let until = refused.at.plus_ms(cool_down_ms);
        if now < until {
            return (Standing::CoolingDown, Some(until));
        }
        if refused.others {
            return (Standing::Declined, None);
        }
    }
    match against.shown_until {
        Some(until) if member == Standing::Free && now < until => {
            (Standing::ShownLately, Some(until))
        }
        Some(_) | None => (member, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(100_000);
    const COOL_DOWN_MS: u64 = 1_000;

    fn stands(against: Against) -> (Standing, Option<Timestamp>) {
        towards(Standing::Free, against, COOL_DOWN_MS, NOW)
    }

    #[test]
    fn a_refusal_stands_for_the_cool_down_and_then_while_another_has_not_refused() {
        let refused = |ms_ago, others| {
            let at = Timestamp(NOW.0 - ms_ago);
            stands(Against { refused: Some(Refused { at, others }), shown_until: None })
        };
        let until = Some(NOW.plus_ms(1));
        assert_eq!(refused(COOL_DOWN_MS - 1, false), (Standing::CoolingDown, until));
        assert_eq!(refused(COOL_DOWN_MS, false), (Standing::Free, None));
        assert_eq!(refused(COOL_DOWN_MS, true), (Standing::Declined, None));
    }

    #[test]
    fn another_chat_of_the_visitor_stands_between_them_until_its_time_is_over() {
        let shown = |until| stands(Against { refused: None, shown_until: Some(until) }).0;
        assert_eq!(shown(NOW.plus_ms(1)), Standing::ShownLately);
        assert_eq!(shown(NOW), Standing::Free);
    }

    #[test]
    fn a_kept_slot_is_for_smaller_ranks_only() {
        assert_eq!(for_rank(Standing::Kept, Some(10), 9), Standing::Free);
        assert_eq!(for_rank(Standing::Kept, Some(10), 10), Standing::Kept);
        assert_eq!(for_rank(Standing::Full, Some(10), 9), Standing::Full);
    }
}
