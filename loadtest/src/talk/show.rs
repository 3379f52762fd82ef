//! The words on the screen.

use switchboard::domain::{ChatState, Outcome};
use switchboard::protocol::answer::StatusFrame;
use switchboard::protocol::event::{
    AssignedHowFrame, EventFrame, OfferEndFrame, PartyFrame, PlacedCauseFrame,
};
use switchboard::protocol::notify::OfferOverReason;
use switchboard::protocol::params::StatusWord;

/// `HH:MM:SS` in UTC.
pub(super) fn clock(at_ms: u64) -> String {
    let s = at_ms / 1_000;
    format!("{:02}:{:02}:{:02}", s / 3_600 % 24, s / 60 % 60, s % 60)
}

pub(super) fn party(party: &PartyFrame, by_customer: bool) -> String {
    match party {
        PartyFrame::Customer { .. } if by_customer => "you".to_owned(),
        PartyFrame::Customer { name, .. } => {
            name.as_deref().map_or("customer".to_owned(), printable)
        }
        PartyFrame::Operator { name, .. } => name.clone().unwrap_or("operator".to_owned()),
        PartyFrame::System => "the system".to_owned(),
    }
}

pub(super) fn event_words(what: &EventFrame, by_customer: bool) -> String {
    let who = |of: &PartyFrame| party(of, by_customer);
    match what {
        EventFrame::Message { from, text, .. } => {
            // What cannot be shown was refused long before.
            let text = text.check().map(|text| printable(text.as_str()));
            format!("{}: {}", who(from), text.unwrap_or_default())
        }
        EventFrame::Opened { continues, .. } => match continues {
            Some(_) => "-- opened, as an earlier chat goes on".to_owned(),
            None => "-- opened".to_owned(),
        },
        EventFrame::CustomerUpdated { customer_name, priority } => {
            let name = customer_name.as_deref().map_or("customer".to_owned(), printable);
            format!("-- the customer is {name}, priority {priority}")
        }
        EventFrame::Placed { cause, .. } => match cause {
            PlacedCauseFrame::Opened => "-- waiting".to_owned(),
            PlacedCauseFrame::Transferred => "-- transferred, waiting".to_owned(),
            PlacedCauseFrame::OwnerGone => "-- waiting again, as the operator is gone".to_owned(),
        },
        EventFrame::Offered { to, .. } => format!("-- offered to {}", to.len()),
        EventFrame::OfferWidened { to, .. } => format!("-- offered to {} more", to.len()),
        EventFrame::Declined { operator, .. } => format!("-- declined by {}", who(operator)),
        EventFrame::OfferNarrowed { operator, .. } => {
            format!("-- no longer offered to {}", who(operator))
        }
        EventFrame::OfferEnded { how, .. } => {
            let how = match how {
                OfferEndFrame::Declined => "everybody declined",
                OfferEndFrame::Lapsed => "nobody answered",
                OfferEndFrame::NotReady => "the operator left ready",
                OfferEndFrame::NotReserved => "the operator's slot was gone",
                OfferEndFrame::NotEligible => "the operator is no longer a member",
                OfferEndFrame::Restart => "the server was restarted",
            };
            format!("-- the offer is over: {how}")
        }
        EventFrame::Assigned { operator, how, .. } => {
            let how = match how {
                Some(AssignedHowFrame::Transferred) => ", by transfer",
                Some(AssignedHowFrame::Taken) => ", by hand",
                Some(AssignedHowFrame::Accepted) | None => "",
            };
            format!("-- {} has the chat{how}", who(operator))
        }
        EventFrame::Begun { by } => format!("-- {} has begun", who(by)),
        EventFrame::TransferAsked { to, .. } => format!("-- transfer to {} asked for", who(to)),
        EventFrame::TransferFailed { .. } => "-- the transfer failed".to_owned(),
        EventFrame::Ended { by, outcome } => {
            let outcome = match outcome.0 {
                Outcome::Completed => "",
                Outcome::Missed => ", unanswered",
            };
            format!("-- ended by {}{outcome}", who(by))
        }
        EventFrame::ContinuedIn { .. } => "-- goes on in a new chat".to_owned(),
    }
}

/// A text without what would move the cursor or change the terminal.
pub(super) fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(shown).collect()
}

pub(super) fn status_word(status: StatusWord) -> &'static str {
    match status {
        StatusWord::Ready => "ready",
        StatusWord::Away => "away",
        StatusWord::Busy => "busy",
        StatusWord::Offline => "offline",
    }
}

pub(super) fn status(status: &StatusFrame) -> String {
    let word = status_word(status.status);
    match &status.reason {
        Some(reason) => format!("{word} ({})", printable(reason)),
        None => word.to_owned(),
    }
}

pub(super) fn over(reason: OfferOverReason) -> &'static str {
    match reason {
        OfferOverReason::Accepted => "accepted",
        OfferOverReason::Declined => "declined",
        OfferOverReason::Lost => "a colleague has the chat",
        OfferOverReason::Lapsed => "its time is over",
        OfferOverReason::NotReady => "you are not ready",
        OfferOverReason::NotReserved => "your slot is gone",
        OfferOverReason::NotEligible => "you are no longer a member",
        OfferOverReason::Moved => "the chat went elsewhere",
        OfferOverReason::ChatEnded => "the chat has ended",
        OfferOverReason::Restart => "the server was restarted; it comes again",
    }
}

pub(super) fn state(state: ChatState) -> &'static str {
    match state {
        ChatState::Waiting => "waiting",
        ChatState::Offered => "offered",
        ChatState::New => "new",
        ChatState::InProgress => "in progress",
        ChatState::Completed => "completed",
        ChatState::Missed => "missed",
    }
}
