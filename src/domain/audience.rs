//! Who may see what happens in a chat.
//!
//! Owns the one answer for each kind of event ([`ChatEvent::open_to`]: a new kind does not compile without
//! one), and the one gate to people. What goes to somebody, live, in a page of a history or after a
//! resume, is a [`Shown`], and only [`Audience::show`] makes one.
//! Refuses to know who takes part in a chat, and what of an event is shown: the customer of an event that
//! is open to everybody sees less of it than the staff.

use std::ops::Deref;
use std::sync::Arc;

use super::event::{ChatEvent, Recorded};
use super::id::Person;

/// Who looks at a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The customer whose chat it is.
    Customer,
    /// Its owner, an operator to whom it is offered, or a chat administrator.
    Staff,
}

/// To whom a kind of event is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenTo {
    /// To all who take part in the chat.
    Everybody,
    /// To the staff alone.
    Staff,
}

/// Something that is not open to everybody, perhaps.
pub trait Restricted {
    /// To whom it is open.
    fn open_to(&self) -> OpenTo;
}

/// Something as an audience may see it: what it may not see is never one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown<T = Recorded> {
    what: Arc<T>,
    to: Audience,
}

impl Audience {
    /// As whom somebody looks at a chat.
    pub fn of(person: Person) -> Self {
        match person {
            Person::Customer(_) => Self::Customer,
            Person::User(_) | Person::System => Self::Staff,
        }
    }

    /// The gate: none when this audience may not see it.
    pub fn show<T: Restricted>(self, what: Arc<T>) -> Option<Shown<T>> {
        let open = match (what.open_to(), self) {
            (OpenTo::Everybody, Self::Customer | Self::Staff) | (OpenTo::Staff, Self::Staff) => {
                true
            }
            (OpenTo::Staff, Self::Customer) => false,
        };
        open.then_some(Shown { what, to: self })
    }
}

impl<T> Shown<T> {
    /// To whom it may go.
    pub fn to(&self) -> Audience {
        self.to
    }
}

impl<T> Deref for Shown<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.what
    }
}

impl Restricted for Recorded {
    fn open_to(&self) -> OpenTo {
        self.event.open_to()
    }
}

impl ChatEvent {
    /// To whom this kind of event is open.
    pub fn open_to(&self) -> OpenTo {
        match self {
            Self::Opened { .. }
            | Self::Placed { .. }
            | Self::Message { .. }
            | Self::Assigned { .. }
            | Self::Ended { .. }
            | Self::ContinuedIn { .. } => OpenTo::Everybody,
            // Whom it was offered to and who would not have it is no business of the customer's.
            Self::CustomerUpdated { .. }
            | Self::Offered { .. }
            | Self::OfferWidened { .. }
            | Self::Declined { .. }
            | Self::OfferNarrowed { .. }
            | Self::OfferEnded { .. }
            | Self::Begun { .. }
            | Self::TransferAsked { .. }
            | Self::TransferFailed { .. } => OpenTo::Staff,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ChannelId, Customer, CustomerId, UserId};

    /// A kind that is yet to come: a remark among colleagues.
    #[derive(Debug, PartialEq)]
    struct Note;

    impl Restricted for Note {
        fn open_to(&self) -> OpenTo {
            OpenTo::Staff
        }
    }

    #[test]
    fn what_is_for_the_staff_passes_no_gate_to_a_customer() {
        let customer = Customer { channel: ChannelId::from_u128(1), id: CustomerId::from_u128(2) };
        let staff = Audience::of(Person::User(UserId::from_u128(3)));
        assert_eq!(Audience::of(Person::Customer(customer)).show(Arc::new(Note)), None);
        let shown = staff.show(Arc::new(Note)).unwrap();
        assert_eq!((shown.to(), &*shown), (Audience::Staff, &Note));
    }
}
