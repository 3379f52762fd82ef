//! What is answered: it is durable, a repeat gets its first answer, and an id that stands for something
//! else is never answered yes.

use switchboard::domain::event::{AssignedHow, PlacedCause};
use switchboard::domain::{ChatEvent, ChatId, CommandId, Party, Person, UserId};
use switchboard::machine::chat::{Answer, ChatCall};
use switchboard::machine::operator::{OperatorAnswer, OperatorCall};

use crate::check::Checker;
use crate::store::Store;

impl Checker {
    /// What was acknowledged is durable, and a repeat got its first answer.
    pub fn acknowledged(
        &mut self,
        chat: ChatId,
        wanted: &ChatCall,
        answer: Answer,
        store: &Store,
        seed: u64,
    ) {
        let recorded = store.logs.get(&chat).and_then(|log| log.get(answer.seq as usize - 1));
        let fits = match (wanted, recorded.map(|recorded| &recorded.event)) {
            (ChatCall::Open { customer, .. }, Some(ChatEvent::Opened { customer: who, .. })) => {
                who == customer
            }
            (
                ChatCall::Send { by, id, text, .. },
                Some(ChatEvent::Message { from, id: i, text: t }),
            ) => (by.person, id, text) == (person_of(store, chat, *from), i, t),
            // What it was told may count already, or come too late.
            (ChatCall::UpdateCustomer { .. }, Some(_)) => true,
            (ChatCall::Continue { chat }, Some(ChatEvent::ContinuedIn { chat: into })) => {
                chat == into
            }
            (ChatCall::End { command, .. }, Some(ChatEvent::Ended { command: known, .. })) => {
                known.as_ref() == Some(command)
            }
            (ChatCall::Begin { command, .. }, Some(ChatEvent::Begun { command: known, .. })) => {
                command == known
            }
            (ChatCall::Transfer { .. }, Some(ChatEvent::Placed { .. })) => true,
            (ChatCall::Transfer { command, .. }, Some(ChatEvent::Assigned { command: k, .. })) => {
                command == k
            }
            _ => false,
        };
        assert!(
            fits,
            "{chat:?} acknowledged {wanted:?} with {answer:?}, durable is {recorded:?} (seed {seed})"
        );
        self.tokens.acknowledged(chat, wanted);
        let key = match wanted {
            // Every `Open` of a chat has the same answer, and its ids are no messages' ids.
            ChatCall::Open { customer, .. } => {
                CommandId::new("open").ok().map(|any| (Person::Customer(*customer), any))
            }
            ChatCall::Send { by, id, .. } => Some((by.person, id.clone())),
            ChatCall::Continue { .. } | ChatCall::UpdateCustomer { .. } => None,
            ChatCall::End { by, command }
            | ChatCall::Begin { by, command }
            | ChatCall::Transfer { by, command, .. }
            | ChatCall::TransferNowhere { by, command, .. } => Some((by.person, command.clone())),
        };
        if let Some((person, command)) = key {
            let first = *self.answers.entry((chat, person, command)).or_insert(answer);
            assert_eq!(first, answer, "{wanted:?} got another answer than first (seed {seed})");
        }
    }

    pub fn operator_acknowledged(
        &mut self,
        operator: UserId,
        wanted: &OperatorCall,
        answer: OperatorAnswer,
        since: u64,
        store: &Store,
        seed: u64,
    ) {
        self.id_fits(operator, wanted, since, seed);
        let chat = match wanted {
            OperatorCall::Accept { chat, .. } | OperatorCall::Take { chat, .. } => *chat,
            OperatorCall::SetStatus(_) => {
                let saved = store.records.contains_key(&operator);
                assert!(saved, "{operator:?}: acknowledged a status that is not durable");
                return;
            }
            OperatorCall::Shown { .. } | OperatorCall::Decline { .. } => return,
        };
        let OperatorAnswer::Assigned(assigned) = answer else {
            panic!("{operator:?}: {wanted:?} acknowledged without an assignment (seed {seed})");
        };
        let log = store.logs.get(&chat).map(Vec::as_slice).unwrap_or_default();
        let owned = log.get(assigned.seq as usize - 1).is_some_and(|recorded| {
            matches!(recorded.event, ChatEvent::Assigned { operator: who, .. } if who == operator)
        });
        assert!(owned, "{operator:?}: {wanted:?} acknowledged, not durable (seed {seed})");
    }

    /// An id that stood in the log for something else, when it was used again, is never answered
    /// yes.
    fn id_fits(&self, operator: UserId, wanted: &OperatorCall, since: u64, seed: u64) {
        let (OperatorCall::Accept { chat, command, .. }
        | OperatorCall::Decline { chat, command, .. }
        | OperatorCall::Take { chat, command, .. }) = wanted
        else {
            return;
        };
        let known = self.ids.get(&(*chat, Party::User(operator), command.clone()));
        let Some(known) = known.filter(|known| known.at.0 < since) else { return };
        let fits = match (wanted, &known.event) {
            (
                OperatorCall::Accept { offer, .. },
                ChatEvent::Assigned { how: AssignedHow::Accepted { offer: known }, .. },
            )
            | (OperatorCall::Decline { offer, .. }, ChatEvent::Declined { offer: known, .. }) => {
                offer == known
            }
            (OperatorCall::Take { .. }, ChatEvent::Assigned { how: AssignedHow::Taken, .. }) => {
                true
            }
            _ => false,
        };
        assert!(fits, "{operator:?}: {wanted:?} acknowledged, but {known:?} (seed {seed})");
    }
}

/// By whom and under which id an event was asked for.
pub fn id_of(event: &ChatEvent) -> Option<(Party, CommandId)> {
    match event {
        ChatEvent::Message { from, id, .. } => Some((*from, id.clone())),
        ChatEvent::Declined { operator, command, .. }
        | ChatEvent::Assigned {
            operator,
            how: AssignedHow::Accepted { .. } | AssignedHow::Taken,
            command,
            ..
        } => Some((Party::User(*operator), command.clone())),
        ChatEvent::Begun { by, command }
        | ChatEvent::TransferAsked { by, command, .. }
        | ChatEvent::Placed { cause: PlacedCause::Transferred { by, command }, .. }
        | ChatEvent::Ended { by, command: Some(command), .. } => Some((*by, command.clone())),
        ChatEvent::Opened { .. }
        | ChatEvent::CustomerUpdated { .. }
        | ChatEvent::Placed { .. }
        | ChatEvent::Offered { .. }
        | ChatEvent::OfferWidened { .. }
        | ChatEvent::OfferNarrowed { .. }
        | ChatEvent::OfferEnded { .. }
        | ChatEvent::Assigned { how: AssignedHow::Transferred { .. }, .. }
        | ChatEvent::TransferFailed { .. }
        | ChatEvent::Ended { command: None, .. }
        | ChatEvent::ContinuedIn { .. } => None,
    }
}

/// Who a party of the chat is, as its first event says.
fn person_of(store: &Store, chat: ChatId, party: Party) -> Person {
    let first = store.logs.get(&chat).and_then(|log| log.first());
    match (party, first.map(|first| &first.event)) {
        (Party::User(user), _) => Person::User(user),
        (Party::Customer(id), Some(ChatEvent::Opened { customer, .. })) if customer.id == id => {
            Person::Customer(*customer)
        }
        (party, first) => panic!("{chat:?} begins with {first:?} and speaks of {party:?}"),
    }
}
