//! What one client knows of each of its chats: how far it has read, and what it is reading.
//!
//! A chat that is entered is loaded first; events that come meanwhile are held and told behind what
//! was loaded. So a person is told each event once and in order, unless the server sends it twice,
//! which is passed on for whoever verifies.
//!
//! A chat that was left is not followed: of one that is offered again later, an operator is sent
//! what happens from then on, but not what happened in between. When it comes back it is loaded from
//! where the person left it.

use std::collections::{BTreeMap, VecDeque};

use switchboard::domain::{ChatId, Seq};
use switchboard::protocol::answer::ChatHistoryPageFrame;
use switchboard::protocol::event::ChatEventFrame;
use switchboard::protocol::limits::HISTORY_LIMIT_MAX;
use switchboard::protocol::params::{ChatHistoryFrame, ResumeFrame};
use switchboard::protocol::value::Object;
use switchboard::protocol::{Call, Cursor, Wire};

/// The chats of one client.
#[derive(Debug, Default)]
pub struct Chats(BTreeMap<ChatId, Known>);

/// One chat.
#[derive(Debug, Default)]
struct Known {
    /// Behind the last event that the person was told; none before the first.
    cursor: Option<Cursor>,
    /// The position of that event.
    told: Seq,
    /// The last event that was loaded: until there, an event that comes was told already.
    loaded: Seq,
    /// The last event that came by itself.
    came: Seq,
    loading: Option<Loading>,
    part: Part,
    /// The last load was refused and begun again at once.
    tried_again: bool,
    /// Nothing but `unreachable` has named it: it may have been claimed and not opened.
    unsure: bool,
}

/// Whether a chat is the person's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Part {
    /// It is.
    #[default]
    GoesOn,
    /// It is another's.
    Left,
    /// It has ended.
    Over,
}

/// A history that is being read.
#[derive(Debug, Default)]
struct Loading {
    /// Whose the chat was when this began.
    part: Part,
    pages: VecDeque<Vec<ChatEventFrame>>,
    held: Vec<ChatEventFrame>,
}

/// What follows from a page.
#[derive(Debug, Default)]
pub struct Loaded {
    /// To be told, in order.
    pub events: Vec<ChatEventFrame>,
    /// What is to be read next; none: all is there.
    pub next: Option<Call>,
}

impl Chats {
    /// Whether the chat is known and goes on.
    pub fn goes_on(&self, chat: ChatId) -> bool {
        self.0.get(&chat).is_some_and(|known| known.part == Part::GoesOn)
    }

    /// Whether the chat was ever entered.
    pub fn knows(&self, chat: ChatId) -> bool {
        self.0.contains_key(&chat)
    }

    /// Begins to load a chat, from its beginning or from where the person is. None when that is
    /// under way already.
    pub fn load(&mut self, chat: ChatId) -> Option<Call> {
        let known = self.0.entry(chat).or_default();
        let part = std::mem::replace(&mut known.part, Part::GoesOn);
        if known.loading.is_some() {
            return None;
        }
        known.loading = Some(Loading { part, ..Loading::default() });
        Some(history(chat, None, known.cursor))
    }

    /// The server cannot say whether there is this chat; it may be one that nobody else has named.
    pub fn suspect(&mut self, chat: ChatId) {
        self.0.entry(chat).or_insert_with(|| Known { unsure: true, ..Known::default() });
    }

    /// Drops a chat of which nothing is known but that it could not be reached. Whether it was one.
    pub fn drop_unsure(&mut self, chat: ChatId) -> bool {
        let unsure = self.0.get(&chat).is_some_and(|known| known.unsure);
        if unsure {
            self.0.remove(&chat);
        }
        unsure
    }

    /// Enters a chat that is not known, or was left; none when there is nothing to do.
    pub fn enter(&mut self, chat: ChatId) -> Option<Call> {
        if self.goes_on(chat) {
            return None;
        }
        self.load(chat)
    }

    /// The chat is another's: it is neither resumed nor followed.
    pub fn leave(&mut self, chat: ChatId) {
        self.set(chat, Part::Left);
    }

    /// The chat has ended: it is not resumed.
    pub fn end(&mut self, chat: ChatId) {
        self.set(chat, Part::Over);
    }

    /// The chat goes on after all: it came back while it was loaded.
    pub fn stay(&mut self, chat: ChatId) {
        self.set(chat, Part::GoesOn);
    }

