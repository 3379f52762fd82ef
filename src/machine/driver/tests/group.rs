//! A chat of a group: members join, leave and write. It has no queue, no owner, no row in an index, and
//! tells nobody until they have heard.

use std::collections::BTreeSet;
use std::convert::Infallible;

use crate::domain::{CommandId, EventNames, Party, Person, Recorded, Seq, Timestamp, UserId};
use crate::machine::driver::{
    Decided, Effect, EventSourced, Fingerprint, Input, Journal, Lookup, Moment, Outbox, Recent,
    Refuses, Stands,
};

/// So few that most old commands are looked up in the log.
pub const RECENT: Recent = Recent { commands: 2, parties: 2 };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Unknown,
    Unavailable,
    IdReused,
    NotMember,
    Member,
    Late,
}

impl Refuses for Refusal {
    const UNKNOWN: Self = Self::Unknown;
    const UNAVAILABLE: Self = Self::Unavailable;
    const ID_REUSED: Self = Self::IdReused;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deed {
    Joins,
    Leaves,
    Writes(u8),
}

/// What happened, and what is asked for: somebody does something, by a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    pub who: UserId,
    pub command: CommandId,
    pub deed: Deed,
}

impl Done {
    fn said(&self) -> Fingerprint {
        Fingerprint::of(self.deed)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub wanted: Done,
    /// What comes later is refused.
    pub until: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    journal: Journal<Refusal>,
    pub members: BTreeSet<UserId>,
    pub written: Vec<(Seq, u8)>,
}

impl Group {
    pub fn new(recent: Recent) -> Self {
        Self { journal: Journal::new(recent), members: BTreeSet::new(), written: Vec::new() }
    }

    pub fn folded(log: &[Recorded<Done>]) -> Self {
        let mut group = Self::new(RECENT);
        log.iter().for_each(|recorded| group.apply(recorded));
        group
    }

    fn allows(&self, ask: &Ask, now: Timestamp) -> Result<(), Refusal> {
        let member = self.members.contains(&ask.wanted.who);
        match ask.wanted.deed {
            _ if now > ask.until => Err(Refusal::Late),
            Deed::Joins if member => Err(Refusal::Member),
            Deed::Leaves | Deed::Writes(_) if !member => Err(Refusal::NotMember),
            Deed::Joins | Deed::Leaves | Deed::Writes(_) => Ok(()),
        }
    }
}

impl EventSourced for Group {
    type Claim = u64;
    type Event = Done;
    type Call = Ask;
    type Said = Infallible;
    type Refusal = Refusal;
    type Effect = Infallible;
    type Intent = Infallible;
    type Preparation = Infallible;
    type Action = Infallible;
    type Given = ();
    type Notices = ();
    type Listing = ();

    const FOLD_VERSION: u16 = 7;

    fn journal(&self) -> &Journal<Refusal> {
        &self.journal
    }

    fn emptied(&self) -> Self {
        let journal = self.journal.emptied();
        Self { journal, members: BTreeSet::new(), written: Vec::new() }
    }

    fn apply(&mut self, recorded: &Recorded<Done>) {
        self.journal.record::<Self>(recorded);
        let Done { who, deed, .. } = recorded.event;
        match deed {
            Deed::Joins => drop(self.members.insert(who)),
            Deed::Leaves => drop(self.members.remove(&who)),
            Deed::Writes(text) => self.written.push((recorded.seq, text)),
        }
    }

    fn decide(&self, moment: &Moment<'_, Self>, input: &Input<Self>) -> Decided<Self> {
        let (call, ask) = match input {
            Input::Call(call, ask) => (*call, ask),
            Input::Said(never) => match *never {},
            Input::Started | Input::Tick => return Decided::default(),
        };
        let (party, said) = (Party::User(ask.wanted.who), ask.wanted.said());
        let known = match self.journal.answers().lookup(party, &ask.wanted.command, said) {
            Lookup::New => moment.found.map_or(Lookup::New, |found| found.lookup(said)),
            known => known,
        };
        let (events, effect) = match (known, self.allows(ask, moment.now)) {
            (Lookup::Known(answer), _) => (Vec::new(), Effect::Answer(call, answer)),
            (Lookup::New | Lookup::Pending, Err(refusal)) => {
                (Vec::new(), Effect::Answer(call, Err(refusal)))
            }
            (Lookup::New | Lookup::Pending, Ok(())) => {
                let seq = self.journal.tail() + 1;
                (vec![ask.wanted.clone()], Effect::AnswerRecorded(call, seq))
            }
        };
        Decided { events, effects: vec![effect], intent: None }
    }

    fn asked_by<'a>(&self, input: &'a Input<Self>) -> Option<(Party, &'a CommandId)> {
        match input {
            Input::Call(_, ask) => Some((Party::User(ask.wanted.who), &ask.wanted.command)),
            Input::Said(never) => match *never {},
            Input::Started | Input::Tick => None,
        }
    }

    fn command_in(event: &Done) -> Option<Stands<'_>> {
        let (party, said) = (Party::User(event.who), event.said());
        Some(Stands { party, command: &event.command, said, under_way: false })
    }

    fn seen_by(&self) -> BTreeSet<Person> {
        self.members.iter().copied().map(Person::User).collect()
    }

    fn names_in(&self, events: &[Done], (): &()) -> Vec<EventNames> {
        vec![EventNames::default(); events.len()]
    }

    fn is_open(&self) -> bool {
        false
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        None
    }

    fn carry_out(&self, _: Timestamp, effect: Infallible, _: &mut Outbox<'_, Self>) {
        match effect {}
    }
}
