//! A chat of a group: members join, leave, write and invite others, who come, decline, or say nothing until
//! the invitation lapses. It has no queue and no owner, stands in an index while an invitation is open, and
//! tells nobody until they have heard.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{CommandId, EventNames, Party, Person, Recorded, Seq, Timestamp, UserId};
use crate::machine::CallId;
use crate::machine::driver::{
    Answer, Decided, Effect, EventSourced, Fingerprint, Input, Journal, Listing, Lookup, Moment,
    Outbox, Recent, Refuses, Stands,
};
use crate::storage::FEED_HOUR_MS;

/// So few that most old commands are looked up in the log.
pub const RECENT: Recent = Recent { commands: 2, parties: 3 };

/// How long an invitation stands, ms: longer than all that goes wrong once.
pub const INVITATION_MS: u64 = 3 * FEED_HOUR_MS;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Unknown,
    Unavailable,
    IdReused,
    NotMember,
    Member,
    Late,
    /// The guest has an invitation.
    Invited,
    /// The guest does not come.
    Declined,
    /// The guest said nothing.
    NoAnswer,
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
    /// Begun with this; its outcome comes from outside, or never.
    Invites(UserId),
}

/// A command, and an invitation by the command that began it.
pub type Key = (UserId, CommandId);

/// What is asked for, and what happens by it: somebody does something, by a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    pub who: UserId,
    pub command: CommandId,
    pub deed: Deed,
}

impl Done {
    pub fn key(&self) -> Key {
        (self.who, self.command.clone())
    }

    fn said(&self) -> Fingerprint {
        Fingerprint::of(self.deed)
    }
}

/// How an invitation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Came,
    Declined,
    Lapsed,
}

impl How {
    pub fn outcome(self) -> Result<(), Refusal> {
        match self {
            Self::Came => Ok(()),
            Self::Declined => Err(Refusal::Declined),
            Self::Lapsed => Err(Refusal::NoAnswer),
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Done(Done),
    Settled(Key, How),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub wanted: Done,
    /// What comes later is refused.
    pub until: Timestamp,
}

/// What a guest says to an invitation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub invitation: Key,
    pub comes: bool,
}

/// Asks the guest of this invitation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskGuest(Key);

/// An invitation is about to be open: a start has to find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opens;

/// What stands of a group in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// An invitation may be open.
    Marked,
    /// One is, and the first of them lapses then.
    Until(Timestamp),
}

/// What only the actor of a group does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Does {
    Lists(Option<Row>),
    Asks(Key, UserId),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    pub guest: UserId,
    pub lapses_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    journal: Journal<Refusal>,
    pub members: BTreeSet<UserId>,
    pub written: Vec<(Seq, u8)>,
    pub invited: BTreeMap<Key, Invitation>,
}

impl Group {
    pub fn new(recent: Recent) -> Self {
        Self::of(Journal::new(recent))
    }

    fn of(journal: Journal<Refusal>) -> Self {
        let (members, written, invited) = (BTreeSet::new(), Vec::new(), BTreeMap::new());
        Self { journal, members, written, invited }
    }

    pub fn folded(log: &[Recorded<Event>]) -> Self {
        let mut group = Self::new(RECENT);
        log.iter().for_each(|recorded| group.apply(recorded));
        group
    }

    pub fn row(&self) -> Option<Row> {
        self.next_deadline().map(Row::Until)
    }

    fn allows(&self, ask: &Ask, now: Timestamp) -> Result<(), Refusal> {
        let member = self.members.contains(&ask.wanted.who);
        match ask.wanted.deed {
            _ if now > ask.until => Err(Refusal::Late),
            Deed::Joins if member => Err(Refusal::Member),
            Deed::Leaves | Deed::Writes(_) | Deed::Invites(_) if !member => Err(Refusal::NotMember),
            Deed::Invites(guest) if self.members.contains(&guest) => Err(Refusal::Member),
            Deed::Invites(guest) if self.invitations_of(guest).next().is_some() => {
                Err(Refusal::Invited)
            }
            Deed::Joins | Deed::Leaves | Deed::Writes(_) | Deed::Invites(_) => Ok(()),
        }
    }

