//! What the server is told before anybody comes: operators, queues, channels, by REST.
//!
//! Names carry a tag of the run, so that a server that is used otherwise can be told them too. A
//! channel leads to each queue, with a site key as the site's server would have it.

use std::collections::BTreeSet;

use switchboard::domain::{ChannelId, CustomerId, Priority, QueueId, Rule, UserId};
use switchboard::protocol::Wire;
use switchboard::protocol::rest::body::{
    ChannelRequest, ProviderWord, QueueRequest, Secret, SenderWord, UserRequest, UserRole,
};

use super::RunError;
use crate::client::{Rest, RestError, TokenSource};

/// The administrator's login in a seed of ours.
pub const ADMINISTRATOR: &str = "load-administrator";

/// An operator that is wanted.
#[derive(Debug, Clone)]
pub struct WantedOperator {
    /// Its name; unique among them.
    pub name: String,
    /// How many chats it holds.
    pub capacity: u32,
}

/// A queue that is wanted, with its channel.
#[derive(Debug, Clone)]
pub struct WantedQueue {
    /// Its name.
    pub name: String,
    /// How it chooses.
    pub rule: Rule,
    /// Its members, by their place among the operators.
    pub members: Vec<usize>,
    /// How long its offers stand, ms.
    pub offer_timeout_ms: u64,
    /// For how many days its channel keeps chats; none: for good.
    pub retention_days: Option<u16>,
}

/// An operator that is there.
#[derive(Clone)]
pub struct Operator {
    /// Its id.
    pub id: UserId,
    /// The name that customers see.
    pub name: String,
    /// Its tokens.
    pub tokens: TokenSource,
}

/// A queue that is there, with its channel.
#[derive(Clone)]
pub struct Door {
    /// The queue.
    pub queue: QueueId,
    /// The channel that leads to it.
    pub channel: ChannelId,
    site_key: String,
    rest: Rest,
}

impl Door {
    /// Erases a customer of this channel for good.
    pub async fn erase(&self, customer: CustomerId) -> Result<(), RestError> {
        self.rest.erase_customer(&self.site_key, self.channel, customer).await
    }

    /// A visitor's tokens by this channel.
    pub fn visitor(&self, customer: Option<CustomerId>, priority: Priority) -> TokenSource {
        TokenSource::Visitor {
            rest: self.rest.clone(),
            bearer: self.site_key.clone(),
            channel: self.channel,
            customer,
            priority,
            name: None,
        }
    }
}

/// All that is there.
pub struct Provisioned {
    /// The operators, as wanted.
    pub operators: Vec<Operator>,
    /// The queues, as wanted.
    pub doors: Vec<Door>,
    /// Somebody who may read every chat.
    pub auditor: Operator,
}

/// A password that nobody else has.
pub fn password() -> String {
    format!("load-{}", uuid::Uuid::new_v4())
}

/// The seed of a server of ours: one administrator.
pub fn seed(password: &str) -> String {
    format!(
        "[[user]]\nlogin = \"{ADMINISTRATOR}\"\nname = \"Load test\"\n\
         role = \"administrator\"\npassword = \"{password}\"\n"
    )
}

/// Creates everything.
pub async fn provision(
    rest: &Rest,
    administrator: (&str, &str),
    operators: &[WantedOperator],
    queues: &[WantedQueue],
) -> Result<Provisioned, RunError> {
    let (login, password) = administrator;
    let tokens = rest.log_in(login, password).await;
    let tokens = tokens.map_err(|source| RunError::LogIn { login: login.to_owned(), source })?;
    let maker = Maker {
        rest,
        bearer: &tokens.access_token.0,
        tag: format!("{:08x}", uuid::Uuid::new_v4().as_fields().0),
    };
    let mut made = Vec::new();
    for wanted in operators {
        made.push(maker.user(wanted, UserRole::Operator).await?);
    }
    let auditor = WantedOperator { name: "auditor".to_owned(), capacity: 1 };
    let auditor = maker.user(&auditor, UserRole::ChatAdministrator).await?;
    let mut doors = Vec::new();
    for wanted in queues {
        doors.push(maker.door(wanted, &made).await?);
    }
    Ok(Provisioned { operators: made, doors, auditor })
}

struct Maker<'a> {
    rest: &'a Rest,
    bearer: &'a str,
    tag: String,
}

impl Maker<'_> {
    async fn user(&self, wanted: &WantedOperator, role: UserRole) -> Result<Operator, RunError> {
        let name = format!("{} {}", wanted.name, self.tag);
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let login: String = wanted.name.to_ascii_lowercase();
        let login: String = login.chars().filter(|c| plain(*c)).collect();
        let login = format!("load-{}-{login}", self.tag);
        let password = password();
        let request = UserRequest {
            version: 0,
            name: name.clone(),
            login: login.clone(),
            role,
            active: true,
            capacity: wanted.capacity,
            password: Some(Secret(password.clone())),
        };
        let written = self.rest.create_user(self.bearer, &request).await?;
        let id = UserId::parse(&written.id).map_err(|_| RunError::Answer("users"))?;
        let tokens = TokenSource::User { rest: self.rest.clone(), login, password, refresh: None };
        Ok(Operator { id, name, tokens })
    }

    async fn door(&self, wanted: &WantedQueue, operators: &[Operator]) -> Result<Door, RunError> {
        let members = wanted.members.iter();
        let members: BTreeSet<_> = members
            .filter_map(|place| operators.get(*place))
            .map(|operator| Wire(operator.id))
            .collect();
        let request = QueueRequest {
            version: 0,
            name: format!("{} {}", wanted.name, self.tag),
            active: true,
            rule: Wire(wanted.rule),
            members,
            priority: 0,
            offer_timeout_ms: wanted.offer_timeout_ms,
            per_operator_limit: None,
            absent_owner_limit_ms: None,
        };
        let written = self.rest.create_queue(self.bearer, &request).await?;
        let queue = QueueId::parse(&written.id).map_err(|_| RunError::Answer("queues"))?;
        let request = ChannelRequest {
            version: 0,
            name: format!("{} {}", wanted.name, self.tag),
            provider: ProviderWord::WebChat,
            active: true,
            queue: Wire(queue),
            language: None,
            image: None,
            sender: SenderWord::Operator,
            reference: None,
            retention_days: wanted.retention_days,
        };
        let written = self.rest.create_channel(self.bearer, &request).await?;
        let channel = ChannelId::parse(&written.id).map_err(|_| RunError::Answer("channels"))?;
        let key = self.rest.site_key(self.bearer, channel, written.version).await?;
        Ok(Door { queue, channel, site_key: key.site_key.0, rest: self.rest.clone() })
    }
}
