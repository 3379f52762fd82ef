//! Who is who in a chat: only the chat knows its customer's channel, so only here does a person become
//! a party.

use crate::domain::{Party, Person, Place};

use super::call::Author;
use super::fold::Chat;
use super::refusal::Refusal;

/// Room for those who see most chats before and after most events: the customer and the owner.
const SEEN_BY_FEW: usize = 4;

/// An author, as the party that it is in the chat.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speaker {
    pub party: Party,
    pub chat_administrator: bool,
}

impl Chat {
    /// Which party somebody is in this chat. None for the customer of another, and while the log is
    /// empty: the customer of a chat is the one who opened it, by the same channel.
    pub fn party(&self, person: Person) -> Option<Party> {
        match person {
            Person::Customer(customer) => {
                let own = self.opened.as_ref().filter(|opened| opened.customer == customer);
                own.map(|opened| Party::Customer(opened.customer.id))
            }
            Person::User(user) => Some(Party::User(user)),
            Person::System => Some(Party::System),
        }
    }

    /// Who sees the chat at present, each once: its customer, its owner, those to whom it is offered.
    pub fn seen_by(&self) -> Vec<Person> {
        let mut people = Vec::with_capacity(SEEN_BY_FEW);
        people.extend(self.opened.as_ref().map(|opened| Person::Customer(opened.customer)));
        people.extend(self.place.iter().flat_map(Place::operators).map(Person::User));
        people
    }

    /// Errors with `NotYours` for the customer of another chat.
    pub(super) fn speaker(&self, by: &Author) -> Result<Speaker, Refusal> {
        let stranger = if self.opened.is_none() { Refusal::UnknownChat } else { Refusal::NotYours };
        let party = self.party(by.person).ok_or(stranger)?;
        Ok(Speaker { party, chat_administrator: by.chat_administrator })
    }
}
