//! The actors around the machines: they feed inputs and carry out what the machines say.

use std::collections::VecDeque;

use switchboard::domain::{ChatId, QueueId, Timestamp, UserId};
use switchboard::machine::CallId;
use switchboard::machine::chat::driver::{Action, ChatAction, StoreAnswer};
use switchboard::machine::chat::{Answer, ChatCall, ChatInput};
use switchboard::machine::message::{ToOperator, ToQueue};
use switchboard::machine::operator::{Notice, OperatorCall, OperatorEffect, OperatorInput};
use switchboard::machine::queue::{QueueEffect, QueueInput};

use crate::overtaking::asked;
use crate::planted::Planted;
use crate::world::{Actor, Happening, World};

/// The calls at the head of a mailbox, when there are several.
fn calls_together(mailbox: &mut VecDeque<ChatInput>) -> Option<Vec<(CallId, ChatCall)>> {
    let is_call = |input: &&ChatInput| matches!(input, ChatInput::Call(..));
    let several = mailbox.iter().take_while(is_call).count();
    if several < 2 {
        return None;
    }
    let calls = mailbox.drain(..several).filter_map(|input| match input {
        ChatInput::Call(call, wanted) => Some((call, wanted)),
        ChatInput::Started | ChatInput::Said(_) | ChatInput::Tick => None,
    });
    Some(calls.collect())
}

impl World {
    pub fn chat_input(&mut self, chat: ChatId, input: ChatInput) {
        self.start(Actor::Chat(chat));
        let input = match self.plan.planted {
            Some(planted) => planted.misreads(self.now(), input),
            None => input,
        };
        if let Some(live) = self.chats.get_mut(&chat) {
            live.mailbox.push_back(input);
        }
        self.pump(chat);
    }

    pub fn pump(&mut self, chat: ChatId) {
        let now = self.now();
        while let Some(live) = self.chats.get_mut(&chat) {
            if !live.driver.is_idle() {
                break;
            }
            if self.plan.planted != Some(Planted::AcknowledgedBeforeAppend)
                && let Some(calls) = calls_together(&mut live.mailbox)
            {
                self.coverage.count("calls", "together");
                self.coverage.most("calls together", calls.len() as u64);
                let of_chat = self.plan.clock_of(now, live.driver.chat());
                let actions = live.driver.calls(of_chat, calls);
                self.carry_out(chat, actions);
                continue;
            }
            let Some(input) = live.mailbox.pop_front() else {
                break;
            };
            let early = match (&input, self.plan.planted) {
                (ChatInput::Call(call, _), Some(Planted::AcknowledgedBeforeAppend)) => Some(*call),
                _ => None,
            };
            let tail = live.driver.chat().tail();
            let of_chat = self.plan.clock_of(now, live.driver.chat());
            let actions = live.driver.input(of_chat, input);
            if let Some(call) = early
                && actions.iter().any(|action| matches!(action, Action::Store(_)))
            {
                self.answered(call, Ok(Answer { seq: tail + 1, at: now }));
            }
            self.carry_out(chat, actions);
        }
        self.arm_chat(chat);
    }

    /// The timer of this life fires then, unless it is armed for another time before.
    fn wake_at(&mut self, at: Timestamp, actor: Actor, life: u64) {
        self.at(at.0, Some(self.process), Happening::Wake(actor, life, at));
    }

    pub fn arm_chat(&mut self, chat: ChatId) {
        let Some(live) = self.chats.get_mut(&chat) else {
            return;
        };
        let next = live.driver.next_deadline().filter(|_| live.driver.is_idle());
        let life = live.life;
        if let Some(at) = live.armed.arm(next) {
            self.wake_at(at, Actor::Chat(chat), life);
        }
    }

