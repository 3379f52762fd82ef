//! Who may do what: one table, which REST and the socket both ask. What it does not grant is
//! refused.

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Nobody known.
    Nobody,
    /// A site's server, with the site key of a channel.
    Site,
    /// A customer, with a visitor's token.
    Customer,
    /// A user who serves chats.
    Operator,
    /// A user who sees and moves every chat.
    ChatAdministrator,
    /// A user who configures.
    Administrator,
}

impl Subject {
    /// All of them, in the order of the table's columns.
    pub const ALL: &[Self] = &[
        Self::Nobody,
        Self::Site,
        Self::Customer,
        Self::Operator,
        Self::ChatAdministrator,
        Self::Administrator,
    ];

    /// The word in documents.
    pub fn word(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Site => "site",
            Self::Customer => "customer",
            Self::Operator => "operator",
            Self::ChatAdministrator => "chat_administrator",
            Self::Administrator => "administrator",
        }
    }
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// Nothing of the kind.
    No,
    /// With what is its own, as [`Operation::own`] says.
    Own,
    /// With all.
    Yes,
}

macro_rules! operations {
    ($($(#[doc = $doc:literal])+ $operation:ident = $name:literal, own $own:literal,
        [$nobody:ident $site:ident $customer:ident $operator:ident $chat_admin:ident $admin:ident];)*) => {
        /// Something that can be done. Those of the socket are named as their methods.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation {
            $($(#[doc = $doc])+ $operation,)*
        }

        impl Operation {
            /// All of them, in the order of the documents.
            pub const ALL: &[Self] = &[$(Self::$operation),*];

            /// The name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$operation => $name),* }
            }

            /// What it is.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$operation => concat!($($doc),+).trim_ascii()),* }
            }

            /// What is the asker's own, where a right is limited to that; else empty.
            pub fn own(self) -> &'static str {
                match self { $(Self::$operation => $own),* }
            }

            /// The table.
            pub fn right(self, subject: Subject) -> Right {
                match self {
                    $(Self::$operation => match subject {
                        Subject::Nobody => Right::$nobody,
                        Subject::Site => Right::$site,
                        Subject::Customer => Right::$customer,
                        Subject::Operator => Right::$operator,
                        Subject::ChatAdministrator => Right::$chat_admin,
                        Subject::Administrator => Right::$admin,
                    },)*
                }
            }
        }
    };
}

