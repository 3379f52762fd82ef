//! What stands in the audit trail: who did what to what, from where, and what became of it.

use std::fmt;
use std::net::IpAddr;

use super::{AwayReasonId, ChannelId, Customer, CustomerId, QueueId, Timestamp, UserId};

/// Bits of an entry's id that count; 48 bits of time stand in front of them.
const ID_COUNT_BITS: u32 = 80;

/// Bits of these that count within a life of a process; the life's own stand in front of them.
const ID_IN_LIFE_BITS: u32 = 48;

/// The largest time that an id can name: some 8,900 years after 1970.
const ID_MS_MAX: u64 = (1 << 48) - 1;

/// The length of an hour, ms.
pub const AUDIT_HOUR_MS: u64 = 3_600_000;

/// One entry. Ids are in the order in which entries were made, by the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditId(u128);

impl AuditId {
    /// Before all others.
    pub const FIRST: Self = Self(0);

    /// Behind all others; no entry has it.
    pub const END: Self = Self(u128::MAX);

    /// The `n`th entry of a life of a process. `life` tells apart the lives that share a
    /// millisecond.
    pub const fn new(at: Timestamp, life: u32, n: u64) -> Self {
        let n = n & ((1 << ID_IN_LIFE_BITS) - 1);
        Self(Self::first_of(at).0 | ((life as u128) << ID_IN_LIFE_BITS) | n as u128)
    }

    /// Where the entries of this millisecond begin.
    pub const fn first_of(at: Timestamp) -> Self {
        let ms = if at.0 > ID_MS_MAX { ID_MS_MAX } else { at.0 };
        Self((ms as u128) << ID_COUNT_BITS)
    }

    /// Where the entries of the hour begin that this is in: what is too old is removed by whole hours.
    pub fn first_of_hour(at: Timestamp) -> Self {
        Self::first_of(Timestamp(at.0 / AUDIT_HOUR_MS * AUDIT_HOUR_MS))
    }

    /// When it was made.
    pub const fn at(self) -> Timestamp {
        Timestamp((self.0 >> ID_COUNT_BITS) as u64)
    }

    /// The hour in which it was made, counted from 1970.
    pub const fn hour(self) -> u64 {
        self.at().0 / AUDIT_HOUR_MS
    }

    /// The first id behind it.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The key that stores order by.
    pub const fn key(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The id of a key.
    pub const fn from_key(key: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(key))
    }

    /// Reads the form that `Display` writes; none when it is another.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.len() == 32 && text.bytes().all(|b| b"0123456789abcdef".contains(&b));
        u128::from_str_radix(text, 16).ok().filter(|_| plain).map(Self)
    }
}

impl fmt::Display for AuditId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Who acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuditActor {
    /// The process itself: a seed, a schedule.
    System,
    /// Whoever may run commands on the machine.
    CommandLine,
    /// Nobody known: who fails to log in, a page of a foreign origin.
    Unknown,
    /// A user.
    User(UserId),
    /// The server of a channel's site.
    Site(ChannelId),
}

/// What was acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuditSubject {
    /// A user, its sessions too.
    User(UserId),
    /// A queue.
    Queue(QueueId),
    /// A channel, its site key too.
    Channel(ChannelId),
    /// A reason to be away.
    AwayReason(AwayReasonId),
    /// A customer of a channel; none once it was erased.
    Customer {
        /// The channel.
        channel: ChannelId,
        /// The customer.
        customer: Option<CustomerId>,
    },
    /// The store as a whole.
    Store,
    /// The audit trail.
    Trail,
}

macro_rules! acts {
    ($($(#[doc = $doc:literal])+ $act:ident = $word:literal;)*) => {
        /// What was done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum AuditAct {
            $($(#[doc = $doc])+ $act,)*
        }

        impl AuditAct {
            /// All of them, in the order of the documents.
            pub const ALL: &[Self] = &[$(Self::$act),*];

            /// The word in documents, records and metrics.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$act => $word),* }
            }

            /// What it means.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$act => concat!($($doc),+).trim_ascii()),* }
            }
        }
    };
}

acts! {
    /// A user was created.
    UserCreated = "user.created";
    /// A user was changed: its name, login, role, limit, activity or password.
    UserChanged = "user.changed";
    /// A queue was created.
    QueueCreated = "queue.created";
    /// A queue was changed.
    QueueChanged = "queue.changed";
    /// A queue was deleted.
    QueueDeleted = "queue.deleted";
    /// A channel was created.
    ChannelCreated = "channel.created";
    /// A channel was changed, or its site key made anew.
    ChannelChanged = "channel.changed";
    /// A channel was deleted.
    ChannelDeleted = "channel.deleted";
    /// The tokens of a customer were revoked.
    VisitorTokensRevoked = "visitor_tokens.revoked";
    /// A customer was erased.
    CustomerErased = "customer.erased";
    /// Somebody logged in.
    LoggedIn = "session.began";
    /// Somebody logged out.
    LoggedOut = "session.ended";
    /// A refresh token was used a second time: it was stolen, and its session was ended.
    RefreshReused = "session.refresh_reused";
    /// Log-ins with a wrong password, or none that is known; counted by the minute.
    LogInFailed = "log_in.failed";
    /// A login was guessed at more than a hundred times within an hour; told when it was crossed, with
    /// the network of that guess.
    LoginGuessedAt = "log_in.guessed_at";
    /// Pages of foreign sites wanted sockets; counted by the minute.
    OriginRefused = "origin.refused";
    /// An empty store was filled from a file.
    StoreImported = "store.imported";
    /// The store was set back or copied, and its history begins anew.
    StoreRestored = "store.restored";
    /// A whole store was made out of a damaged one; what could not be read is lost.
    StoreRepaired = "store.repaired";
    /// Steps of the schema were applied.
    SchemaApplied = "schema.applied";
    /// Customers who were erased before were erased in a store that did not know of it, or in which a
    /// process had not ended it.
    ErasuresApplied = "erasures.applied";
    /// The audit trail was read.
    TrailRead = "audit.read";
    /// A reason to be away was created.
    AwayReasonCreated = "away_reason.created";
    /// A reason to be away was changed.
    AwayReasonChanged = "away_reason.changed";
    /// A reason to be away was deleted.
    AwayReasonDeleted = "away_reason.deleted";
    /// The history was made anew from the logs.
    HistoryRebuilt = "history.rebuilt";
}

impl AuditAct {
    /// The act of that word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|act| act.word() == word)
    }
}

