//! A client of the socket that is not our server's code: JSON as it stands in frames.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::harness::PATIENCE;

pub struct Client {
    pub ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Notifications that nobody waited for yet.
    pub inbox: VecDeque<Value>,
    answers: Vec<Value>,
    calls: u64,
    probes: u64,
    pub closed: Option<u16>,
}

/// What a client got.
enum Got {
    Frame(Value),
    End,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let (ws, _) = connect_async(format!("ws://{address}/ws")).await.unwrap();
        let (inbox, answers) = Default::default();
        Self { ws, inbox, answers, calls: 0, probes: 0, closed: None }
    }

    /// A client of a proxy that says so in this header; or the error of the refusal.
    pub async fn connect_with(
        address: SocketAddr,
        (name, value): (&'static str, &str),
    ) -> Result<Self, tungstenite::Error> {
        let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
        let (ws, _) = connect_async(request).await?;
        let (inbox, answers) = Default::default();
        Ok(Self { ws, inbox, answers, calls: 0, probes: 0, closed: None })
    }

    /// A client whose system keeps little of what it does not read.
    pub async fn with_small_buffers(address: SocketAddr) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let stream = MaybeTlsStream::Plain(socket.connect(address).await.unwrap());
        let url = format!("ws://{address}/ws");
        let (ws, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        let (inbox, answers) = Default::default();
        Self { ws, inbox, answers, calls: 0, probes: 0, closed: None }
    }

    pub async fn open(&mut self, token: &str, resume: Value) -> Result<Value, Value> {
        self.call("session.open", json!({"token": token, "resume": resume})).await
    }

    /// Calls and waits for the answer; what comes meanwhile goes into the inbox.
    pub async fn call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.send(method, params).await;
        self.answer(id).await
    }

    /// The name of the error that a call meets.
    pub async fn refused(&mut self, method: &str, params: Value) -> String {
        let error = self.call(method, params).await.expect_err("a refusal");
        assert!(!error["message"].as_str().unwrap().is_empty());
        error["data"]["name"].as_str().unwrap().to_owned()
    }

    /// Calls and does not wait.
    pub async fn send(&mut self, method: &str, params: Value) -> u64 {
        self.calls += 1;
        let call = json!({"jsonrpc": "2.0", "id": self.calls, "method": method, "params": params});
        self.raw(&call.to_string()).await;
        self.calls
    }

    /// Sends whatever text.
    pub async fn raw(&mut self, text: &str) {
        // A server that has closed already is seen by the reading side.
        let _ = self.ws.send(Message::text(text)).await;
    }

    /// The answer to a call that was sent.
    pub async fn answer(&mut self, id: u64) -> Result<Value, Value> {
        let answer = self.answer_where(|answer| answer["id"] == json!(id)).await;
        match answer.get("error") {
            Some(error) => Err(error.clone()),
            None => Ok(answer["result"].clone()),
        }
    }

    /// The next answer of which something is true.
    pub async fn answer_where(&mut self, so: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(at) = self.answers.iter().position(&so) {
                return self.answers.remove(at);
            }
            assert!(self.step().await, "closed with {:?} instead of an answer", self.closed);
        }
    }

    /// The error that belongs to no call.
    pub async fn error(&mut self) -> Value {
        self.answer_where(|answer| answer["id"].is_null()).await["error"].clone()
    }

    /// The next notification of which something is true.
    pub async fn wait_where(&mut self, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(at) = self.inbox.iter().position(&so) {
                return self.inbox.remove(at).unwrap()["params"].clone();
            }
            assert!(self.step().await, "closed with {:?} instead of {what}", self.closed);
        }
    }

    /// The next notification of that name.
    pub async fn wait(&mut self, method: &str) -> Value {
        self.wait_where(method, |got| got["method"] == method).await
    }

    /// The next event of that kind.
    pub async fn event(&mut self, kind: &str) -> Value {
        self.wait_where(kind, |got| got["method"] == "chat.event" && got["params"]["kind"] == kind)
            .await
    }

    /// Reads until the server closes; answers the code.
    pub async fn until_closed(&mut self) -> u16 {
        while self.step().await {}
        self.closed.expect("a close frame")
    }

    /// Reads until the server is gone, however.
    pub async fn until_ended(&mut self) {
        while self.step().await {}
    }

    /// Reads until the server is gone; the answer to a call, if it came before.
    pub async fn answered_before_the_end(&mut self, id: u64) -> Option<Value> {
        self.until_ended().await;
        self.answers.iter().find(|answer| answer["id"] == json!(id)).cloned()
    }

    /// Proves that somebody is there, and says so.
    pub async fn be_ready(&mut self) {
        while self.probes == 0 {
            assert!(self.step().await);
        }
        let ready = json!({"command_id": "ready", "status": "ready"});
        self.call("operator.set_status", ready).await.unwrap();
        self.wait_where("ready", |got| {
            got["method"] == "operator.updated" && got["params"]["status"] == "ready"
        })
        .await;
    }

    /// Reads one frame. Answers whether there may be more.
    pub async fn step(&mut self) -> bool {
        self.step_within(PATIENCE).await
    }

    /// Reads one frame that may take so long.
    pub async fn step_within(&mut self, patience: Duration) -> bool {
        match timeout(patience, self.read()).await.expect("a frame in time") {
            Got::Frame(frame) if frame.get("method").is_none() => self.answers.push(frame),
            Got::Frame(frame) => self.inbox.push_back(frame),
            Got::End => return false,
        }
        true
    }

    async fn read(&mut self) -> Got {
        loop {
            match self.ws.next().await {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if frame["method"] == "presence.probe" {
                        self.probes += 1;
                        let probe = json!({"probe": frame["params"]["probe"]});
                        let id = format!("probe-{}", self.probes);
                        let call = json!({"jsonrpc": "2.0", "id": id, "method": "presence.answer", "params": probe});
                        self.raw(&call.to_string()).await;
                        continue;
                    }
                    if frame["id"].as_str().is_some_and(|id| id.starts_with("probe-")) {
                        continue;
                    }
                    return Got::Frame(frame);
                }
                Some(Ok(Message::Close(frame))) => {
                    self.closed = frame.map(|frame| u16::from(frame.code));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Got::End,
            }
        }
    }
}
