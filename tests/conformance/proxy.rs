//! A wire between the store and its database that a test can hold: what was sent waits, and
//! arrives when it is let go, as on a network or a host that stalls.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// See the module. It ends with the runtime.
pub struct Proxy {
    pub address: SocketAddr,
    requests_held: watch::Sender<bool>,
    answers_held: watch::Sender<bool>,
}

impl Proxy {
    /// Before the database at `target`, on this machine. It has the same address and another port,
    /// since a driver asks a node by the address that the node tells, at the port that it was told.
    pub async fn before(target: String) -> Self {
        let (host, _) = target.rsplit_once(':').unwrap();
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (requests_held, requests) = watch::channel(false);
        let (answers_held, answers) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&target).await else { continue };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(pass(from_client, to_server, requests.clone()));
                tokio::spawn(pass(from_server, to_client, answers.clone()));
            }
        });
        Self { address, requests_held, answers_held }
    }

    /// Whether what the store sends waits.
    pub fn hold_requests(&self, hold: bool) {
        self.requests_held.send_replace(hold);
    }

    /// Whether what the database answers waits.
    pub fn hold_answers(&self, hold: bool) {
        self.answers_held.send_replace(hold);
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut held: watch::Receiver<bool>) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(read) = from.read(&mut bytes).await {
        if read == 0 || held.wait_for(|held| !held).await.is_err() {
            return;
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
