//! For when an actor's one timer is armed.

use crate::domain::Timestamp;

/// A timer fires once, at the earliest time that it was armed for. Firing too early is harmless,
/// since a machine only looks at what is due; so a later deadline leaves it as it is. Whoever
/// carries it out keeps one wake-up, of which a new one takes the place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Armed(Option<Timestamp>);

impl Armed {
    /// The next deadline is this. Answers for when to arm the timer, in place of what it was armed
    /// for; none when it fires before that anyway, or nothing is to come.
    pub fn arm(&mut self, next: Option<Timestamp>) -> Option<Timestamp> {
        let next = next.filter(|next| self.0.is_none_or(|armed| *next < armed))?;
        self.0 = Some(next);
        Some(next)
    }

    /// It has fired, or is not wanted any more.
    pub fn disarm(&mut self) {
        self.0 = None;
    }

    /// Whether it is armed for this time: a wake-up for another one was replaced.
    pub fn is_for(&self, at: Timestamp) -> bool {
        self.0 == Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_deadline_moves_it_and_a_later_one_does_not() {
        let mut armed = Armed::default();
        assert_eq!(armed.arm(None), None);
        assert_eq!(armed.arm(Some(Timestamp(20))), Some(Timestamp(20)));
        assert_eq!(armed.arm(Some(Timestamp(20))), None, "it is armed for that already");
        assert_eq!(armed.arm(Some(Timestamp(30))), None);
        assert_eq!(armed.arm(None), None);
        assert!(armed.is_for(Timestamp(20)));
        assert_eq!(armed.arm(Some(Timestamp(10))), Some(Timestamp(10)));
        assert!(armed.is_for(Timestamp(10)) && !armed.is_for(Timestamp(20)));
    }

    #[test]
    fn once_it_has_fired_it_is_armed_for_whatever_comes_next() {
        let mut armed = Armed::default();
        armed.arm(Some(Timestamp(10)));
        armed.disarm();
        assert!(!armed.is_for(Timestamp(10)));
        assert_eq!(armed.arm(Some(Timestamp(30))), Some(Timestamp(30)));
    }
}
