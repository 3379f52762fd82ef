//! What a fuzz knows of the server and sends back to it: ids, cursors, tokens. Bounded: the newest
//! push out the oldest.
//!
//! Refuses to know the run's own administrator and its auditor, so that no frame takes them away.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;
use switchboard::domain::{ChatId, CustomerId, Priority, Seq};
use switchboard::protocol::rest::body::{Secret, UserRequest, UserRole, VisitorTokenRequest};

use super::super::RunError;
use super::super::provision::{Provisioned, password};
use super::wild::one_in;
use crate::client::Rest;
use crate::draw::Draw;

/// What is kept of each kind.
const KEPT_MAX: usize = 200;

/// Acknowledged messages that are verified: one page of each of some thousand chats.
const ACKNOWLEDGED_MAX: usize = 20_000;

/// Users that a run makes beside those of the provisioning.
const USERS_MAX: usize = 60;

/// Customers that a run makes.
const CUSTOMERS_MAX: usize = 200;

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// Without a token, or with one that is none.
    Nobody,
    /// A visitor.
    Customer,
    /// A user of each role.
    User(Role),
}

/// A role, in an order for maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// `operator`.
    Operator,
    /// `chat_administrator`.
    ChatAdministrator,
    /// `administrator`.
    Administrator,
}

impl Role {
    fn word(self) -> UserRole {
        match self {
            Self::Operator => UserRole::Operator,
            Self::ChatAdministrator => UserRole::ChatAdministrator,
            Self::Administrator => UserRole::Administrator,
        }
    }
}

impl Who {
    /// Somebody. Operators and customers come most: they have most to say.
    pub fn drawn(draw: &mut Draw) -> Self {
        match draw.below(10) {
            0 => Self::Nobody,
            1..4 => Self::Customer,
            4..7 => Self::User(Role::Operator),
            7 => Self::User(Role::ChatAdministrator),
            _ => Self::User(Role::Administrator),
        }
    }
}

/// See the module.
pub struct Pool {
    rest: Rest,
    login: String,
    password: String,
    bearer: Option<String>,
    hidden: BTreeSet<String>,
    tokens: BTreeMap<Who, VecDeque<String>>,
    known: BTreeMap<&'static str, VecDeque<String>>,
    users: usize,
    customers: usize,
    /// Messages whose answer came, with their text.
    pub acknowledged: BTreeMap<(ChatId, Seq), String>,
    /// Customers that a request has erased.
    pub erasures: u64,
}

/// The members of answers that are worth sending back, and as what.
const MEMBERS: &[(&str, &str)] = &[
    ("chat", "chat"),
    ("offer", "offer"),
    ("cursor", "cursor"),
    ("before", "cursor"),
    ("next", "next"),
    ("customer", "customer"),
    ("queue", "queue"),
    ("channel", "channel"),
    ("owner", "user"),
    ("user", "user"),
    ("version", "version"),
    ("seq", "seq"),
    ("probe", "probe"),
    ("refresh_token", "token"),
    ("access_token", "token"),
    ("token", "token"),
    ("site_key", "token"),
    ("device_mark", "token"),
];

impl Pool {
    /// Of a server whose administrator is this one.
    pub fn new(rest: Rest, (login, password): (&str, &str)) -> Self {
        Self {
            rest,
            login: login.to_owned(),
            password: password.to_owned(),
            bearer: None,
            hidden: BTreeSet::new(),
            tokens: BTreeMap::new(),
            known: BTreeMap::new(),
            users: 0,
            customers: 0,
            acknowledged: BTreeMap::new(),
            erasures: 0,
        }
    }

    /// Learns who is there.
    pub async fn staff(&mut self, there: &Provisioned) -> Result<(), RunError> {
        let tokens = self.rest.log_in(&self.login, &self.password).await?;
        self.hidden.insert(tokens.user.0.to_string());
        self.hidden.insert(there.auditor.id.to_string());
        self.hidden.insert(tokens.access_token.0.clone());
        self.bearer = Some(tokens.access_token.0);
        for operator in &there.operators {
            self.learn("user", operator.id.to_string());
        }
        for door in &there.doors {
            self.learn("queue", door.queue.to_string());
            self.learn("channel", door.channel.to_string());
        }
        Ok(())
    }

    /// Remembers one thing.
    pub fn learn(&mut self, kind: &'static str, what: String) {
        if self.hidden.contains(&what) {
            return;
        }
        let known = self.known.entry(kind).or_default();
        if known.len() == KEPT_MAX {
            known.pop_front();
        }
        known.push_back(what);
    }

    /// Remembers what an answer tells. `id` is what its items are.
    pub fn harvest(&mut self, answer: &Value, id: Option<&'static str>) {
        match answer {
            Value::Array(items) => items.iter().for_each(|item| self.harvest(item, id)),
            Value::Object(members) => {
                for (name, value) in members {
                    let named = MEMBERS.iter().find(|(member, _)| member == name);
                    let kind = named.map(|(_, kind)| *kind).or(id.filter(|_| name == "id"));
                    match (kind, value) {
                        (Some(kind), Value::String(text)) => self.learn(kind, text.clone()),
                        (Some(kind), Value::Number(number)) => {
                            self.learn(kind, number.to_string());
                        }
                        _ => self.harvest(value, id),
                    }
                }
            }
            _ => {}
        }
    }

    /// Something of a kind; mostly a recent one. Without any: an id that nobody has.
    pub fn some(&self, draw: &mut Draw, kind: &'static str) -> String {
        let known = self.known.get(kind).filter(|known| !known.is_empty());
        let from = known.map(|known| if one_in(draw, 3) { 0 } else { known.len() * 3 / 4 });
        let place = from.zip(known).map(|(from, known)| from + draw.below(known.len() - from));
        let found = place.zip(known).and_then(|(place, known)| known.get(place));
        found.cloned().unwrap_or_else(|| CustomerId::from_u128(draw.bits().into()).to_string())
    }

