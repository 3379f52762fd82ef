//! What must be so when the router has come to rest.

use switchboard::domain::event::OfferEnd;
use switchboard::domain::limits::{
    OFFER_BACKSTOP_MS, REPEAT_MS, SLOT_KEPT_MAX_MS, TO_ALL_OFFERS_MAX,
};
use switchboard::domain::operator::Standing;
use switchboard::domain::{ChatEvent, ChatId, Offer, Place, QueueId, Reach, Rule, Status, UserId};
use switchboard::machine::chat::Chat;
use switchboard::machine::operator::Held;
use switchboard::machine::queue::{Phase, Queue};

use crate::passed_over::naive_rank;
use crate::world::World;

/// Within this time what a screen shows and what is true agree again, ms.
const AGREES_MS: u64 = 1_000;

/// How long an actor that crashed is away, ms.
const RESTARTED_MS: u64 = 300;

/// How long a message that was lost or late holds up what it said, ms: it comes within 2,500, and is
/// said again within the longest repeat.
const LATE_MS: u64 = 2_500 + REPEAT_MS.1;

impl World {
    /// Everything has come to rest: nothing may be stuck, forgotten or in two places.
    pub fn checker_at_rest(&mut self) {
        for human in 0..self.humans.len() {
            self.check_screen(human);
        }
        for wanted in self.checker.take_hung_up() {
            self.gave_up(&wanted);
        }
        let seed = self.seed;
        let folds: Vec<Chat> = self.checker.folds.values().cloned().collect();
        for fold in &folds {
            self.chat_at_rest(fold);
        }
        for (operator, live) in &self.operators {
            assert!(live.machine.is_live(), "{operator:?} never came to life (seed {seed})");
            for (chat, slot) in live.machine.slots() {
                let place = self.checker.folds.get(chat).and_then(Chat::place);
                let fits = match (&slot.held, place) {
                    (Held::Active, Some(place)) => place.owner() == Some(*operator),
                    (Held::Offered { offer, .. }, Some(Place::Offered(live))) => {
                        live.id == *offer && live.to.contains(operator)
                    }
                    // A person's or a machine's move of the last moment.
                    (Held::Withdrawing { .. }, Some(Place::Offered(_))) => true,
                    _ => false,
                };
                let settled = self.checker.folds.get(chat).is_none_or(|fold| self.settled(fold));
                assert!(
                    fits || !settled,
                    "{operator:?} still holds {chat:?} as {:?}, which is {place:?} (seed {seed})",
                    slot.held
                );
            }
            for (chat, kept) in live.machine.kept() {
                let bound = kept.since.0 + SLOT_KEPT_MAX_MS;
                assert!(
                    kept.until.0 >= self.now && kept.until.0 <= bound,
                    "{operator:?} keeps a slot for {chat:?} for ever (seed {seed})"
                );
            }
            for chat in live.machine.invites().keys() {
                let fold = self.checker.folds.get(chat);
                let offer = fold.and_then(Chat::place).and_then(Place::offer);
                let fits = offer.is_some_and(|offer| offer.to.contains(operator));
                let settled = fold.is_none_or(|fold| self.settled(fold));
                assert!(
                    fits || !settled,
                    "{operator:?} still holds an offer of {chat:?} (seed {seed})"
                );
            }
        }
        let old = self.now.saturating_sub(7_000);
        for (call, since) in &self.call_since {
            let pending = &self.calls.get(call);
            assert!(
                pending.is_none() || *since > old,
                "unanswered since {since} at {}: {pending:?} (seed {seed})",
                self.now
            );
        }
    }

    /// What a screen shows and what is true agree within a second of the last restart, and of the
    /// last word that was held up.
    pub fn check_screen(&mut self, n: usize) {
        let trouble_ms = if self.plan.crashes { RESTARTED_MS } else { LATE_MS };
        let calm = !self.faulty() && self.now > self.last_fault + trouble_ms + AGREES_MS;
        let (human, seed) = (&self.humans[n], self.seed);
        if !calm || !self.up {
            return;
        }
        for (chat, (offer, _)) in &human.offers {
            let fold = self.checker.folds.get(chat);
            let live = fold.and_then(Chat::place).and_then(Place::offer);
            let live = live.is_some_and(|live| live.id == *offer && live.to.contains(&human.id));
            let lately = fold.is_some_and(|fold| self.now <= fold.last_at().0 + AGREES_MS);
            assert!(
                live || lately,
                "{offer:?} of {chat:?} is over and on the screen of {:?} at {} (seed {seed})",
                human.id,
                self.now
            );
        }
        self.coverage.count("odd", "screen compared");
    }