    fn set(&mut self, chat: ChatId, part: Part) {
        if let Some(known) = self.0.get_mut(&chat) {
            known.part = part;
        }
    }

    /// Takes an event of a known chat that was not left. Returns it when it is to be told now.
    pub fn event(&mut self, event: ChatEventFrame) -> Option<ChatEventFrame> {
        let known = self.0.get_mut(&event.chat.0)?;
        if let Some(loading) = &mut known.loading {
            loading.held.push(event);
            return None;
        }
        if known.part == Part::Left {
            return None;
        }
        known.came(event)
    }

    /// Takes a page of the history that is being loaded.
    pub fn page(&mut self, page: ChatHistoryPageFrame) -> Loaded {
        let chat = page.chat.0;
        let Some(known) = self.0.get_mut(&chat) else {
            return Loaded::default();
        };
        let Some(loading) = &mut known.loading else {
            return Loaded::default();
        };
        let next = match known.cursor {
            // From the beginning: the latest page first, then what lies in front of it.
            None => {
                loading.pages.push_front(page.events);
                page.before.map(|before| history(chat, Some(before.0), None))
            }
            Some(_) => {
                loading.pages.push_back(page.events);
                page.more.then(|| history(chat, None, Some(page.after.0)))
            }
        };
        if next.is_some() {
            return Loaded { events: Vec::new(), next };
        }
        let events = known.loaded();
        Loaded { events, next }
    }

    /// The history cannot be read. Returns what came meanwhile.
    pub fn not_loaded(&mut self, chat: ChatId) -> VecDeque<ChatEventFrame> {
        let Some(known) = self.0.get_mut(&chat) else {
            return VecDeque::new();
        };
        let loading = known.loading.take().unwrap_or_default();
        known.part = loading.part;
        loading.held.into()
    }

    /// Whether an event is the next one of a chat that goes on: it was sent while the chat was this
    /// person's, whatever was refused since.
    pub fn follows(&self, event: &ChatEventFrame) -> bool {
        let known = self.0.get(&event.chat.0).filter(|known| known.part == Part::GoesOn);
        let known = known.filter(|known| known.cursor.is_some());
        known.is_some_and(|known| known.told + 1 == event.seq)
    }

    /// The chat is another's, as its history was refused. Whether what came meanwhile may still say
    /// that it is this person's again; not when that was tried already.
    pub fn refused(&mut self, chat: ChatId) -> bool {
        let Some(known) = self.0.get_mut(&chat) else {
            return false;
        };
        known.part = Part::Left;
        !std::mem::replace(&mut known.tried_again, true)
    }

    /// The connection is lost: loading begins anew afterwards.
    pub fn lost(&mut self) {
        for known in self.0.values_mut() {
            known.loading = None;
        }
    }

    /// The chats that go on and where the person is in them.
    pub fn resume(&self) -> Vec<Object<ResumeFrame>> {
        let going_on = self.0.iter().filter(|(_, known)| known.part == Part::GoesOn);
        let resumed = going_on.filter_map(|(chat, known)| {
            let cursor = Wire(known.cursor?);
            let chat = Wire(*chat);
            Some(Object(ResumeFrame { chat, cursor }))
        });
        resumed.collect()
    }

    /// The chats that go on and of which nothing was told yet.
    pub fn untold(&self) -> Vec<ChatId> {
        let going_on = self.0.iter().filter(|(_, known)| known.part == Part::GoesOn);
        let untold = going_on.filter(|(_, known)| known.cursor.is_none());
        untold.map(|(chat, _)| *chat).collect()
    }
}

impl Known {
    fn came(&mut self, event: ChatEventFrame) -> Option<ChatEventFrame> {
        let first_time = event.seq > self.came;
        self.came = self.came.max(event.seq);
        if first_time && event.seq <= self.loaded {
            return None;
        }
        (self.cursor, self.told) = (Some(event.cursor.0), event.seq);
        Some(event)
    }

    fn loaded(&mut self) -> Vec<ChatEventFrame> {
        let Some(loading) = self.loading.take() else {
            return Vec::new();
        };
        (self.tried_again, self.unsure) = (false, false);
        let mut events: Vec<_> = loading.pages.into_iter().flatten().collect();
        if let Some(last) = events.last() {
            (self.cursor, self.told) = (Some(last.cursor.0), last.seq);
            self.loaded = last.seq;
        }
        let held = loading.held.into_iter();
        events.extend(held.filter_map(|event| self.came(event)).collect::<Vec<_>>());
        events
    }
}

