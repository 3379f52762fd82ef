//! The REST interface, as far as a load test and a terminal need it. HTTP without TLS.

use std::net::IpAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use switchboard::domain::{ChannelId, CustomerId};
use switchboard::protocol::rest::ErrorResponse;
use switchboard::protocol::rest::body::{
    ChannelRequest, LogInRequest, QueueRequest, RefreshRequest, Secret, SiteKeyRequest,
    SiteKeyResponse, TokensResponse, UserRequest, VisitorTokenRequest, VisitorTokenResponse,
    WrittenResponse,
};

/// How long a call may take: a log-in hashes, and others may hash in front of it.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// Largest answer that is read, bytes: a page of a list is far smaller.
const ANSWER_MAX_BYTES: usize = 1024 * 1024;

/// Why a REST call failed. Secrets never stand in it.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// No answer.
    #[error("{path}: no answer: {why}")]
    NoAnswer {
        /// Of what.
        path: String,
        /// Why.
        why: String,
    },
    /// The server says no.
    #[error("{path}: {status} {message}")]
    Refused {
        /// What.
        path: String,
        /// The HTTP status.
        status: u16,
        /// What the server says.
        message: String,
        /// When to try again, ms, if it says so.
        retry_after_ms: Option<u64>,
    },
    /// An answer of another form.
    #[error("{path}: the answer cannot be read: {why}")]
    Answer {
        /// Of what.
        path: String,
        /// Why.
        why: String,
    },
}

/// One server's REST interface.
#[derive(Clone)]
pub struct Rest {
    address: String,
    http: Client<HttpConnector, Full<Bytes>>,
}

impl Rest {
    /// Of the server at `host:port`.
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            http: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// The same, but that its calls come from an address of this machine.
    pub fn from(own: IpAddr, address: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_local_address(Some(own));
        Self {
            address: address.to_owned(),
            http: Client::builder(TokioExecutor::new()).build(connector),
        }
    }

    /// The server's `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Logs in.
    pub async fn log_in(&self, login: &str, password: &str) -> Result<TokensResponse, RestError> {
        let body = LogInRequest {
            login: login.to_owned(),
            password: Secret(password.to_owned()),
            device_mark: None,
        };
        self.call(Method::POST, "/api/v1/sessions", None, Some(&body)).await
    }

    /// The next tokens for a refresh token.
    pub async fn refresh(&self, body: &RefreshRequest) -> Result<TokensResponse, RestError> {
        self.call(Method::POST, "/api/v1/sessions/refresh", None, Some(body)).await
    }

    /// A visitor's token, asked for with a site key or an administrator's token.
    pub async fn visitor_token(
        &self,
        bearer: &str,
        channel: ChannelId,
        body: &VisitorTokenRequest,
    ) -> Result<VisitorTokenResponse, RestError> {
        let path = format!("/api/v1/channels/{channel}/visitor-tokens");
        self.call(Method::POST, &path, Some(bearer), Some(body)).await
    }

    /// Makes a channel's site key.
    pub async fn site_key(
        &self,
        bearer: &str,
        channel: ChannelId,
        version: u64,
    ) -> Result<SiteKeyResponse, RestError> {
        let path = format!("/api/v1/channels/{channel}/site-key");
        let body = SiteKeyRequest { version };
        self.call(Method::POST, &path, Some(bearer), Some(&body)).await
    }

    /// Erases a customer for good. A repeat is harmless.
    pub async fn erase_customer(
        &self,
        bearer: &str,
        channel: ChannelId,
        customer: CustomerId,
    ) -> Result<(), RestError> {
        let path = format!("/api/v1/channels/{channel}/customers/{customer}");
        let (status, body) = self.ask(Method::DELETE, &path, Some(bearer), None::<&()>).await?;
        if status == 204 { Ok(()) } else { Err(refused(&path, status, &body)) }
    }

    /// Creates a user.
    pub async fn create_user(
        &self,
        bearer: &str,
        body: &UserRequest,
    ) -> Result<WrittenResponse, RestError> {
        self.call(Method::POST, "/api/v1/users", Some(bearer), Some(body)).await
    }

    /// Creates a queue.
    pub async fn create_queue(
        &self,
        bearer: &str,
        body: &QueueRequest,
    ) -> Result<WrittenResponse, RestError> {
        self.call(Method::POST, "/api/v1/queues", Some(bearer), Some(body)).await
    }

    /// Creates a channel.
    pub async fn create_channel(
        &self,
        bearer: &str,
        body: &ChannelRequest,
    ) -> Result<WrittenResponse, RestError> {
        self.call(Method::POST, "/api/v1/channels", Some(bearer), Some(body)).await
    }

    /// A document or a list.
    pub async fn get<A: DeserializeOwned>(&self, bearer: &str, path: &str) -> Result<A, RestError> {
        self.call(Method::GET, path, Some(bearer), None::<&()>).await
    }

    /// Any request and what is answered, whatever it is, within `limit`.
    pub async fn raw(
        &self,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<(u16, Bytes), RestError> {
        self.answered(request.uri().path().to_owned(), request, limit).await
    }

    /// A text and its status, as the operations listener answers.
    pub async fn text(&self, path: &str) -> Result<(u16, String), RestError> {
        let (status, body) = self.ask(Method::GET, path, None, None::<&()>).await?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    async fn call<B: Serialize, A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        bearer: Option<&str>,
        body: Option<&B>,
    ) -> Result<A, RestError> {
        let (status, body) = self.ask(method, path, bearer, body).await?;
        if !(200..300).contains(&status) {
            return Err(refused(path, status, &body));
        }
        serde_json::from_slice(&body)
            .map_err(|error| RestError::Answer { path: path.to_owned(), why: error.to_string() })
    }

    async fn ask<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        bearer: Option<&str>,
        body: Option<&B>,
    ) -> Result<(u16, Bytes), RestError> {
        let no_answer = |why: String| RestError::NoAnswer { path: path.to_owned(), why };
        let request = self.request(method, path, bearer, body).map_err(no_answer)?;
        self.answered(path.to_owned(), request, CALL_LIMIT).await
    }

    async fn answered(
        &self,
        path: String,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<(u16, Bytes), RestError> {
        let no_answer = |why: String| RestError::NoAnswer { path: path.clone(), why };
        let asked = async {
            let answer = self.http.request(request).await;
            let answer = answer.map_err(|error| no_answer(chain(&error)))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_MAX_BYTES);
            let body = body.collect().await;
            let body = body.map_err(|error| no_answer(error.to_string()))?;
            Ok((status.as_u16(), body.to_bytes()))
        };
        tokio::time::timeout(limit, asked)
            .await
            .map_err(|_| no_answer("it takes too long".to_owned()))?
    }

    fn request<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        bearer: Option<&str>,
        body: Option<&B>,
    ) -> Result<Request<Full<Bytes>>, String> {
        let mut request =
            Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        if let Some(bearer) = bearer {
            request = request.header(AUTHORIZATION, format!("Bearer {bearer}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                serde_json::to_vec(body).map_err(|error| error.to_string())?
            }
            None => Vec::new(),
        };
        let request = request.body(Full::new(Bytes::from(body)));
        request.map_err(|error| error.to_string())
    }
}

fn refused(path: &str, status: u16, body: &[u8]) -> RestError {
    let said: Option<ErrorResponse> = serde_json::from_slice(body).ok();
    RestError::Refused {
        path: path.to_owned(),
        status,
        retry_after_ms: said.as_ref().and_then(|said| said.error.retry_after_ms),
        message: said.map_or_else(String::new, |said| said.error.detail),
    }
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
