//! The configuration changes while chats run: in force at once, and nobody loses a place in line.

use switchboard::actors::{OperatorSettings, Outgoing, Router};
use switchboard::domain::event::{TransferFailure, WithdrawReason};
use switchboard::domain::limits::OPERATOR_CONNECTIONS_MAX;
use switchboard::domain::operator::Standing;
use switchboard::domain::{
    ChannelId, ChatId, Customer, Profile, QueueId, RoutingSettings, Rule, Status, UserId,
};
use switchboard::machine::chat::{Refusal, Target};
use switchboard::machine::operator::{Gone, OperatorCall};
use switchboard::storage::memory::MemoryStore;

use crate::whole::until_line;
use crate::world::*;

async fn with_a_line(length: u128) -> (Router, Vec<ChatId>) {
    let router = start(MemoryStore::new().store()).await;
    let mut line = Vec::new();
    for who in 1..=length {
        line.push(open(&router, who).await);
    }
    until_line(&router, &line).await;
    (router, line)
}

fn settings(capacity: u32, active: bool) -> OperatorSettings {
    OperatorSettings { capacity, active }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_rule_is_in_force_at_once_and_the_line_stays() {
    let (router, line) = with_a_line(4).await;
    let mut push = queue(PUSH, Rule::Manual, &[ANN, BEN]);
    push.version = 2;
    router.set_queue(push.clone());
    let ann = Desk::ready(&router, ANN).await;
    until_line(&router, &line).await;
    assert_eq!(offer_of(&router, line[0]).await, None, "nobody is asked by a manual queue");
    (push.version, push.rule) = (3, Rule::LongestIdle);
    router.set_queue(push.clone());
    ann.until_presented(line[0]).await;
    ann.until_presented(line[1]).await;
    until_line(&router, &line).await;
    (push.version, push.rule) = (4, Rule::ToAll);
    router.set_queue(push);
    let step = RoutingSettings { priority_step_ms: 1, ..Default::default() };
    router.set_settings(step);
    until_line(&router, &line).await;
    let offer = offer_of(&router, line[0]).await.unwrap();
    ann.accept(line[0], &offer).await.unwrap();
    until_line(&router, &line[1..]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raised_limit_brings_the_next_chat_and_a_lowered_one_takes_none_away() {
    let (router, line) = with_a_line(3).await;
    router.set_operator(ANN, settings(1, true));
    let ann = Desk::ready(&router, ANN).await;
    let desks = [ann];
    accepted(&router, &desks, line[0]).await;
    until_line(&router, &line[1..]).await;
    assert_eq!(offer_of(&router, line[1]).await, None, "one fits");
    router.set_operator(ANN, settings(2, true));
    desks[0].until_presented(line[1]).await;
    accepted(&router, &desks, line[1]).await;
    router.set_operator(ANN, settings(1, true));
    until("the lower limit is known", || async {
        (router.operator(ANN).await.ok()?.capacity == 1).then_some(())
    })
    .await;
    assert_eq!(router.operator(ANN).await.unwrap().active.len(), 2);
    until_line(&router, &line[2..]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_added_while_running_serves_at_once() {
    let (router, line) = with_a_line(2).await;
    let (added, channel) = (QueueId::from_u128(0x4), ChannelId::from_u128(0xc4));
    router.set_queue(queue(added, Rule::LeastLoaded, &[BEN]));
    router.set_channel(channel, Some(added));
    let ben = Desk::ready(&router, BEN).await;
    let nine = Customer { channel, ..customer(9) };
    let (chat, _) = router.open(nine, &fresh(), &Profile::default(), &Unbounded).await.unwrap();
    router.set_operator(BEN, settings(5, true));
    ben.until_presented(chat).await;
    until_line(&router, &line).await;
    assert_eq!(router.count("queue"), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queues_lower_limit_binds_an_owner_who_is_no_member() {
    let (router, line) = with_a_line(2).await;
    let ann = Desk::ready(&router, ANN).await;
    let desks = [ann];
    accepted(&router, &desks, line[0]).await;
    let mut push = queue(PUSH, Rule::LeastLoaded, &[BEN]);
    push.version = 2;
    router.set_queue(push.clone());
    let ben = [Desk::ready(&router, BEN).await];
    accepted(&router, &ben, line[1]).await;
    (push.version, push.per_operator_limit) = (3, Some(1));
    router.set_queue(push);
    let handed_over = transfer(&router, as_user(BEN), line[1], Target::Operator(ANN)).await;
    let refusal = refused(handed_over);
    let reason = TransferFailure::Refused(Standing::Full);
    let full = Refusal::TargetUnavailable { reason };
    assert_eq!(refusal, full, "one chat of this queue is what fits");
    assert_eq!(owner_of(&router, line[1]).await, Some(BEN));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_queues_actor_ends() {
    let (router, line) = with_a_line(1).await;
    let added = QueueId::from_u128(0x4);
    router.set_queue(queue(added, Rule::LeastLoaded, &[BEN]));
    until("it runs", || async { (router.count("queue") == 4).then_some(()) }).await;
    router.remove_queue(added);
    until("it has ended", || async { (router.count("queue") == 3).then_some(()) }).await;
    router.set_queue(queue(added, Rule::LeastLoaded, &[BEN]));
    until("it runs again", || async { (router.count("queue") == 4).then_some(()) }).await;
    until_line(&router, &line).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_offer_of_a_removed_member_goes_to_another() {
    let (router, line) = with_a_line(1).await;
    let ann = Desk::ready(&router, ANN).await;
    ann.until_presented(line[0]).await;
    let ben = Desk::ready(&router, BEN).await;
    let mut push = queue(PUSH, Rule::LeastLoaded, &[BEN]);
    push.version = 2;
    router.set_queue(push);
    ann.until_withdrawn(line[0], Gone::Withdrawn(WithdrawReason::NotEligible)).await;
    ben.until_presented(line[0]).await;
    until_line(&router, &line).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_member_takes_nothing_more_out_of_the_queue() {
    let (router, line) = with_a_line(2).await;
    for chat in &line {
        transfer(&router, as_administrator(), *chat, Target::Queue(MANUAL)).await.unwrap();
    }
    let ann = Desk::ready(&router, ANN).await;
    ann.take(line[0]).await.unwrap();
    let mut manual = queue(MANUAL, Rule::Manual, &[BEN]);
    manual.version = 2;
    router.set_queue(manual);
    assert_eq!(refused(ann.take(line[1]).await), Refusal::UnknownChat);
    assert_eq!(owner_of(&router, line[0]).await, Some(ANN), "what she has is hers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deactivated_operator_loses_offers_and_cannot_come_back() {
    let (router, line) = with_a_line(1).await;
    let ann = Desk::ready(&router, ANN).await;
    ann.until_presented(line[0]).await;
    let ben = Desk::ready(&router, BEN).await;
    router.set_operator(ANN, settings(2, false));
    ann.until_withdrawn(line[0], Gone::Withdrawn(WithdrawReason::NotEligible)).await;
    ben.until_presented(line[0]).await;
    let ready = ann.call(OperatorCall::SetStatus(Status::Ready)).await;
    assert_eq!(refused(ready), Refusal::NoSlot(Standing::Offline));
    until_line(&router, &line).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_meets_a_starting_operator_is_not_lost() {
    for _ in 0..200 {
        let router = start(MemoryStore::new().store()).await;
        let _ann = Desk::sit(&router, ANN);
        for capacity in 3..=7 {
            tokio::task::yield_now().await;
            router.set_operator(ANN, settings(capacity, true));
        }
        until("the last change is in force", || async {
            (router.operator(ANN).await.ok()?.capacity == 7).then_some(())
        })
        .await;
    }
}

/// On one thread, so that all of them come and go before the operator's actor runs.
#[tokio::test]
async fn connections_that_went_before_their_operator_had_started_are_not_kept() {
    let router = start(MemoryStore::new().store()).await;
    // No member of a queue, so that no queue has asked for it yet.
    let carl = UserId::from_u128(0xcc);
    router.set_operator(carl, settings(1, true));
    for _ in 0..OPERATOR_CONNECTIONS_MAX {
        Desk::sit(&router, carl).leave();
    }
    assert_eq!(router.connections(), (0, 0));
    let _first = Desk::ready(&router, carl).await;
    let second = Desk::sit(&router, carl);
    let probed = |out: &Outgoing| matches!(out, Outgoing::Probe(_));
    second.until_seen("the second tab counts, too", probed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_removed_while_it_is_about_to_start_again_is_started_no_more() {
    let (router, line) = with_a_line(1).await;
    let added = QueueId::from_u128(0x4);
    let added_queue = || queue(added, Rule::LeastLoaded, &[BEN]);
    router.set_queue(added_queue());
    // Failing again and again it is put off for a while.
    for failures in 1..=6 {
        until("it runs", || async { (router.count("queue") == 4).then_some(()) }).await;
        router.crash_queue(added);
        until("it has failed", || async { (router.restarts() >= failures).then_some(()) }).await;
    }
    router.remove_queue(added);
    assert!(router.has_queue(added), "it came back too soon for this test");
    until("it is forgotten", || async { (!router.has_queue(added)).then_some(()) }).await;
    router.set_queue(added_queue());
    until("it runs anew", || async { (router.count("queue") == 4).then_some(()) }).await;
    until_line(&router, &line).await;
}