/// A call for a page of a chat's history.
pub fn history(chat: ChatId, before: Option<Cursor>, after: Option<Cursor>) -> Call {
    Call::ChatHistory(ChatHistoryFrame {
        chat: Wire(chat),
        before: before.map(Wire),
        after: after.map(Wire),
        limit: Some(HISTORY_LIMIT_MAX),
    })
}

#[cfg(test)]
mod tests {
    use switchboard::domain::{ChannelId, Incarnation};
    use switchboard::protocol::event::EventFrame;
    use switchboard::protocol::value::TimeFrame;

    use super::*;

    const STORE: Incarnation = Incarnation::from_u128(7);
    const CHAT: ChatId = ChatId::from_u128(7);

    fn event(seq: Seq) -> ChatEventFrame {
        ChatEventFrame {
            chat: Wire(CHAT),
            cursor: Wire(Cursor::new(STORE, CHAT, seq)),
            seq,
            at: TimeFrame(seq),
            what: EventFrame::Opened {
                channel: Wire(ChannelId::from_u128(1)),
                customer: None,
                customer_name: None,
                priority: None,
                continues: None,
            },
        }
    }

    fn page(seqs: &[Seq], before: Option<Seq>, more: bool) -> ChatHistoryPageFrame {
        let last = seqs.last().copied().unwrap_or_default();
        ChatHistoryPageFrame {
            chat: Wire(CHAT),
            events: seqs.iter().copied().map(event).collect(),
            before: before.map(|seq| Wire(Cursor::new(STORE, CHAT, seq))),
            after: Wire(Cursor::new(STORE, CHAT, last)),
            more,
        }
    }

    fn seqs(events: &[ChatEventFrame]) -> Vec<Seq> {
        events.iter().map(|event| event.seq).collect()
    }

    #[test]
    fn what_comes_while_loading_is_told_behind_it_and_once() {
        let mut chats = Chats::default();
        assert!(chats.enter(CHAT).is_some() && chats.enter(CHAT).is_none());
        assert_eq!(chats.event(event(4)), None);
        assert_eq!(chats.event(event(5)), None);
        assert!(chats.page(page(&[3, 4], Some(3), false)).next.is_some());
        let loaded = chats.page(page(&[1, 2], None, true));
        assert_eq!((seqs(&loaded.events), loaded.next), (vec![1, 2, 3, 4, 5], None));
        assert!(chats.event(event(6)).is_some());
    }

    #[test]
    fn what_the_server_sends_twice_is_told_twice() {
        let mut chats = Chats::default();
        chats.enter(CHAT);
        chats.page(page(&[1, 2, 3], None, false));
        assert_eq!(chats.event(event(3)), None, "it was loaded and comes now");
        assert!(chats.event(event(3)).is_some(), "it comes again");
        assert!(chats.event(event(4)).is_some());
        assert!(chats.event(event(4)).is_some());
    }

    #[test]
    fn a_gap_is_loaded_from_where_the_person_is() {
        let mut chats = Chats::default();
        chats.enter(CHAT);
        chats.page(page(&[1, 2], None, false));
        chats.lost();
        let resume = chats.resume();
        assert_eq!(resume[0].0.cursor.0, Cursor::new(STORE, CHAT, 2));
        let Some(Call::ChatHistory(call)) = chats.load(CHAT) else {
            panic!("wanted a history");
        };
        assert_eq!(call.after, Some(Wire(Cursor::new(STORE, CHAT, 2))));
        assert!(chats.page(page(&[3], Some(3), true)).next.is_some());
        let loaded = chats.page(page(&[4, 5], Some(4), false));
        assert_eq!(seqs(&loaded.events), [3, 4, 5]);
    }

    #[test]
    fn a_chat_that_is_over_is_not_resumed() {
        let mut chats = Chats::default();
        chats.enter(CHAT);
        assert_eq!((chats.untold(), chats.resume()), (vec![CHAT], vec![]));
        chats.page(page(&[1], None, false));
        chats.end(CHAT);
        assert_eq!((chats.untold(), chats.resume()), (vec![], vec![]));
        assert!(chats.knows(CHAT) && !chats.goes_on(CHAT));
        assert!(chats.event(event(2)).is_some(), "what belongs to its end still follows");
        chats.leave(CHAT);
        assert!(chats.event(event(3)).is_none());
    }
}