    /// A number of a kind.
    pub fn number(&self, draw: &mut Draw, kind: &'static str) -> u64 {
        self.some(draw, kind).parse().unwrap_or_else(|_| draw.below(5) as u64)
    }

    /// A token of somebody; perhaps one that was revoked meanwhile.
    pub fn token(&self, draw: &mut Draw, who: Who) -> String {
        let tokens = self.tokens.get(&who).filter(|tokens| !tokens.is_empty());
        let place = tokens.map(|tokens| draw.below(tokens.len()));
        let found = place.zip(tokens).and_then(|(place, tokens)| tokens.get(place));
        found.cloned().unwrap_or_else(|| "sb1.none.none.none".to_owned())
    }

    /// Remembers an acknowledged message.
    pub fn acknowledge(&mut self, chat: ChatId, seq: Seq, text: String) {
        if self.acknowledged.len() < ACKNOWLEDGED_MAX {
            self.acknowledged.insert((chat, seq), text);
        }
    }

    fn keep(&mut self, who: Who, token: String) {
        let tokens = self.tokens.entry(who).or_default();
        if tokens.len() == KEPT_MAX {
            tokens.pop_front();
        }
        tokens.push_back(token);
    }

    /// What is wanted to make somebody new, unless enough are there.
    pub fn wanted(&mut self, who: Who) -> Option<Making> {
        let counted = match who {
            Who::Nobody => return None,
            Who::Customer if self.customers >= CUSTOMERS_MAX => return None,
            Who::User(_) if self.users >= USERS_MAX => return None,
            Who::Customer => &mut self.customers,
            Who::User(_) => &mut self.users,
        };
        *counted += 1;
        let (rest, bearer) = (self.rest.clone(), self.bearer.clone()?);
        Some(Making { rest, bearer, who, n: self.users })
    }

    /// Somebody new is there.
    pub fn made(&mut self, who: Who, id: Option<String>, token: String) {
        if let Some(id) = id {
            self.learn(if who == Who::Customer { "customer" } else { "user" }, id);
        }
        self.keep(who, token);
    }

    /// The administrator of the run itself, for a log-in anew.
    pub fn keeper(&self) -> (Rest, String, String) {
        (self.rest.clone(), self.login.clone(), self.password.clone())
    }

    /// The run's administrator has logged in anew.
    pub fn kept(&mut self, bearer: String) {
        self.hidden.insert(bearer.clone());
        self.bearer = Some(bearer);
    }
}

/// Somebody who is about to be made. Away from the pool, so that nobody waits for it.
pub struct Making {
    rest: Rest,
    bearer: String,
    who: Who,
    n: usize,
}

impl Making {
    /// Makes it: its id and its token. Errors are the server's refusals: requests of the run may
    /// have taken away what this needs.
    pub async fn make(
        self,
        channel: &str,
    ) -> Result<(Option<String>, String), crate::client::RestError> {
        let role = match self.who {
            Who::Nobody => return Ok((None, String::new())),
            Who::Customer => {
                let wrong = |why: String| crate::client::RestError::Answer {
                    path: "a channel".to_owned(),
                    why,
                };
                let channel = switchboard::domain::ChannelId::parse(channel)
                    .map_err(|error| wrong(error.to_string()))?;
                let wanted = VisitorTokenRequest {
                    customer: None,
                    priority: Priority::default().points(),
                    name: None,
                };
                let made = self.rest.visitor_token(&self.bearer, channel, &wanted).await?;
                return Ok((Some(made.customer.0.to_string()), made.token.0));
            }
            Who::User(role) => role,
        };
        let (login, password) = (format!("fuzz-{}-{:?}", self.n, role).to_lowercase(), password());
        let wanted = UserRequest {
            version: 0,
            name: format!("Fuzz {}", self.n),
            login: login.clone(),
            role: role.word(),
            active: true,
            capacity: 8,
            password: Some(Secret(password.clone())),
        };
        let made = self.rest.create_user(&self.bearer, &wanted).await?;
        let tokens = self.rest.log_in(&login, &password).await?;
        Ok((Some(made.id), tokens.access_token.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Purpose;
    use serde_json::json;

    #[test]
    fn what_an_answer_tells_is_sent_back_and_the_hidden_is_not() {
        let mut pool = Pool::new(Rest::new("127.0.0.1:1"), ("a", "b"));
        pool.hidden.insert("me".to_owned());
        let answer = json!({"items": [{"id": "q-1", "version": 7, "owner": "me"}], "next": "n"});
        pool.harvest(&answer, Some("queue"));
        let mut draw = Draw::new(1, Purpose::Fuzz, 0);
        assert_eq!(pool.some(&mut draw, "queue"), "q-1");
        assert_eq!(pool.number(&mut draw, "version"), 7);
        assert_eq!(pool.some(&mut draw, "next"), "n");
        assert_ne!(pool.some(&mut draw, "user"), "me");
    }

    #[test]
    fn it_keeps_the_newest() {
        let mut pool = Pool::new(Rest::new("127.0.0.1:1"), ("a", "b"));
        (0..2 * KEPT_MAX).for_each(|n| pool.learn("chat", n.to_string()));
        let mut draw = Draw::new(1, Purpose::Fuzz, 0);
        let oldest = (0..1_000).map(|_| pool.number(&mut draw, "chat")).min();
        assert!(oldest >= Some(KEPT_MAX as u64));
    }
}
