//! One scripted life, which goes to its end whatever crashes on the way: opened, declined,
//! accepted, written, read, transferred to a colleague, to a `to_all` and to a manual queue,
//! taken, ended, gone on in another chat.

use switchboard::actors::{CallError, Router};
use switchboard::domain::{ChatEvent, ChatId, Person, UserId};
use switchboard::machine::chat::{Author, ChatCall, Refusal, Target};

use crate::world::*;

/// Who is made to panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Chats,
    Queues,
    Ann,
    Ben,
    Everybody,
}

pub const EVERY_WHO: [Who; 5] = [Who::Chats, Who::Queues, Who::Ann, Who::Ben, Who::Everybody];

/// A crash after a step. The step after it has begun by then when `yields` is above 0.
#[derive(Debug, Clone, Copy)]
pub struct Crash {
    pub after: usize,
    pub who: Who,
    pub yields: usize,
}

pub struct Life {
    pub router: Router,
    desks: Vec<Desk>,
    chats: Vec<ChatId>,
    acknowledged: Vec<Acknowledged>,
    crash: Option<Crash>,
    step: usize,
}

const CUSTOMER: u128 = 77;

impl Life {
    pub fn new(router: Router, crash: Option<Crash>) -> Self {
        let (desks, chats, acknowledged) = (Vec::new(), Vec::new(), Vec::new());
        Self { router, desks, chats, acknowledged, crash, step: 0 }
    }

    /// Lives it, checks it, and answers how many steps it had.
    pub async fn live(mut self) -> usize {
        self.desks.push(Desk::ready(&self.router, ANN).await);
        self.done();
        self.desks.push(Desk::ready(&self.router, BEN).await);
        self.done();
        let chat = open(&self.router, CUSTOMER).await;
        self.chats.push(chat);
        self.done();
        self.write(as_customer(CUSTOMER), chat, "is anybody there?").await;
        self.done();
        self.declined(chat).await;
        self.done();
        let owner = accepted(&self.router, &self.desks, chat).await;
        self.done();
        self.write(as_user(owner), chat, "good day").await;
        self.done();
        self.write(as_customer(CUSTOMER), chat, "I have a question").await;
        self.done();
        self.raise_watermark(Person::User(owner), chat).await;
        self.done();
        let colleague = if owner == ANN { BEN } else { ANN };
        self.hand_over(chat, owner, colleague).await;
        self.done();
        self.write(as_user(colleague), chat, "let me see").await;
        self.done();
        self.requeue(chat, colleague, Target::Queue(ALL)).await;
        self.done();
        let owner = accepted(&self.router, &self.desks, chat).await;
        self.done();
        self.requeue(chat, owner, Target::Queue(MANUAL)).await;
        self.done();
        let owner = self.taken(chat).await;
        self.done();
        self.write(as_user(owner), chat, "that was it").await;
        self.done();
        let end = ChatCall::End { by: as_user(owner), command: fresh() };
        call(&self.router, chat, end).await.unwrap();
        self.done();
        let next = self.write(as_customer(CUSTOMER), chat, "one more thing").await;
        assert_ne!(next, chat, "a message after the end goes on in another chat");
        self.chats.push(next);
        self.done();
        let owner = accepted(&self.router, &self.desks, next).await;
        self.done();
        self.write(as_user(owner), next, "yes?").await;
        self.done();
        let end = ChatCall::End { by: as_customer(CUSTOMER), command: fresh() };
        call(&self.router, next, end).await.unwrap();
        self.done();
        self.check().await;
        self.step
    }

    async fn check(&self) {
        until_quiet(&self.router, &self.desks).await;
        let mut logs = Vec::new();
        for chat in &self.chats {
            logs.push(log_of(&self.router, *chat).await);
        }
        for (chat, log) in self.chats.iter().zip(&logs) {
            check_log(*chat, log, &self.acknowledged);
        }
        for (operator, most) in most_owned(&logs) {
            assert!(most <= 1, "{operator:?} had {most} chats of one customer");
        }
    }

    fn done(&mut self) {
        let step = self.step;
        self.step += 1;
        let Some(crash) = self.crash.filter(|crash| crash.after == step) else { return };
        let (router, chats) = (self.router.clone(), self.chats.clone());
        if crash.yields == 0 {
            strike(&router, &chats, crash.who);
            return;
        }
        tokio::spawn(async move {
            for _ in 0..crash.yields {
                tokio::task::yield_now().await;
            }
            strike(&router, &chats, crash.who);
        });
    }

    /// Writes, and writes again with the same id: the same answer.
    async fn write(&mut self, by: Author, chat: ChatId, text: &str) -> ChatId {
        let id = fresh();
        let (at, answer) = send(&self.router, by, chat, &id, text).await.unwrap();
        let again = send(&self.router, by, chat, &id, text).await.unwrap();
        assert_eq!((at, answer), again, "a repeat has another answer");
        let (seq, from, text) = (answer.seq, party(by), text.to_owned());
        self.acknowledged.push(Acknowledged { chat: at, seq, from, id, text });
        at
    }

    async fn raise_watermark(&self, person: Person, chat: ChatId) {
        let tail = look(&self.router, chat).await.tail;
        let raised = persist("a watermark", || {
            let router = self.router.clone();
            async move { router.raise_watermark(chat, person, tail, true).await }
        });
        raised.await.unwrap();
        let read = look(&self.router, chat).await.watermarks[&party_of(person)].read;
        assert!(read >= tail, "acknowledged up to {tail}, and kept up to {read}");
    }

    async fn declined(&self, chat: ChatId) {
        until("somebody declines", || async {
            let offer = offer_of(&self.router, chat).await?;
            let desk = self.desks.iter().find(|desk| offer.to.contains(&desk.id))?;
            desk.decline(chat, &offer).await.ok()?;
            let log = log_of(&self.router, chat).await;
            log.iter().any(|r| matches!(r.event, ChatEvent::Declined { .. })).then_some(())
        })
        .await;
    }

    async fn hand_over(&self, chat: ChatId, by: UserId, to: UserId) {
        until("a colleague takes over", || async {
            match transfer(&self.router, as_user(by), chat, Target::Operator(to)).await {
                Ok(_) => Some(()),
                Err(CallError::Refused(
                    Refusal::TargetUnavailable { .. } | Refusal::TransferPending,
                )) => None,
                Err(other) => panic!("{other:?}"),
            }
        })
        .await;
        assert_eq!(owner_of(&self.router, chat).await, Some(to));
    }

    async fn requeue(&self, chat: ChatId, by: UserId, to: Target) {
        transfer(&self.router, as_user(by), chat, to).await.unwrap();
    }

    async fn taken(&self, chat: ChatId) -> UserId {
        until("somebody takes", || async {
            self.desks[1].take(chat).await.ok()?;
            owner_of(&self.router, chat).await
        })
        .await
    }
}

fn strike(router: &Router, chats: &[ChatId], who: Who) {
    if matches!(who, Who::Chats | Who::Everybody) {
        chats.iter().for_each(|chat| router.crash_chat(*chat));
    }
    if matches!(who, Who::Queues | Who::Everybody) {
        [PUSH, ALL, MANUAL].iter().for_each(|queue| router.crash_queue(*queue));
    }
    if matches!(who, Who::Ann | Who::Everybody) {
        router.crash_operator(ANN);
    }
    if matches!(who, Who::Ben | Who::Everybody) {
        router.crash_operator(BEN);
    }
}