    /// Whether nothing has happened to the chat for long enough that everybody has heard of it.
    pub fn settled(&self, fold: &Chat) -> bool {
        self.now > fold.last_at().0 + 500
    }

    fn chat_at_rest(&mut self, fold: &Chat) {
        let (chat, seed) = (fold.id(), self.seed);
        let Some(at) = fold.at() else { return };
        self.goes_by_the_latest_token(fold);
        assert!(
            self.store.ended.get(&chat) == fold.ended_row().as_ref()
                || self.rows.stale.contains(&chat),
            "{chat:?}: the row among those that have ended (seed {seed})"
        );
        self.rows_are_true(fold);
        self.the_feed_has_all(chat);
        assert!(fold.transfer().is_none(), "{chat:?} is being transferred for ever (seed {seed})");
        match &at.place {
            Place::Waiting => {
                let queue = self.queues.get(&at.queue).map(|live| &live.machine);
                let entry = queue.and_then(|queue| queue.line().get(chat));
                assert!(
                    !self.settled(fold) || entry.is_some_and(|e| e.at.placement == at.placement),
                    "{chat:?} waits and is not in the line of {:?} (seed {seed})",
                    at.queue
                );
                if let (Some(queue), Some(entry)) = (queue, entry) {
                    if entry.phase == Phase::Waiting {
                        self.nobody_free(fold, queue);
                    } else {
                        let under_way = self.checker.under_way.insert(chat, at.placement);
                        let stuck = under_way == Some(at.placement);
                        assert!(!stuck, "{chat:?} is {:?} for ever (seed {seed})", entry.phase);
                    }
                    self.explained(fold, queue);
                }
            }
            Place::Offered(offer) => {
                let over = offer.expires_at.0 + OFFER_BACKSTOP_MS + REPEAT_MS.1;
                assert!(self.now < over, "{chat:?} is offered for ever (seed {seed})");
                if offer.reach == Reach::ToAll
                    && let Some(queue) = self.queues.get(&at.queue).map(|live| &live.machine)
                {
                    self.everybody_free_sees(fold, offer, queue);
                }
            }
            Place::Assigned { owner, .. } => {
                let live = self.operators.get(owner).map(|live| &live.machine);
                let slot = live.and_then(|operator| operator.slots().get(&chat));
                assert!(
                    !self.settled(fold) || slot.is_some_and(|slot| slot.held == Held::Active),
                    "{chat:?} is owned by {owner:?}, who holds {slot:?} (seed {seed})"
                );
                self.owner_is_not_absent(fold, *owner);
                assert!(
                    !self.settled(fold) || !self.inactive.contains(owner),
                    "{chat:?} stays with {owner:?}, who is deactivated (seed {seed})"
                );
            }
            Place::Ended { .. } => {
                assert!(self.index(chat).get(chat).is_none(), "{chat:?} ended and is listed");
            }
        }
    }

    /// Nobody is absent from a chat for longer than its queue allows.
    fn owner_is_not_absent(&self, fold: &Chat, owner: UserId) {
        let Some(at) = fold.at() else { return };
        let limit = self.configs.get(&at.queue).and_then(|queue| queue.absent_owner_limit_ms);
        let (Some(limit), Some(since)) = (limit, self.checker.absent_since.get(&owner)) else {
            return;
        };
        let over = since.max(&at.moved_at.0) + limit + REPEAT_MS.1 + 500;
        assert!(
            self.now < over || !self.settled(fold),
            "{:?} stays with {owner:?}, who is absent since {since} (seed {})",
            at.chat,
            self.seed
        );
    }

    /// An offer to all is over, in quiet times: everybody who was free had it.
    pub fn check_who_saw(&self, chat: ChatId, event: &ChatEvent) {
        let how = match event {
            ChatEvent::OfferEnded { how, .. } => *how,
            _ => return,
        };
        let Some(fold) = self.checker.folds.get(&chat) else { return };
        let queue = fold.at().and_then(|at| Some(&self.queues.get(&at.queue)?.machine));
        let offer = fold.place().and_then(Place::offer);
        if let (OfferEnd::Lapsed, Some(offer), Some(queue)) = (how, offer, queue)
            && offer.reach == Reach::ToAll
            && self.quiet_for_long()
        {
            self.everybody_free_sees(fold, offer, queue);
        }
    }

