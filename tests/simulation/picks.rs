//! Whom a queue asks: by its rule, by what it was told, and all of them where the rule says all. Judged
//! by [`Hearing`] alone, with the rules written anew.

use std::collections::BTreeSet;

use switchboard::domain::{ChatId, OfferId, QueueId, Reach, Rule, Timestamp, UserId};
use switchboard::machine::message::{ChatAt, Quote, ToChat, ToOperator, ToQueue};
use switchboard::machine::queue::{Queue, QueueEffect, QueueInput};

use crate::check::Checker;
use crate::coverage::Coverage;
use crate::heard::{Hearing, Offering, Reserving, to_chats, to_operators};
use crate::world::World;

/// One step of a queue, to be judged.
struct Step<'a> {
    queue: QueueId,
    hearing: &'a mut Hearing,
    /// Only for who was shown other chats of a visitor, which the logs say.
    checker: &'a Checker,
    machine: &'a Queue,
    coverage: &'a mut Coverage,
    now: Timestamp,
    seed: u64,
}

impl World {
    /// After a step of the queue.
    pub fn judge_queue(&mut self, queue: QueueId, input: &QueueInput, effects: &[QueueEffect]) {
        let now = self.now();
        let (Some(hearing), Some(live)) =
            (self.heard.get_mut(&queue), self.queues.get(&queue).map(|live| &live.machine))
        else {
            return;
        };
        hearing.hear(input, now);
        hearing.give_up(input, effects);
        let mut step = Step {
            queue,
            hearing,
            checker: &self.checker,
            machine: live,
            coverage: &mut self.coverage,
            now,
            seed: self.seed,
        };
        step.quoted(input, effects);
        step.given(input, effects);
        step.offered_directly(input, effects);
        step.reserved(effects);
        step.offered_to_all(effects);
        step.widened(effects);
        step.ended(effects);
        // Only these change who is a member, or to whom chats are offered.
        if !matches!(
            input,
            QueueInput::Said(
                ToQueue::State(_)
                    | ToQueue::Pull { .. }
                    | ToQueue::Give { .. }
                    | ToQueue::ReserveAnswer { .. }
            ) | QueueInput::Tick
        ) {
            step.no_stranger_is_asked();
        }
        step.nobody_is_left_out();
    }
}

/// Whether the operator need not be asked for the chat, for it was shown another of its visitor.
pub fn may_wait(
    checker: &Checker,
    hearing: &Hearing,
    machine: &Queue,
    (chat, operator): (ChatId, UserId),
    now: Timestamp,
) -> bool {
    let case = (chat, operator);
    checker.shown_lately(machine, chat, operator, now)
        || (hearing.has_nameless()
            && checker.shown_within(machine, case, now, checker.settings.visitor_offer_every_ms))
}