/// A field that an act changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditChange {
    /// Its name.
    pub field: String,
    /// What it was; none: nothing, or a secret.
    pub from: Option<String>,
    /// What it becomes; none: nothing, or a secret.
    pub to: Option<String>,
}

/// What became of an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuditOutcome {
    /// It took effect.
    Done,
    /// It had no effect.
    Refused,
    /// So many of the kind had no effect.
    Counted(u64),
    /// The process ended before it was known.
    Unknown,
}

/// One entry of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its place.
    pub id: AuditId,
    /// Who acted.
    pub actor: AuditActor,
    /// The client's address, or its network where entries are counted; none: not by the network.
    pub address: Option<IpAddr>,
    /// What was done.
    pub act: AuditAct,
    /// To what; none: to nothing that is known.
    pub subject: Option<AuditSubject>,
    /// What it changes.
    pub changes: Vec<AuditChange>,
    /// What became of it; none: under way.
    pub outcome: Option<AuditOutcome>,
}

impl AuditEntry {
    /// The customer that it is about, and names.
    pub fn customer(&self) -> Option<Customer> {
        match self.subject? {
            AuditSubject::Customer { channel, customer } => {
                customer.map(|id| Customer { channel, id })
            }
            AuditSubject::User(_)
            | AuditSubject::Queue(_)
            | AuditSubject::Channel(_)
            | AuditSubject::AwayReason(_)
            | AuditSubject::Store
            | AuditSubject::Trail => None,
        }
    }

    /// Names this customer no more, if it does; what somebody did stays said. Answers whether it did.
    pub fn forget_customer(&mut self, customer: Customer) -> bool {
        let does = self.customer() == Some(customer);
        if does {
            let channel = customer.channel;
            self.subject = Some(AuditSubject::Customer { channel, customer: None });
        }
        does
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_in_the_order_of_time_then_life_then_number() {
        let id = |ms, life, n| AuditId::new(Timestamp(ms), life, n);
        let ids = [
            AuditId::FIRST,
            AuditId::first_of(Timestamp(1)),
            id(1, 0, 1),
            id(1, 2, 0),
            id(1, u32::MAX, u64::MAX),
            AuditId::first_of(Timestamp(2)),
            id(2, 0, 1),
            AuditId::END,
        ];
        assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0].key() < pair[1].key()));
        for one in ids {
            assert_eq!(AuditId::from_key(one.key()), one);
            assert_eq!(AuditId::parse(&one.to_string()), Some(one));
        }
        assert_eq!(id(AUDIT_HOUR_MS * 3 - 1, 9, 9).hour(), 2);
        assert_eq!(id(7, 9, 9).at(), Timestamp(7));
        let third = AuditId::first_of(Timestamp(AUDIT_HOUR_MS * 2));
        for ms in [AUDIT_HOUR_MS * 2, AUDIT_HOUR_MS * 3 - 1] {
            assert_eq!(AuditId::first_of_hour(Timestamp(ms)), third);
        }
        for wrong in ["", "0", "+0000000000000000000000000000001", "z"] {
            assert_eq!(AuditId::parse(wrong), None);
        }
    }

    #[test]
    fn who_is_erased_is_named_no_more_by_what_was_about_it_and_nobody_else() {
        let [customer, other] = [1, 2]
            .map(|n| Customer { channel: ChannelId::from_u128(7), id: CustomerId::from_u128(n) });
        let about = |subject| AuditEntry {
            id: AuditId::FIRST,
            actor: AuditActor::System,
            address: None,
            act: AuditAct::VisitorTokensRevoked,
            subject: Some(subject),
            changes: Vec::new(),
            outcome: None,
        };
        let of = |customer| AuditSubject::Customer { channel: other.channel, customer };
        let mut entry = about(of(Some(customer.id)));
        assert_eq!(entry.customer(), Some(customer));
        assert!(!entry.forget_customer(other));
        assert_eq!(entry, about(of(Some(customer.id))), "it is about somebody else");
        assert!(entry.forget_customer(customer));
        assert_eq!((entry.customer(), &entry), (None, &about(of(None))), "that it was stays said");
        let mut entry = about(AuditSubject::Store);
        assert!(!entry.forget_customer(customer) && entry == about(AuditSubject::Store));
    }

    #[test]
    fn words_are_distinct() {
        let words: std::collections::BTreeSet<_> = AuditAct::ALL.iter().map(|a| a.word()).collect();
        assert_eq!(words.len(), AuditAct::ALL.len());
        assert!(AuditAct::ALL.iter().all(|act| AuditAct::of_word(act.word()) == Some(*act)));
    }
}