operations! {
    //                                                  nobody site customer operator chat-admin admin
    /// Opens a session on a socket.
    SessionOpen = "session.open", own "",               [No No Yes Yes Yes Yes];
    /// Renews a session's token.
    SessionRenew = "session.renew", own "the session's own person", [No No Own Own Own Own];
    /// Proves that somebody is there.
    PresenceAnswer = "presence.answer", own "",         [No No Yes Yes Yes Yes];
    /// Opens a chat.
    ChatOpen = "chat.open", own "the token's channel",  [No No Own No No No];
    /// Writes into a chat.
    MessageSend = "message.send", own "customer: its chats on its channel; others: chats that they own", [No No Own Own Own No];
    /// Says up to which event a chat was received.
    MessageReceived = "message.received", own "customer: its chats on its channel; others: chats that they own", [No No Own Own Own No];
    /// Says up to which event a chat was read.
    MessageRead = "message.read", own "customer: its chats on its channel; others: chats that they own", [No No Own Own Own No];
    /// Ends a chat.
    ChatEnd = "chat.end", own "customer: its chats on its channel; operator: chats that it owns", [No No Own Own Yes Yes];
    /// Reads a chat.
    ChatHistory = "chat.history", own "customer: its chats on its channel; operator: chats that it owns, is offered, or owned when they ended", [No No Own Own Yes No];
    /// Sets the status.
    OperatorSetStatus = "operator.set_status", own "the status of its own", [No No No Own Own No];
    /// Says that an offer is on the screen.
    OfferShown = "offer.shown", own "offers made to it", [No No No Own Own No];
    /// Accepts an offer.
    OfferAccept = "offer.accept", own "offers made to it", [No No No Own Own No];
    /// Declines an offer.
    OfferDecline = "offer.decline", own "offers made to it", [No No No Own Own No];
    /// Lists chats.
    ChatList = "chat.list", own "its chats, and the lines of its queues", [No No No Own Yes No];
    /// Gives a chat to an operator or a queue.
    ChatTransfer = "chat.transfer", own "chats that it owns", [No No No Own Yes No];
    /// Takes a waiting chat.
    ChatTake = "chat.take", own "chats in `manual` queues of which it is a member", [No No No Own Yes No];
    /// Says that the work has begun.
    ChatSetState = "chat.set_state", own "chats that it owns", [No No No Own Yes No];

    /// Logs in with a password.
    SessionsLogIn = "sessions.log_in", own "",          [Yes Yes Yes Yes Yes Yes];
    /// Gets new tokens for a refresh token, which is the proof.
    SessionsRefresh = "sessions.refresh", own "",       [Yes Yes Yes Yes Yes Yes];
    /// Ends a session of its own.
    SessionsLogOut = "sessions.log_out", own "the session of the token", [No No No Own Own Own];
    /// Issues a visitor's token.
    VisitorTokensIssue = "visitor_tokens.issue", own "the site key's channel", [No Own No No No Yes];
    /// Revokes the tokens that a customer has for a channel.
    VisitorTokensRevoke = "visitor_tokens.revoke", own "the site key's channel", [No Own No No No Yes];
    /// Erases a customer: its chats, and all that is known of it.
    CustomersErase = "customers.erase", own "the site key's channel", [No Own No No No Yes];
    /// Reads users.
    UsersRead = "users.read", own "itself",             [No No No Own Own Yes];
    /// Creates users.
    UsersCreate = "users.create", own "",               [No No No No No Yes];
    /// Changes and deactivates users.
    UsersChange = "users.change", own "",               [No No No No No Yes];
    /// Sets a password.
    UsersSetPassword = "users.set_password", own "its own, with the old one", [No No No Own Own Yes];
    /// Reads channels.
    ChannelsRead = "channels.read", own "",             [No No No Yes Yes Yes];
    /// Creates channels.
    ChannelsCreate = "channels.create", own "",         [No No No No No Yes];
    /// Changes and deactivates channels.
    ChannelsChange = "channels.change", own "",         [No No No No No Yes];
    /// Deletes channels that never had a chat.
    ChannelsDelete = "channels.delete", own "",         [No No No No No Yes];
    /// Makes a channel's site key anew.
    ChannelsSiteKey = "channels.site_key", own "",      [No No No No No Yes];
    /// Reads operators: names and limits, as a transfer needs them.
    OperatorsRead = "operators.read", own "",           [No No No Yes Yes Yes];
    /// Changes the limit of an operator.
    OperatorsChange = "operators.change", own "",       [No No No No No Yes];
    /// Reads queues.
    QueuesRead = "queues.read", own "",                 [No No No Yes Yes Yes];
    /// Creates queues.
    QueuesCreate = "queues.create", own "",             [No No No No No Yes];
    /// Changes and deactivates queues.
    QueuesChange = "queues.change", own "",             [No No No No No Yes];
    /// Deletes inactive queues without open chats.
    QueuesDelete = "queues.delete", own "",             [No No No No No Yes];
    /// Reads the reasons to be away that can be chosen.
    AwayReasonsRead = "away_reasons.read", own "",      [No No No Yes Yes Yes];
    /// Creates reasons to be away.
    AwayReasonsCreate = "away_reasons.create", own "",  [No No No No No Yes];
    /// Changes and deactivates reasons to be away.
    AwayReasonsChange = "away_reasons.change", own "",  [No No No No No Yes];
    /// Deletes inactive reasons to be away.
    AwayReasonsDelete = "away_reasons.delete", own "",  [No No No No No Yes];
    /// Reads where a chat is; no texts.
    ChatsRead = "chats.read", own "customer: its chats on its channel; operator: as `chat.history`", [No No Own Own Yes Yes];
    /// Reads why a chat waits, or went where it went; no texts.
    ChatsExplain = "chats.explain", own "as `chat.history`", [No No No Own Yes Yes];
    /// Reads the audit trail, which notes that too.
    AuditRead = "audit.read", own "",                   [No No No No No Yes];
    /// Reads the documents of the interfaces.
    DocumentsRead = "documents.read", own "",           [Yes Yes Yes Yes Yes Yes];
}