    pub fn stored(&mut self, chat: ChatId, life: u64, answer: StoreAnswer) {
        let now = self.now();
        let answer = match answer {
            // What was asked is done when it is answered.
            StoreAnswer::Claimed(Ok(_)) => StoreAnswer::Claimed(Ok(self.store.claim(chat))),
            answer => answer,
        };
        let Some(live) = self.chats.get_mut(&chat).filter(|live| live.life == life) else {
            return;
        };
        let now = self.plan.clock_of(now, live.driver.chat());
        let actions = live.driver.stored(now, answer);
        if live.driver.is_idle() {
            self.checker.seen(chat, live.driver.chat().tail());
        }
        let idle = live.driver.is_idle();
        self.carry_out(chat, actions);
        if idle {
            self.has_published(chat);
        }
        self.pump(chat);
    }

    pub fn carry_out(&mut self, chat: ChatId, actions: Vec<Action>) {
        for mut action in actions {
            if let Some(planted) = self.plan.planted {
                planted.misguides(&mut action);
            }
            self.keeps_its_age(chat, &action);
            self.says_who_refused(chat, &action);
            match action {
                Action::Store(call) => self.store_call(chat, call),
                Action::Own(ChatAction::Row(row)) => self.write_row(chat, row),
                Action::Own(ChatAction::Index(row)) => self.index_mut(chat).put(chat, row),
                Action::Own(ChatAction::MarkIndex(moving)) => {
                    self.index_mut(chat).mark(chat, moving)
                }
                Action::Answer(call, answer) => self.answered(call, answer),
                Action::Own(ChatAction::ToQueue(queue, said)) => {
                    if let ToQueue::At(at) = &said {
                        self.checker.said_offered(at, self.now());
                        self.look_for_a_home(at);
                    }
                    self.deliver(Happening::ToQueue(queue, said));
                }
                Action::Own(ChatAction::ToOperator(to, said)) => {
                    self.deliver(Happening::ToOperator(to, said))
                }
                Action::Publish(events) | Action::PublishLate(events) => {
                    let last = events.last().map(|last| last.recorded.seq);
                    if self.rows.unpublished.get(&chat).copied() == last {
                        self.rows.unpublished.remove(&chat);
                    }
                    self.rows.untold.remove(&chat);
                    self.checker.published(chat, &events, &self.store);
                }
                Action::Fail(_) => {
                    self.chats.remove(&chat);
                    self.rows.unpublished.remove(&chat);
                    let delay = self.rng.below(200);
                    let again = Happening::Restart(Actor::Chat(chat));
                    self.at(self.now + delay, Some(self.process), again);
                }
            }
        }
        if let Some(live) = self.chats.get(&chat) {
            self.checker.folded(chat, live.driver.chat());
        }
    }

    pub fn queue_step(&mut self, queue: QueueId, input: QueueInput) {
        let now = self.now();
        let Some(live) = self.queues.get_mut(&queue) else {
            return;
        };
        let effects = match self.plan.planted {
            Some(planted) => {
                let mut effects = live.machine.step(now, planted.misleads_queue(input.clone()));
                planted.misspeaks(&mut effects);
                effects
            }
            None => live.machine.step(now, input.clone()),
        };
        live.machine.assert_invariants();
        live.machine.assert_timers(now);
        self.checker.decided(&live.machine, &effects, now, self.seed);
        let (next, life) = (live.machine.next_deadline(), live.life);
        if let Some(at) = live.armed.arm(next) {
            self.wake_at(at, Actor::Queue(queue), life);
        }
        self.judge_queue(queue, &input, &effects);
        self.ask_why(queue);
        for effect in effects {
            match effect {
                QueueEffect::ToChat(chat, said) => {
                    self.deliver(Happening::ToChat(chat, ChatInput::Said(said)));
                }
                QueueEffect::ToOperator(to, said) => {
                    self.deliver(Happening::ToOperator(to, said));
                }
            }
        }
    }

