//! The order of a line.

use crate::domain::{Priority, RoutingSettings, Timestamp};

/// `since − step × (queue priority + chat priority)` in ms, smallest first: priority buys time, so
/// two chats never change their order and old ones win in the end. Ties go to the smaller chat id.
pub fn rank(since: Timestamp, queue: Priority, chat: Priority, settings: &RoutingSettings) -> i64 {
    let points = u64::from(queue.points()) + u64::from(chat.points());
    let bought = settings.priority_step_ms.saturating_mul(points);
    let since = i64::try_from(since.0).unwrap_or(i64::MAX);
    since.saturating_sub(i64::try_from(bought).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(since: u64, chat: u8) -> i64 {
        let settings = RoutingSettings::default();
        rank(Timestamp(since), Priority::default(), Priority::new(chat).unwrap(), &settings)
    }

    #[test]
    fn a_point_of_priority_is_worth_a_minute_of_waiting() {
        assert!(at(59_999, 1) < at(0, 0));
        assert_eq!(at(60_000, 1), at(0, 0));
        assert!(at(60_001, 1) > at(0, 0));
    }
}