    fn invitations_of(&self, guest: UserId) -> impl Iterator<Item = &Key> {
        self.invited.iter().filter(move |(_, open)| open.guest == guest).map(|(key, _)| key)
    }

    fn called(&self, moment: &Moment<'_, Self>, call: CallId, ask: &Ask) -> Decided<Self> {
        let wanted = &ask.wanted;
        let (party, said) = (Party::User(wanted.who), wanted.said());
        let known = match self.journal.answers().lookup(party, &wanted.command, said) {
            Lookup::New => moment.found.map_or(Lookup::New, |found| found.lookup(said)),
            known => known,
        };
        let effect = match (known, self.allows(ask, moment.now)) {
            (Lookup::Known(answer), _) => Effect::Answer(call, answer),
            (Lookup::Pending, _) => Effect::AnswerLater(call, party, wanted.command.clone()),
            (Lookup::New, Err(refusal)) => Effect::Answer(call, Err(refusal)),
            (Lookup::New, Ok(())) => return self.done(call, wanted),
        };
        Decided { effects: vec![effect], ..Decided::default() }
    }

    fn done(&self, call: CallId, wanted: &Done) -> Decided<Self> {
        let mut events = vec![Event::Done(wanted.clone())];
        let recorded = Effect::AnswerRecorded(call, self.journal.tail() + 1);
        let (effects, intent) = match wanted.deed {
            Deed::Leaves | Deed::Writes(_) => (vec![recorded], None),
            Deed::Joins => {
                // Whoever comes of her own accord has come.
                let settled = self.invitations_of(wanted.who).cloned();
                events.extend(settled.map(|key| Event::Settled(key, How::Came)));
                (vec![recorded], None)
            }
            Deed::Invites(_) => {
                let (party, command) = (Party::User(wanted.who), wanted.command.clone());
                let later = Effect::AnswerLater(call, party, command);
                (vec![later, Effect::Own(AskGuest(wanted.key()))], Some(Opens))
            }
        };
        Decided { events, effects, intent }
    }

    fn replied(&self, now: Timestamp, reply: &Reply) -> Decided<Self> {
        let how = match self.invited.get(&reply.invitation) {
            None => return Decided::default(),
            Some(open) if now >= open.lapses_at => How::Lapsed,
            Some(_) if reply.comes => How::Came,
            Some(_) => How::Declined,
        };
        let events = vec![Event::Settled(reply.invitation.clone(), how)];
        Decided { events, ..Decided::default() }
    }

    fn lapsed(&self, now: Timestamp) -> Decided<Self> {
        let over = self.invited.iter().filter(|(_, open)| now >= open.lapses_at);
        let events = over.map(|(key, _)| Event::Settled(key.clone(), How::Lapsed)).collect();
        Decided { events, ..Decided::default() }
    }

    /// Nobody knows whether the guests were asked.
    fn started(&self, now: Timestamp) -> Decided<Self> {
        let open = self.invited.iter().filter(|(_, open)| now < open.lapses_at);
        let effects = open.map(|(key, _)| Effect::Own(AskGuest(key.clone()))).collect();
        Decided { effects, ..self.lapsed(now) }
    }
}

impl EventSourced for Group {
    type Claim = u64;
    type Event = Event;
    type Call = Ask;
    type Said = Reply;
    type Refusal = Refusal;
    type Effect = AskGuest;
    type Intent = Opens;
    type Preparation = Row;
    /// None: they stay as they are.
    type Rows = Option<Option<Row>>;
    type Action = Does;
    type Given = ();
    type Notices = ();
    type Listing = Listed;

    const FOLD_VERSION: u16 = 7;

    fn journal(&self) -> &Journal<Refusal> {
        &self.journal
    }

    fn emptied(&self) -> Self {
        Self::of(self.journal.emptied())
    }