    pub fn operator_step(&mut self, operator: UserId, input: OperatorInput) {
        let now = self.now();
        let (Some(screen), Some(before_lapses)) =
            (self.screen(operator, &input), self.before_lapses(operator))
        else {
            return;
        };
        self.hear_quote(operator, &input);
        let Some(live) = self.operators.get_mut(&operator) else {
            return;
        };
        let before = live.machine.load();
        let asked = asked(&input);
        // An answer says where its chat is, too.
        let told = matches!(
            input,
            OperatorInput::Said(
                ToOperator::At(_)
                    | ToOperator::AssignAnswer { at: Some(_), .. }
                    | ToOperator::Recalled { at: Some(_), .. }
            )
        );
        let recovered = matches!(input, OperatorInput::Recovered(_));
        let heard = match self.plan.planted {
            Some(planted) => planted.misleads_operator(input.clone()),
            None => input.clone(),
        };
        let effects = live.machine.step(now, heard);
        live.machine.assert_invariants();
        let (load, capacity) = (live.machine.load(), live.machine.account().capacity);
        if load > before && !told && !recovered {
            assert!(
                load <= capacity,
                "{operator:?} took slot {load} of {capacity} at {now} (seed {})",
                self.seed
            );
        }
        let (next, life) = (live.machine.next_deadline(now), live.life);
        if let Some(at) = live.armed.arm(next) {
            self.wake_at(at, Actor::Operator(operator), life);
        }
        self.judge_pull(operator, &effects);
        self.judge_lapses(operator, &before_lapses, &input, &effects);
        self.judge_told(operator, &input, &effects);
        self.check_overtaking(operator, &screen, asked);
        self.check_limits_in_force(operator, &effects);
        self.checker.stays.said(&effects);
        self.look_who_is_absent(operator);
        for effect in effects {
            self.operator_effect(operator, life, effect);
        }
    }

    pub fn operator_effect(&mut self, operator: UserId, life: u64, effect: OperatorEffect) {
        match effect {
            OperatorEffect::ToChat(chat, said) => {
                self.deliver(Happening::ToChat(chat, ChatInput::Said(said)));
            }
            OperatorEffect::ToQueue(queue, said) => self.deliver(Happening::ToQueue(queue, said)),
            OperatorEffect::Answer(call, answer) => self.operator_answered(call, answer),
            OperatorEffect::Save(record) if self.faulty() && self.rng.chance(15) => {
                self.save_in_silence(operator, life, record);
            }
            OperatorEffect::Save(record) => {
                let durable = !(self.faulty() && self.rng.chance(50));
                if !durable {
                    self.fault("save refused");
                }
                let at = self.now + self.rng.within(1, 10);
                let saved = Happening::Saved(operator, life, record, durable);
                self.at(at, Some(self.process), saved);
            }
            OperatorEffect::ReadIndex => {
                let rows =
                    self.indexes.iter().flat_map(|index| index.of_operator(operator)).collect();
                self.operator_step(operator, OperatorInput::Recovered(rows));
            }
            OperatorEffect::Probe(connection, probe) => {
                if self.faulty() && self.rng.chance(30) {
                    self.fault("probe unanswered");
                    return;
                }
                let connected = self
                    .humans
                    .iter()
                    .any(|h| h.id == operator && h.connections.contains(&connection));
                if connected {
                    let at = self.now + self.rng.within(1, 20);
                    let answer = Happening::ProbeAnswer(operator, connection, probe);
                    self.at(at, Some(self.process), answer);
                }
            }
            OperatorEffect::Show(notice) => self.shown(operator, notice),
        }
    }

    pub fn shown(&mut self, operator: UserId, notice: Notice) {
        self.screens.entry(operator).or_default().note(&notice);
        let Some(human) = self.humans.iter_mut().find(|human| human.id == operator) else {
            return;
        };
        match notice {
            Notice::OfferPresented { chat, offer, queue, .. } => {
                human.offers.insert(chat, (offer, queue));
                if self.rng.chance(800) {
                    let seen = OperatorCall::Shown { chat, offer };
                    self.call_operator(operator, seen);
                }
            }
            Notice::OfferWithdrawn { chat, offer, .. } => {
                if human.offers.get(&chat).is_some_and(|(shown, _)| *shown == offer) {
                    human.offers.remove(&chat);
                }
            }
            Notice::Updated => {}
        }
    }
}