impl Step<'_> {
    fn may_wait(&self, chat: ChatId, operator: UserId) -> bool {
        may_wait(self.checker, self.hearing, self.machine, (chat, operator), self.now)
    }

    fn able(&self, at: &ChatAt) -> Vec<UserId> {
        self.hearing.able(&self.hearing.with_room(), at, self.now)
    }

    // ---- pull: the best chat for one operator ----

    /// The chats that the operator could be given or shown, smallest rank first.
    fn fit_for(&self, operator: UserId, except: &[ChatId]) -> Vec<((i64, ChatId), Reach)> {
        let hearing = &self.hearing;
        if !hearing.config.members.contains(&operator) {
            return Vec::new();
        }
        let serves = |at: &&ChatAt| hearing.could_serve(operator, at, self.now);
        let waiting = hearing.waiting().into_iter().filter(serves);
        let mut fit: Vec<_> = match hearing.config.rule {
            Rule::LeastLoaded | Rule::LongestIdle => {
                waiting.map(|at| (hearing.rank(at), Reach::Directed)).collect()
            }
            Rule::ToAll => {
                let places = hearing.has_room_to_all(self.now) == Some(true);
                let out = hearing.to_all().filter(|at| !hearing.is_silent(at.chat, self.now));
                let all = out.filter(serves).chain(waiting.filter(|_| places));
                let all = all.filter(|at| !except.contains(&at.chat));
                all.map(|at| (hearing.rank(at), Reach::ToAll)).collect()
            }
            Rule::Manual => Vec::new(),
        };
        fit.sort_by_key(|(rank, _)| *rank);
        fit
    }

    /// The answer to a pull names the best.
    fn quoted(&mut self, input: &QueueInput, effects: &[QueueEffect]) {
        let QueueInput::Said(ToQueue::Pull { pull, except, state }) = input else { return };
        let operator = state.operator;
        let best = to_operators(effects).find_map(|(to, said)| match said {
            ToOperator::Best { pull: of, best, .. } if of == pull && to == operator => Some(*best),
            _ => None,
        });
        let Some(best) = best else {
            panic!("{:?} does not answer the pull of {operator:?} (seed {})", self.queue, self.seed)
        };
        let unclear = self.hearing.has_room_to_all(self.now).is_none()
            || self.hearing.doubts_silence(self.now);
        if self.hearing.config.rule == Rule::ToAll && unclear {
            return;
        }
        let fit = self.fit_for(operator, except);
        if let Some(Quote { rank, chat, reach, .. }) = best {
            assert!(
                fit.contains(&((rank, chat), reach)),
                "{:?} quotes {best:?} to {operator:?} at {}, of {fit:?} (seed {})",
                self.queue,
                self.now,
                self.seed
            );
        }
        let known = best.map(|best| (best.rank, best.chat));
        for (rank, _) in fit.iter().take_while(|(rank, _)| Some(*rank) != known) {
            assert!(
                self.may_wait(rank.1, operator),
                "{:?} quotes {best:?} to {operator:?} at {} instead of {rank:?} (seed {})",
                self.queue,
                self.now,
                self.seed
            );
        }
        self.coverage.count("judged", if best.is_some() { "quote" } else { "no quote" });
    }

    /// A slot that was given is used, for the best chat up to the rank that was quoted.
    fn given(&mut self, input: &QueueInput, effects: &[QueueEffect]) {
        let QueueInput::Said(ToQueue::Give { offer, rank: quoted, expires_at, state, .. }) = input
        else {
            return;
        };
        let operator = state.operator;
        let answer = to_operators(effects).find_map(|(_, said)| match said {
            ToOperator::GiveAnswer { offer: of, chat } if of == offer => Some(*chat),
            _ => None,
        });
        let Some(answer) = answer else {
            panic!("{:?} does not answer for {offer:?} (seed {})", self.queue, self.seed)
        };
        let directed = matches!(self.hearing.config.rule, Rule::LeastLoaded | Rule::LongestIdle);
        if !directed || self.now >= *expires_at {
            return;
        }
        if let Some(first) = self.hearing.given.get(offer) {
            assert_eq!(answer, Some(*first), "a repeated {offer:?} (seed {})", self.seed);
            return;
        }
        let fit = self.fit_for(operator, &[]);
        let wanted = fit.iter().map(|(rank, _)| *rank).take_while(|rank| rank.0 <= *quoted);
        let wanted: Vec<_> = wanted.collect();
        if let Some(chat) = answer {
            assert!(
                wanted.iter().any(|rank| rank.1 == chat),
                "{:?} gives {chat:?} to {operator:?}, who holds a slot for {wanted:?} (seed {})",
                self.queue,
                self.seed
            );
        }
        for rank in wanted.iter().take_while(|rank| Some(rank.1) != answer) {
            assert!(
                self.may_wait(rank.1, operator),
                "{:?} gives {answer:?} to {operator:?} at {} instead of {rank:?} (seed {})",
                self.queue,
                self.now,
                self.seed
            );
        }
        if let Some(chat) = answer {
            let (offer, since) = (*offer, self.now);
            let offering = Offering { offer, reach: Reach::Directed, since };
            self.hearing.offering.insert(chat, offering);
            self.hearing.given.insert(offer, chat);
            self.coverage.count("judged", "slot given");
        }
    }

    // ---- push ----

    /// Offers to one operator go to the one who holds a slot for it.
    fn offered_directly(&mut self, input: &QueueInput, effects: &[QueueEffect]) {
        for (chat, said) in to_chats(effects) {
            let ToChat::Offer { offer, reach: Reach::Directed, to, .. } = said else { continue };
            if self.hearing.offering.get(&chat).is_some_and(|known| known.offer == *offer) {
                continue;
            }
            let held = matches!(
                input,
                QueueInput::Said(ToQueue::ReserveAnswer { offer: of, chat: c, result: Ok(()), state })
                    if of == offer && *c == chat && to[..] == [state.operator]
            );
            assert!(
                held,
                "{chat:?} is to offer itself to {to:?}, who holds no slot for it: {input:?} (seed {})",
                self.seed
            );
            let offering = Offering { offer: *offer, reach: Reach::Directed, since: self.now };
            self.hearing.offering.insert(chat, offering);
        }
    }

    /// Slots are asked for chat by chat in the order of the line, each of whom the rule prefers.
    fn reserved(&mut self, effects: &[QueueEffect]) {
        let mut fresh: Vec<((i64, ChatId), OfferId, UserId)> = Vec::new();
        for (operator, said) in to_operators(effects) {
            if let ToOperator::Reserve { offer, chat, rank, .. } = said {
                let at = self.hearing.line.get(chat);
                let ranks = at.map(|at| self.hearing.rank(at));
                assert_eq!(
                    ranks,
                    Some((*rank, *chat)),
                    "the rank of {chat:?} in {:?} at {} (seed {})",
                    self.queue,
                    self.now,
                    self.seed
                );
                if self.hearing.is_new(*offer) {
                    fresh.push(((*rank, *chat), *offer, operator));
                }
            }
        }
        fresh.sort_by_key(|(rank, ..)| *rank);
        for ((_, chat), offer, operator) in fresh {
            let at = self.hearing.line[&chat].clone();
            assert!(self.hearing.waits(&at), "{chat:?} is asked for twice (seed {})", self.seed);
            let able = self.able(&at);
            assert!(
                able.contains(&operator),
                "{:?} asks {operator:?} for {chat:?} at {}, who stands as {:?} (seed {})",
                self.queue,
                self.now,
                self.hearing.towards(operator, &at, self.now),
                self.seed
            );
            let asked = self.hearing.preference(operator);
            for better in able.iter().filter(|who| self.hearing.preference(**who) < asked) {
                assert!(
                    self.may_wait(chat, *better),
                    "{:?} asks {operator:?} {asked:?} for {chat:?} at {}, its rule {:?} prefers \
                     {better:?} {:?} (seed {})",
                    self.queue,
                    self.now,
                    self.hearing.config.rule,
                    self.hearing.preference(*better),
                    self.seed
                );
            }
            let name = match (able.len(), self.hearing.config.rule) {
                (0 | 1, _) => "the only one is asked",
                (_, Rule::LongestIdle) => "the longest idle of several",
                (_, Rule::LeastLoaded) => "the least loaded of several",
                (_, rule @ (Rule::ToAll | Rule::Manual)) => {
                    panic!("{rule:?} asks {operator:?} to hold a slot (seed {})", self.seed)
                }
            };
            self.coverage.count("judged", name);
            self.hearing.reserving.insert(chat, Reserving { offer, operator });
        }
    }

    // ---- to all ----

    /// Everybody who could have the chat is asked, and nobody else.
    fn covers(&self, at: &ChatAt, to: &BTreeSet<UserId>, what: &str) {
        let able = self.able(at);
        if let Some(stranger) = to.iter().find(|who| !able.contains(who)) {
            panic!(
                "{:?} {what} {:?} to {stranger:?} at {}, who stands as {:?} (seed {})",
                self.queue,
                at.chat,
                self.now,
                self.hearing.towards(*stranger, at, self.now),
                self.seed
            );
        }
        let live = at.place.offer().map(|offer| &*offer.to);
        let has = |who: &UserId| to.contains(who) || live.is_some_and(|live| live.contains(who));
        for operator in able.iter().filter(|who| !has(who)) {
            assert!(
                self.may_wait(at.chat, *operator),
                "{:?} {what} {:?} to {to:?} at {}, but not to {operator:?}, who could have it \
                 (seed {})",
                self.queue,
                at.chat,
                self.now,
                self.seed
            );
        }
    }

    fn offered_to_all(&mut self, effects: &[QueueEffect]) {
        let mut fresh = Vec::new();
        for (chat, said) in to_chats(effects) {
            if let ToChat::Offer { offer, reach: Reach::ToAll, to, .. } = said
                && self.hearing.offering.get(&chat).is_none_or(|known| known.offer != *offer)
                && let Some(at) = self.hearing.line.get(&chat)
            {
                fresh.push((self.hearing.rank(at), *offer, to));
            }
        }
        fresh.sort_by_key(|(rank, ..)| *rank);
        for ((_, chat), offer, to) in fresh {
            let at = self.hearing.line[&chat].clone();
            assert!(self.hearing.waits(&at), "{chat:?} is offered twice (seed {})", self.seed);
            assert_eq!(self.hearing.config.rule, Rule::ToAll, "{chat:?} (seed {})", self.seed);
            self.covers(&at, &to.iter().copied().collect(), "offers");
            self.coverage.count("judged", "offer to all");
            let offering = Offering { offer, reach: Reach::ToAll, since: self.now };
            self.hearing.offering.insert(chat, offering);
        }
    }

    fn widened(&mut self, effects: &[QueueEffect]) {
        for (chat, said) in to_chats(effects) {
            let ToChat::Widen { offer, to, .. } = said else { continue };
            let to: BTreeSet<UserId> = to.iter().copied().collect();
            if self.hearing.widening.get(&chat) == Some(&to) {
                continue;
            }
            let Some(at) = self.hearing.line.get(&chat).cloned() else {
                panic!(
                    "{chat:?} is widened in {:?} and not in its line (seed {})",
                    self.queue, self.seed
                )
            };
            let live = at.place.offer();
            assert!(
                live.is_some_and(|live| live.id == *offer && live.to.is_disjoint(&to)),
                "{:?} widens {offer:?} of {chat:?} to {to:?}, which is {live:?} (seed {})",
                self.queue,
                self.seed
            );
            self.covers(&at, &to, "widens");
            self.coverage.count("judged", "offer widened");
            self.hearing.widening.insert(chat, to);
        }
    }

    /// What the queue says of the end of offers.
    fn ended(&mut self, effects: &[QueueEffect]) {
        for (chat, said) in to_chats(effects) {
            match said {
                ToChat::Lapse { .. } => self.hearing.lapses(chat, self.now),
                ToChat::Withdraw { operator, .. } => {
                    self.hearing.withdrawn.insert((chat, *operator));
                }
                _ => {}
            }
        }
    }

    // ---- after the step ----

    /// No live offer goes to who is no member.
    fn no_stranger_is_asked(&self) {
        let hearing = &self.hearing;
        for at in hearing.line.values() {
            for operator in at.place.offer().iter().flat_map(|offer| offer.to.iter()) {
                assert!(
                    hearing.config.members.contains(operator)
                        || hearing.withdrawn.contains(&(at.chat, *operator)),
                    "{:?} is offered to {operator:?}, who is no member of {:?} (seed {})",
                    at.chat,
                    self.queue,
                    self.seed
                );
            }
        }
    }

    /// By what the queue has heard, no chat waits beside a member who could have it, and no live offer
    /// passes one by.
    fn nobody_is_left_out(&self) {
        let hearing = &self.hearing;
        let room = hearing.with_room();
        if hearing.config.rule == Rule::Manual || room.is_empty() {
            return;
        }
        let to_all = hearing.config.rule == Rule::ToAll;
        let nobody = BTreeSet::new();
        for at in hearing.to_all().filter(|_| to_all) {
            if at.place.offer().is_some() && !hearing.is_silent(at.chat, self.now) {
                let widening = hearing.widening.get(&at.chat).unwrap_or(&nobody);
                let mut left_out = hearing.able(&room, at, self.now);
                let live = at.place.offer().map(|offer| &*offer.to);
                left_out.retain(|who| {
                    !widening.contains(who) && !live.is_some_and(|live| live.contains(who))
                });
                left_out.retain(|who| !self.may_wait(at.chat, *who));
                assert!(
                    left_out.is_empty(),
                    "{:?} is offered to all in {:?}, but not to {left_out:?}, who could have it, at \
                     {} (seed {})",
                    at.chat,
                    self.queue,
                    self.now,
                    self.seed
                );
            }
        }
        if to_all && hearing.has_room_to_all(self.now) != Some(true) {
            return;
        }
        for at in hearing.waiting() {
            let beside = hearing
                .able(&room, at, self.now)
                .into_iter()
                .find(|who| !self.may_wait(at.chat, *who));
            assert!(
                beside.is_none(),
                "{:?} waits in {:?} after a step at {}, though it believes {beside:?} to be free \
                 (seed {})",
                at.chat,
                self.queue,
                self.now,
                self.seed
            );
        }
    }
}
