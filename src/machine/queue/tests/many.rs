//! Many are asked: so many in one step, the others in the next ones, at once.

use super::*;
use crate::domain::limits::ASKED_AT_ONCE_MAX;

/// Members beyond what two steps ask.
const MANY: u128 = 2 * ASKED_AT_ONCE_MAX as u128 + 9;

/// So many chats wait, of as many members who are free; nobody is asked yet.
fn crowd(chats: u128) -> (Queue, Vec<UserId>) {
    let members: Vec<UserId> = (0..MANY).map(|n| UserId::from_u128(0x1_000 + n)).collect();
    let mut queue =
        Queue::new(config(Rule::Manual, &members), RoutingSettings::default(), 1, now());
    let states = members.iter().map(|member| ToQueue::State(state(*member, 1, Standing::Free)));
    let waits = (0..chats).map(|n| ToQueue::At(waits(n, 1_000 + n as u64)));
    for words in states.chain(waits) {
        queue.step(now(), said(words));
    }
    (queue, members)
}

/// The steps until no further one follows at once.
fn steps(queue: &mut Queue, first: QueueInput) -> Vec<Vec<QueueEffect>> {
    let mut steps = vec![step(queue, first)];
    while queue.next_deadline() == Some(now()) {
        steps.push(step(queue, QueueInput::Tick));
    }
    steps
}

#[test]
fn who_is_beyond_what_a_step_asks_is_asked_in_the_next_one_at_once() {
    let (mut queue, members) = crowd(MANY);
    let input = QueueInput::Configure(config(Rule::LeastLoaded, &members));
    let steps = steps(&mut queue, input);
    let asked: Vec<usize> = steps.iter().map(|effects| reservations(effects).len()).collect();
    assert_eq!(asked, [ASKED_AT_ONCE_MAX, ASKED_AT_ONCE_MAX, 9]);
    // The smallest ranks first, within a step in whatever order.
    let mut bound = 0;
    for effects in steps {
        let chats: BTreeSet<ChatId> = reservations(&effects).iter().map(|asked| asked.2).collect();
        let wanted = (bound..bound + chats.len() as u128).map(ChatId::from_u128);
        assert!(chats.iter().copied().eq(wanted), "{chats:?}");
        bound += chats.len() as u128;
    }
}

#[test]
fn an_offer_to_many_is_alone_in_its_step() {
    let (mut queue, members) = crowd(3);
    let steps = steps(&mut queue, QueueInput::Configure(config(Rule::ToAll, &members)));
    let told: Vec<usize> = steps.iter().map(|effects| offers(effects).len()).collect();
    assert_eq!(told, [1, 1, 1]);
    let reached =
        |effects: &Vec<QueueEffect>| offers(effects).values().all(|(.., to)| *to == members);
    assert!(steps.iter().all(reached));
}

#[test]
fn what_is_looked_at_in_vain_is_bounded_too() {
    let members = [ANN, BOB, CYD];
    let mut queue =
        Queue::new(config(Rule::Manual, &members), RoutingSettings::default(), 1, now());
    for member in members {
        step(&mut queue, said(ToQueue::State(state(member, 1, Standing::Free))));
    }
    let refused: BTreeMap<UserId, Timestamp> = members.iter().map(|who| (*who, now())).collect();
    for n in 0..9 {
        let refused_by = Arc::new(if n < 8 { refused.clone() } else { BTreeMap::new() });
        arrive(&mut queue, ChatAt { refused_by, ..waits(n, 1_000 + n as u64) });
    }
    queue.at_most.pairs = 1;
    let steps = steps(&mut queue, QueueInput::Configure(config(Rule::LeastLoaded, &members)));
    let asked: Vec<usize> = steps.iter().map(|effects| reservations(effects).len()).collect();
    assert_eq!(asked, [0, 0, 1], "one of them is looked at in a step");
}