impl Operation {
    /// Who may do it at all, with what is limited to its own named, for the documents.
    pub fn allowed(self) -> Vec<String> {
        let words = Subject::ALL.iter().filter_map(|subject| match self.right(*subject) {
            Right::No => None,
            Right::Own => Some(format!("{} (own)", subject.word())),
            Right::Yes => Some(subject.word().to_owned()),
        });
        words.collect()
    }
}

/// The asker may not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} may not do {}", .subject.word(), .operation.name())]
pub struct Forbidden {
    /// Who asked.
    pub subject: Subject,
    /// For what.
    pub operation: Operation,
}

/// Whether `subject` may do it; `own` says whether what it is done to is its own. Errors when not.
pub fn permit(operation: Operation, subject: Subject, own: bool) -> Result<(), Forbidden> {
    match (operation.right(subject), own) {
        (Right::Yes, true | false) | (Right::Own, true) => Ok(()),
        (Right::Own, false) | (Right::No, true | false) => Err(Forbidden { subject, operation }),
    }
}

/// A right that is granted, with all or with the asker's own alone: what a handler has in its hand
/// before it has looked at what it is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    operation: Operation,
    subject: Subject,
}

impl Scope {
    /// Errors when the table grants nothing of it.
    pub fn of(operation: Operation, subject: Subject) -> Result<Self, Forbidden> {
        permit(operation, subject, true).map(|()| Self { operation, subject })
    }

    /// What it is the right to.
    pub fn operation(self) -> Operation {
        self.operation
    }

    /// Whether what is, or is not, the asker's own lies within it. Errors when not.
    pub fn check(self, own: bool) -> Result<(), Forbidden> {
        permit(self.operation, self.subject, own)
    }

    /// The same, for filters.
    pub fn has(self, own: bool) -> bool {
        self.check(own).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_distinct_and_an_own_right_says_what_is_own() {
        let names: BTreeSet<_> = Operation::ALL.iter().map(|one| one.name()).collect();
        assert_eq!(names.len(), Operation::ALL.len());
        for operation in Operation::ALL {
            let limited = |subject: &Subject| operation.right(*subject) == Right::Own;
            let says = !operation.own().is_empty();
            assert_eq!(Subject::ALL.iter().any(limited), says, "{}", operation.name());
        }
    }

    #[test]
    fn nobody_may_do_nothing_but_log_in_and_read_documents() {
        let open: Vec<_> = Operation::ALL
            .iter()
            .filter(|one| one.right(Subject::Nobody) != Right::No)
            .map(|one| one.name())
            .collect();
        assert_eq!(open, ["sessions.log_in", "sessions.refresh", "documents.read"]);
    }

    #[test]
    fn who_configures_reads_no_chat_and_who_serves_configures_nothing() {
        let history = Operation::ChatHistory;
        assert!(permit(history, Subject::Administrator, true).is_err());
        for operation in Operation::ALL {
            let changes = ["create", "change", "delete", "site_key"];
            let (_, verb) = operation.name().split_once('.').unwrap();
            if changes.contains(&verb) {
                for subject in [Subject::Operator, Subject::ChatAdministrator] {
                    assert!(permit(*operation, subject, true).is_err(), "{operation:?}");
                }
            }
        }
    }

    #[test]
    fn own_means_own() {
        let end = Operation::ChatEnd;
        assert!(permit(end, Subject::Operator, true).is_ok());
        assert!(permit(end, Subject::Operator, false).is_err());
        assert!(permit(end, Subject::ChatAdministrator, false).is_ok());
        for operation in Operation::ALL {
            for subject in Subject::ALL {
                let has = Scope::of(*operation, *subject)
                    .map(|scope| [true, false].map(|own| scope.has(own)));
                let expected = match operation.right(*subject) {
                    Right::No => Err(Forbidden { subject: *subject, operation: *operation }),
                    Right::Own => Ok([true, false]),
                    Right::Yes => Ok([true, true]),
                };
                assert_eq!(has, expected, "{} {}", operation.name(), subject.word());
            }
        }
    }
}
