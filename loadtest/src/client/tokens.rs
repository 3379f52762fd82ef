//! Where a client's tokens come from: a log-in that is refreshed, or the server of a site.

use switchboard::domain::{ChannelId, CustomerId, Priority};
use switchboard::protocol::Wire;
use switchboard::protocol::rest::body::{RefreshRequest, VisitorTokenRequest};
use switchboard::protocol::value::{Token, WireText};

use super::rest::{Rest, RestError};

/// A token and when it ends.
#[derive(Debug, Clone)]
pub struct Fresh {
    /// The token.
    pub token: Token,
    /// Its end, UTC ms.
    pub until_ms: u64,
}

/// Whose tokens.
#[derive(Clone)]
pub enum TokenSource {
    /// A token that somebody else has got; there is no newer one.
    Given(Fresh),
    /// Somebody with a password.
    User {
        /// Where.
        rest: Rest,
        /// The login.
        login: String,
        /// The password.
        password: String,
        /// The refresh token of the last log-in.
        refresh: Option<Token>,
    },
    /// A visitor, by the server of its site or an administrator.
    Visitor {
        /// Where.
        rest: Rest,
        /// The site key, or an administrator's access token.
        bearer: String,
        /// The channel.
        channel: ChannelId,
        /// Who; none: somebody new.
        customer: Option<CustomerId>,
        /// How much sooner it is served.
        priority: Priority,
        /// The name to show.
        name: Option<String>,
    },
    /// A visitor whose site's server has no key of its own: an administrator asks in its place.
    /// Only for demonstrations.
    DemoVisitor {
        /// Where.
        rest: Rest,
        /// The administrator's login and password.
        administrator: (String, String),
        /// The channel.
        channel: ChannelId,
        /// Who.
        customer: CustomerId,
        /// The name to show.
        name: String,
    },
}

impl TokenSource {
    /// A token that is new.
    pub async fn fresh(&mut self) -> Result<Fresh, RestError> {
        match self {
            Self::Given(fresh) => Ok(fresh.clone()),
            Self::User { rest, login, password, refresh } => {
                let next = match refresh.take() {
                    Some(refresh_token) => {
                        let refresh_token = Wire(refresh_token);
                        rest.refresh(&RefreshRequest { refresh_token }).await.ok()
                    }
                    None => None,
                };
                let tokens = match next {
                    Some(tokens) => tokens,
                    None => rest.log_in(login, password).await?,
                };
                *refresh = Token::read(&tokens.refresh_token.0).ok();
                fresh(&tokens.access_token.0, tokens.access_until.0)
            }
            Self::Visitor { rest, bearer, channel, customer, priority, name } => {
                let request = VisitorTokenRequest {
                    customer: customer.map(Wire),
                    priority: priority.points(),
                    name: name.clone(),
                };
                let token = rest.visitor_token(bearer, *channel, &request).await?;
                *customer = Some(token.customer.0);
                fresh(&token.token.0, token.until.0)
            }
            Self::DemoVisitor {
                rest,
                administrator: (login, password),
                channel,
                customer,
                name,
            } => {
                let tokens = rest.log_in(login, password).await?;
                let request = VisitorTokenRequest {
                    customer: Some(Wire(*customer)),
                    priority: 0,
                    name: Some(name.clone()),
                };
                let bearer = &tokens.access_token.0;
                let token = rest.visitor_token(bearer, *channel, &request).await?;
                fresh(&token.token.0, token.until.0)
            }
        }
    }
}

fn fresh(token: &str, until_ms: u64) -> Result<Fresh, RestError> {
    let token =
        Token::read(token).map_err(|why| RestError::Answer { path: "a token".to_owned(), why })?;
    Ok(Fresh { token, until_ms })
}