    /// Whoever could accept an offer to all has it on the screen, also who came free later.
    fn everybody_free_sees(&self, fold: &Chat, offer: &Offer, queue: &Queue) {
        let Some(at) = fold.at() else { return };
        if queue.config().rule != Rule::ToAll {
            return;
        }
        for operator in queue.config().members.iter().filter(|who| !offer.to.contains(who)) {
            let Some(live) = self.operators.get(operator).map(|live| &live.machine) else {
                continue;
            };
            let towards = live.towards(at.queue);
            let free = towards.standing == Standing::Free && towards.free > 0;
            let free = free && self.now > live.idle_since().0 + 500;
            let cooled =
                at.refused_by.values().all(|at| self.now > at.0 + self.settings.cool_down_ms + 500);
            assert!(
                !free
                    || !cooled
                    || self.shown_lately(queue, at.chat, *operator)
                    || !self.settled(fold)
                    || self.checker.excluded(queue, *operator, &at.refused_by, self.now()),
                "{operator:?} is free and does not see {:?}, which is offered to all (seed {})",
                at.chat,
                self.seed
            );
        }
    }

    /// Whether the operator need not be asked yet for another chat of the visitor, or is just about
    /// to be.
    fn shown_lately(&self, queue: &Queue, chat: ChatId, operator: UserId) -> bool {
        let ms = self.settings.visitor_offer_every_ms + 500;
        self.checker.shown_within(queue, (chat, operator), self.now(), ms)
            || self.checker.asked_within(queue, (chat, operator), self.now(), 500)
    }

    /// Since when the operator has been `offline` or without a proven connection.
    pub fn look_who_is_absent(&mut self, operator: UserId) {
        let Some(live) = self.operators.get(&operator) else { return };
        if *live.machine.status() == Status::Offline || !live.machine.is_present() {
            self.checker.absent_since.entry(operator).or_insert(self.now);
        } else {
            self.checker.absent_since.remove(&operator);
        }
    }

    /// No waiting chat stands beside a free eligible operator, by the operators' own word.
    fn nobody_free(&self, fold: &Chat, queue: &Queue) {
        let beside = self.free_beside(fold, queue);
        assert!(
            beside.is_none(),
            "{:?} waits beside {beside:?}, who is free, in {:?} at {} (seed {})",
            fold.id(),
            queue.config().rule,
            self.now,
            self.seed
        );
    }

    /// A free eligible operator beside whom the chat waits, though nothing has happened to it lately.
    pub fn free_beside(&self, fold: &Chat, queue: &Queue) -> Option<UserId> {
        let (at, now) = (fold.at()?, self.now);
        let rule = queue.config().rule;
        let out = queue.line().entries().filter(|e| e.phase != Phase::Waiting).count();
        if rule == Rule::Manual || (rule == Rule::ToAll && out >= TO_ALL_OFFERS_MAX) {
            return None;
        }
        let cool_down_ms = self.settings.cool_down_ms;
        let cooled = at.refused_by.values().all(|refused| now > refused.0 + cool_down_ms + 500);
        if !cooled || !self.settled(fold) {
            return None;
        }
        let mut members = queue.config().members.iter().copied();
        members.find(|operator| {
            let Some(live) = self.operators.get(operator).map(|live| &live.machine) else {
                return false;
            };
            let towards = live.towards(at.queue);
            let free = towards.free > 0
                && match (towards.standing, towards.kept_below) {
                    (Standing::Free, _) => true,
                    (Standing::Kept, Some(below)) => naive_rank(queue, &at, &self.settings) < below,
                    _ => false,
                };
            let free = free && now > live.idle_since().0 + 500;
            // What was kept until a moment ago is being given away.
            let just = cool_down_ms.saturating_sub(500);
            let free = free && !live.passed().values().any(|p| p.until.0 > now + just);
            free && !self.checker.excluded(queue, *operator, &at.refused_by, self.now())
                && !self.shown_lately(queue, at.chat, *operator)
        })
    }

    /// The explanation says what is so: it counts every member once, and names nobody as free.
    fn explained(&self, fold: &Chat, queue: &Queue) {
        let chat = fold.id();
        let Some(why) = queue.explain(chat, self.now()) else {
            return;
        };
        let members: QueueId = why.queue;
        let counted: u32 = why.standings.values().sum();
        assert_eq!(counted as usize, self.configs[&members].members.len(), "{why:?}");
        assert!(why.position >= 1, "{why:?}");
        for candidate in &why.candidates {
            if let Some(until) = candidate.until {
                assert!(until > self.now(), "{why:?}");
            }
        }
    }
}