    fn apply(&mut self, recorded: &Recorded<Event>) {
        self.journal.record::<Self>(recorded);
        match &recorded.event {
            Event::Done(done) => match done.deed {
                Deed::Joins => drop(self.members.insert(done.who)),
                Deed::Leaves => drop(self.members.remove(&done.who)),
                Deed::Writes(text) => self.written.push((recorded.seq, text)),
                Deed::Invites(guest) => {
                    let lapses_at = recorded.at.plus_ms(INVITATION_MS);
                    self.invited.insert(done.key(), Invitation { guest, lapses_at });
                }
            },
            Event::Settled(key, how) => {
                let Some(open) = self.invited.remove(key) else { return };
                if *how == How::Came {
                    self.members.insert(open.guest);
                }
                let answer = Answer { seq: recorded.seq, at: recorded.at };
                let (party, command) = (Party::User(key.0), &key.1);
                self.journal.settle(party, command, how.outcome().map(|()| answer));
            }
        }
    }

    fn decide(&self, moment: &Moment<'_, Self>, input: &Input<Self>) -> Decided<Self> {
        match input {
            Input::Call(call, ask) => self.called(moment, *call, ask),
            Input::Said(reply) => self.replied(moment.now, reply),
            Input::Started => self.started(moment.now),
            Input::Tick => self.lapsed(moment.now),
        }
    }

    fn asked_by<'a>(&self, input: &'a Input<Self>) -> Option<(Party, &'a CommandId)> {
        match input {
            Input::Call(_, ask) => Some((Party::User(ask.wanted.who), &ask.wanted.command)),
            Input::Said(_) | Input::Started | Input::Tick => None,
        }
    }

    fn command_in(event: &Event) -> Option<Stands<'_>> {
        let Event::Done(done) = event else { return None };
        let (party, said) = (Party::User(done.who), done.said());
        let under_way = matches!(done.deed, Deed::Invites(_));
        Some(Stands { party, command: &done.command, said, under_way })
    }

    fn outcome_in(event: &Event, asked: &Event) -> Option<Result<(), Refusal>> {
        match (event, asked) {
            (Event::Settled(key, how), Event::Done(done)) if *key == done.key() => {
                Some(how.outcome())
            }
            (Event::Settled(..) | Event::Done(_), _) => None,
        }
    }

    fn bytes_of(event: &Event) -> usize {
        match event {
            Event::Done(Done { deed: Deed::Writes(kib), .. }) => usize::from(*kib) * 1_024,
            Event::Done(_) | Event::Settled(..) => 0,
        }
    }

    fn seen_by(&self) -> Vec<Person> {
        self.members.iter().copied().map(Person::User).collect()
    }

    fn names_in(&self, events: &[Event], (): &()) -> Vec<EventNames> {
        vec![EventNames::default(); events.len()]
    }

    fn is_open(&self) -> bool {
        !self.invited.is_empty()
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.invited.values().map(|open| open.lapses_at).min()
    }

    fn carry_out(&self, _: Timestamp, AskGuest(key): AskGuest, out: &mut Outbox<'_, Self>) {
        if let Some(open) = self.invited.get(&key) {
            out.push(Does::Asks(key, open.guest));
        }
    }
}

/// The group's row as the index has it; none when nobody knows.
#[derive(Debug, Clone)]
pub struct Listed(pub Option<Option<Row>>);

impl Listing<Group> for Listed {
    fn prepare(
        &mut self,
        _: &Group,
        _: &Input<Group>,
        Opens: Opens,
        _: &mut Outbox<'_, Group>,
    ) -> Row {
        self.doubt();
        Row::Marked
    }

    fn begin(&mut self, _: &Group, _: &Input<Group>, Opens: Opens, _: &mut Outbox<'_, Group>) {
        self.doubt();
    }

    fn rows(&self, ahead: &Group) -> Option<Option<Row>> {
        Some(ahead.row())
    }

    fn written(&mut self, group: &Group, _: &mut Outbox<'_, Group>) {
        self.0 = Some(group.row());
    }

    fn list(&mut self, group: &Group, out: &mut Outbox<'_, Group>) {
        let row = group.row();
        if self.0 != Some(row) {
            self.0 = Some(row);
            out.push(Does::Lists(row));
        }
    }

    fn doubt(&mut self) {
        self.0 = None;
    }
}
