//! What is answered and told once it is durable.

use crate::domain::Timestamp;
use crate::domain::limits::{CALLS_HELD_MAX, REPEAT_MS};
use crate::machine::CallId;

use super::{
    Action, Answer, Driver, Effect, EventSourced, Listing, Lookup, Notices, Outbox, Refuses,
};

impl<A: EventSourced> Driver<A> {
    /// Carries out effects, after the events that they go with are durable.
    pub(super) fn carry_out(
        &mut self,
        now: Timestamp,
        effects: Vec<Effect<A>>,
        actions: &mut Vec<Action<A>>,
    ) {
        for effect in effects {
            match effect {
                Effect::AnswerRecorded(call, seq) => {
                    let at = self.fold.journal().last_at();
                    self.answer(call, Ok(Answer { seq, at }), actions);
                }
                Effect::Answer(call, answer) => self.answer(call, answer, actions),
                Effect::AnswerLater(call, _, _) if self.held.len() >= CALLS_HELD_MAX => {
                    actions.push(Action::Answer(call, Err(A::Refusal::UNAVAILABLE)));
                }
                Effect::AnswerLater(call, party, command) => {
                    self.held.push((call, party, command));
                }
                Effect::Own(effect) => self.fold.carry_out(now, effect, &mut Outbox(actions)),
            }
        }
        let answers = self.fold.journal().answers();
        self.held.retain(|(call, party, command)| match answers.recall(*party, command) {
            Lookup::Pending => true,
            Lookup::Known(answer) => {
                actions.push(Action::Answer(*call, answer));
                false
            }
            Lookup::New => {
                actions.push(Action::Answer(*call, Err(A::Refusal::UNAVAILABLE)));
                false
            }
        });
    }

    /// Gives an answer that the aggregate chose: whatever it says, of no event that is not durable.
    fn answer(
        &self,
        call: CallId,
        answer: Result<Answer, A::Refusal>,
        actions: &mut Vec<Action<A>>,
    ) {
        debug_assert!(
            answer.map_or(true, |answer| answer.seq <= self.tail()),
            "an answer is given before it is durable: {answer:?} of {}",
            self.tail()
        );
        actions.push(Action::Answer(call, answer));
    }

    pub(super) fn say_due(&mut self, now: Timestamp, actions: &mut Vec<Action<A>>) {
        self.notices.say_due(&self.fold, now, &mut Outbox(actions));
    }

    /// Nothing was written: the callers may ask again, the aggregate's own deadlines wait a little. Nor are
    /// those behind: whoever asks again would find what came later in front of its own.
    pub(super) fn unavailable(
        &mut self,
        now: Timestamp,
        calls: impl IntoIterator<Item = CallId>,
        actions: &mut Vec<Action<A>>,
    ) {
        self.quiet_until = now.plus_ms(REPEAT_MS.1);
        let behind = self.behind.drain(..).filter_map(|input| input.call());
        let unavailable = |call| Action::Answer(call, Err(A::Refusal::UNAVAILABLE));
        actions.extend(calls.into_iter().chain(behind).map(unavailable));
        self.list(actions);
    }

    /// Brings the index up to date.
    pub(super) fn list(&mut self, actions: &mut Vec<Action<A>>) {
        self.listing.list(&self.fold, &mut Outbox(actions));
    }
}
