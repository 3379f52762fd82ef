//! A server in this process, on ports of the system's choice.

use std::time::Duration;

use hyper::Request;
use hyper::body::{Body, Bytes};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use switchboard::access::HashCost;
use switchboard::actors::Options;
use switchboard::app::{Plan, Server, StoreChoice};
use switchboard::config::Settings;
use switchboard::config::seed::seed_id;
use switchboard::storage::memory::MemoryStore;
use tokio::net::TcpStream;

use crate::client::Client;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A server and how to talk to it.
pub struct World {
    pub server: Server,
}

/// The settings of tests: the demonstration on free ports.
pub fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.server.listen = "127.0.0.1:0".parse().unwrap();
    settings.server.ops_listen = "127.0.0.1:0".parse().unwrap();
    settings.server.seed = concat!(env!("CARGO_MANIFEST_DIR"), "/config/demo.toml").into();
    settings
}

/// A plan with cheap hashes.
pub fn plan(settings: Settings, store: StoreChoice) -> Plan {
    let hash_cost = HashCost { memory_kib: 8, passes: 1, lanes: 1 };
    Plan { settings, store, hash_cost, router: Options::default() }
}

/// The id that the seed gives.
pub fn id(kind: &str, name: &str) -> String {
    seed_id(kind, name).to_string()
}

/// Waits until something is so.
pub async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

impl World {
    pub async fn start() -> Self {
        Self::with(settings()).await
    }

    pub async fn with(settings: Settings) -> Self {
        let memory = StoreChoice::Given(MemoryStore::new().store_with_moves());
        Self { server: Server::start(plan(settings, memory)).await.unwrap() }
    }

    /// A request to the public listener: status and body.
    pub async fn ask(
        &self,
        verb: &str,
        path: &str,
        token: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let body = body.map(|body| (media_type(verb), body.to_string()));
        let (status, text) = request(self.server.address, verb, path, token, body).await;
        let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        (status, value)
    }

    /// The access token of a user of the demonstration.
    pub async fn log_in(&self, login: &str) -> String {
        let token = self.tokens(login, &demo_password(login)).await.1;
        token["access_token"].as_str().unwrap().to_owned()
    }

    pub async fn tokens(&self, login: &str, password: &str) -> (u16, Value) {
        let body = json!({"login": login, "password": password});
        self.ask("POST", "/api/v1/sessions", "", Some(body)).await
    }

    /// A visitor's token: the token and the customer.
    pub async fn visitor(&self, channel: &str, customer: Option<&str>) -> (String, String) {
        let admin = self.log_in("admin").await;
        let path = format!("/api/v1/channels/{}/visitor-tokens", id("channel", channel));
        let body = customer.map_or(json!({}), |customer| json!({"customer": customer}));
        let (status, body) = self.ask("POST", &path, &admin, Some(body)).await;
        assert_eq!(status, 201, "{body}");
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        (text("token"), text("customer"))
    }

    /// A further token of a visitor, of which the site says this.
    pub async fn profile(&self, channel: &str, customer: &str, mut says: Value) -> String {
        let admin = self.log_in("admin").await;
        says["customer"] = json!(customer);
        let path = format!("/api/v1/channels/{}/visitor-tokens", id("channel", channel));
        let (status, body) = self.ask("POST", &path, &admin, Some(says)).await;
        assert_eq!(status, 201, "{body}");
        body["token"].as_str().unwrap().to_owned()
    }

    /// A socket without a session.
    pub async fn socket(&self) -> Client {
        Client::connect(self.server.address).await
    }

    /// A user's open session.
    pub async fn user(&self, login: &str) -> Client {
        let token = self.log_in(login).await;
        let mut client = self.socket().await;
        client.open(&token, json!([])).await.unwrap();
        client
    }

    /// An operator who is ready and there.
    pub async fn ready(&self, login: &str) -> Client {
        let mut client = self.user(login).await;
        client.be_ready().await;
        client
    }

    /// A new customer's open session.
    pub async fn customer(&self, channel: &str) -> Client {
        let (token, _) = self.visitor(channel, None).await;
        let mut client = self.socket().await;
        client.open(&token, json!([])).await.unwrap();
        client
    }

    /// What the operations listener says.
    pub async fn operations(&self, path: &str) -> (u16, String) {
        request(self.server.operations_address, "GET", path, "", None).await
    }
}

/// The published password.
pub fn demo_password(login: &str) -> String {
    let filler = match login {
        "anna" => "01",
        _ => "1",
    };
    format!("demo-{login}-{filler}")
}

/// A body that is there as a whole.
struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(hyper::body::Frame::data(bytes))))
    }
}

/// What bodies of the method come as.
pub fn media_type(verb: &str) -> &'static str {
    if verb == "PATCH" { "application/merge-patch+json" } else { "application/json" }
}

/// One request on a connection of its own.
pub async fn request(
    address: std::net::SocketAddr,
    verb: &str,
    path: &str,
    token: &str,
    body: Option<(&str, String)>,
) -> (u16, String) {
    request_with(address, (verb, path), token, body, &[]).await
}

/// The same with further headers.
pub async fn request_with(
    address: std::net::SocketAddr,
    (verb, path): (&str, &str),
    token: &str,
    body: Option<(&str, String)>,
    headers: &[(&str, &str)],
) -> (u16, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    let connection = tokio::spawn(connection);
    let mut request = Request::builder().method(verb).uri(path).header("host", address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let bytes = body.map(|(kind, text)| {
        request = std::mem::take(&mut request)
            .header("content-type", kind)
            .header("content-length", text.len());
        Bytes::from(text)
    });
    let answer = sender.send_request(request.body(Whole(bytes)).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let mut body = std::pin::pin!(answer.into_body());
    let mut text = Vec::new();
    while let Some(frame) = std::future::poll_fn(|c| body.as_mut().poll_frame(c)).await {
        text.extend_from_slice(frame.unwrap().data_ref().unwrap_or(&Bytes::new()));
    }
    connection.abort();
    (status, String::from_utf8(text).unwrap())
}
