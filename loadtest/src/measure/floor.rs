//! Floors: servers that do the least that a message needs, to hold the router's figures against.
//!
//! They speak the router's words, so that the same driver drives both: `message.send` is answered, and
//! comes to the other one of its pair as `chat.event`. Who is whose stands in the path,
//! `/ws?pair=7&side=customer`. There are no sessions, rights, repeats or histories.
//!
//! One thread serves all sockets. The durable one has a second, which writes what waits to SQLite in one
//! transaction, synced before anything in it is answered, by position, as the router's log is.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rusqlite::Connection;
use serde::Deserialize;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Duration, timeout};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use uuid::Uuid;

use super::wire::{Frame, Incoming, Outgoing, Side, WireError};
use crate::client::clock::wall_ms;

/// How long a handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Most pairs: their sockets have to fit the files that a process may open.
pub const PAIRS_MAX: usize = 10_000;

/// Messages of one transaction at most; more wait for the next one.
const COMMIT_MAX: usize = 8_192;

/// Messages that may wait for the writer: as many as all pairs may have in flight, within reason.
const WAITING_MAX: usize = 640_000;

/// The floor's store in its folder.
const FILE: &str = "floor.db";

/// Bytes of the log beside the file from which it is brought into the file: 16,384 pages of 4 KiB, as the
/// router's.
const CHECKPOINT_AT_BYTES: u64 = 16_384 * 4_096;

/// Statements that stay prepared: there are two.
const STATEMENTS: usize = 4;

/// A cursor as long as the router's.
const CURSOR: &str = "AgAAAAAAAAAFBgVBiw";

/// What a floor does with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Answers it.
    Echo,
    /// Answers it, and forwards it.
    Forward,
    /// Makes it durable in this folder, then answers and forwards it.
    Durable(PathBuf),
}

/// Why a floor cannot be.
#[derive(Debug, thiserror::Error)]
pub enum FloorError {
    /// The network, or a thread.
    #[error("the floor: {0}")]
    Io(#[from] io::Error),
    /// Its store.
    #[error("the floor's store: {0}")]
    Store(#[from] rusqlite::Error),
    /// Its store cannot keep its log beside its file.
    #[error(
        "the floor's store keeps a journal of mode {0} in place of WAL; choose a folder on a local disk"
    )]
    Journal(String),
}

/// Serves on a free port of loopback, which `told` is told, until the process ends.
pub fn serve(kind: &Kind, told: &mut dyn Write) -> Result<(), FloorError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let SocketAddr::V4(address) = listener.local_addr()? else {
            return Err(io::Error::other("no such address").into());
        };
        writeln!(told, "{address}")?;
        told.flush()?;
        let writer = match kind {
            Kind::Echo | Kind::Forward => None,
            Kind::Durable(folder) => Some(writer(folder)?),
        };
        let (writes, mut written) = writer.unzip();
        let forwards = !matches!(kind, Kind::Echo);
        let hall = Rc::new(Hall { pairs: RefCell::default(), writes, forwards });
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let hall = Rc::clone(&hall);
                    spawn_local(async move { come(&hall, accepted?.0).await });
                }
                Some(batch) = next(&mut written) => hall.durable(&batch?),
            }
        }
    })
}

async fn next(written: &mut Option<mpsc::Receiver<Written>>) -> Option<Written> {
    match written {
        Some(written) => written.recv().await,
        None => std::future::pending().await,
    }
}

/// What the writer says of a transaction.
type Written = Result<Vec<Message>, rusqlite::Error>;

/// A message that was sent.
#[derive(Debug)]
struct Message {
    pair: usize,
    from: End,
    id: u64,
    chat: Uuid,
    seq: u64,
    at: u64,
    client_message_id: String,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Customer = 0,
    Operator = 1,
}

/// Everybody who is there.
struct Hall {
    pairs: RefCell<BTreeMap<usize, Pair>>,
    writes: Option<mpsc::Sender<Message>>,
    forwards: bool,
}

#[derive(Default)]
struct Pair {
    ends: [Option<Rc<Peer>>; 2],
    /// The position of its latest message.
    tail: u64,
}

/// One socket.
struct Peer {
    writes: OwnedWriteHalf,
    outgoing: RefCell<Outgoing>,
    /// The socket takes no more for now: its task goes on when it does.
    is_full: Cell<bool>,
    /// What is put down for it would go nowhere: its task ends.
    is_gone: Cell<bool>,
    changed: Notify,
}

impl Peer {
    fn new(writes: OwnedWriteHalf) -> Self {
        Self {
            writes,
            outgoing: RefCell::new(Outgoing::new(Side::Server)),
            is_full: Cell::new(false),
            is_gone: Cell::new(false),
            changed: Notify::new(),
        }
    }

    /// Writes what the socket takes. Whoever is not there, or has too much waiting for it, is gone.
    fn flush(&self) {
        match self.outgoing.borrow_mut().write(&self.writes) {
            Ok(true) => return,
            Ok(false) => self.is_full.set(true),
            Err(_) => self.is_gone.set(true),
        }
        self.changed.notify_one();
    }

    fn put(&self, text: &str) {
        if !self.is_gone.get() {
            self.outgoing.borrow_mut().text(text.as_bytes());
        }
    }
}

/// `message.send`, as the router reads it.
#[derive(Deserialize)]
struct Call {
    id: u64,
    method: String,
    params: Params,
}

#[derive(Deserialize)]
struct Params {
    chat: Uuid,
    client_message_id: String,
    text: String,
}

async fn come(hall: &Rc<Hall>, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut place = None;
    // The library's error is large; it is its own.
    #[allow(clippy::result_large_err, reason = "the signature is the library's")]
    let see = |request: &Request, response: Response| {
        place = request.uri().query().and_then(placed);
        Ok(response)
    };
    let accepted = timeout(HANDSHAKE_LIMIT, accept_hdr_async(stream, see)).await;
    let (Ok(Ok(socket)), Some((pair, end))) = (accepted, place) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let (reads, writes) = socket.into_inner().into_split();
    let peer = Rc::new(Peer::new(writes));
    hall.pairs.borrow_mut().entry(pair).or_default().ends[end as usize] = Some(Rc::clone(&peer));
    // However it ends, the other one stays.
    let _ = talk(hall, &peer, reads, (pair, end)).await;
    if let Some(pair) = hall.pairs.borrow_mut().get_mut(&pair) {
        pair.ends[end as usize] = None;
    }
    Ok(())
}

/// Whose socket it is, by the query of its path.
fn placed(query: &str) -> Option<(usize, End)> {
    let mut of = query.split('&').filter_map(|pair| pair.split_once('='));
    let (mut pair, mut end) = (None, None);
    while let (Some((name, value)), true) = (of.next(), pair.is_none() || end.is_none()) {
        match (name, value) {
            ("pair", number) => pair = number.parse().ok().filter(|pair| *pair < PAIRS_MAX),
            ("side", "customer") => end = Some(End::Customer),
            ("side", "operator") => end = Some(End::Operator),
            _ => {}
        }
    }
    pair.zip(end)
}

async fn talk(
    hall: &Hall,
    peer: &Rc<Peer>,
    mut reads: OwnedReadHalf,
    (pair, end): (usize, End),
) -> Result<(), WireError> {
    let mut incoming = Incoming::new(Side::Server);
    while !peer.is_gone.get() {
        if peer.is_full.take() {
            peer.writes.writable().await?;
            peer.flush();
            continue;
        }
        tokio::select! {
            read = incoming.read(&mut reads) => read?,
            () = peer.changed.notified() => continue,
        }
        while let Some(frame) = incoming.next_frame()? {
            match frame {
                Frame::Text(text) => hall.said(pair, end, text)?,
                Frame::Ping(asked) => peer.outgoing.borrow_mut().pong(asked),
                Frame::Pong => {}
            }
        }
        // What is not made durable is answered at once: all that came in one read, in one write.
        if hall.writes.is_none() {
            hall.flush(pair);
        }
    }
    Ok(())
}

impl Hall {
    fn said(&self, pair: usize, from: End, text: &[u8]) -> Result<(), WireError> {
        let Ok(Call { id, method, params }) = serde_json::from_slice(text) else {
            return Err(WireError::Frame("it is no message.send"));
        };
        if method != "message.send" {
            return Err(WireError::Frame("it is no message.send"));
        }
        let Params { chat, client_message_id, text } = params;
        let mut pairs = self.pairs.borrow_mut();
        let seq = {
            let pair = pairs.entry(pair).or_default();
            pair.tail += 1;
            pair.tail
        };
        let message = Message { pair, from, id, chat, seq, at: wall_ms(), client_message_id, text };
        match &self.writes {
            Some(writes) => {
                writes.try_send(message).map_err(|_| WireError::Frame("too many wait already"))
            }
            None => {
                self.answer(&pairs, &message);
                Ok(())
            }
        }
    }

    /// Answers and forwards what is durable by now, and writes to each socket once.
    fn durable(&self, batch: &[Message]) {
        let pairs = self.pairs.borrow();
        batch.iter().for_each(|message| self.answer(&pairs, message));
        let ends = batch.iter().filter_map(|message| pairs.get(&message.pair));
        for end in ends.flat_map(|pair| pair.ends.iter().flatten()) {
            // Of a pair's many messages the first one writes for all.
            if !end.outgoing.borrow().is_empty() {
                end.flush();
            }
        }
    }

    fn answer(&self, pairs: &BTreeMap<usize, Pair>, message: &Message) {
        let Message { pair, from, id, chat, seq, at, client_message_id, text } = message;
        let Some(Pair { ends: [customer, operator], .. }) = pairs.get(pair) else { return };
        let (sender, other) = match from {
            End::Customer => (customer, operator),
            End::Operator => (operator, customer),
        };
        if let Some(sender) = sender {
            let answer = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"result":{{"chat":"{chat}","seq":{seq},"at":{at}}}}}"#
            );
            sender.put(&answer);
        }
        if let Some(other) = other.as_ref().filter(|_| self.forwards) {
            let text = serde_json::Value::from(text.as_str());
            let event = format!(
                r#"{{"jsonrpc":"2.0","method":"chat.event","params":{{"chat":"{chat}","cursor":"{CURSOR}","seq":{seq},"at":{at},"kind":"message","from":{{"kind":"customer","id":"{chat}"}},"client_message_id":"{client_message_id}","text":{text}}}}}"#
            );
            other.put(&event);
        }
    }

    fn flush(&self, pair: usize) {
        let pairs = self.pairs.borrow();
        let ends = pairs.get(&pair).into_iter().flat_map(|pair| pair.ends.iter().flatten());
        ends.for_each(|end| end.flush());
    }
}

/// The thread that writes, and what it has written.
fn writer(folder: &Path) -> Result<(mpsc::Sender<Message>, mpsc::Receiver<Written>), FloorError> {
    std::fs::create_dir_all(folder)?;
    let store = Connection::open(folder.join(FILE))?;
    store.set_prepared_statement_cache_capacity(STATEMENTS);
    // A file system that cannot have a log beside the file leaves the mode as it was, and says so.
    let mode: String =
        store.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(FloorError::Journal(mode));
    }
    // As the router's: a commit is on the disk when it is answered.
    store.pragma_update(None, "synchronous", "FULL")?;
    // As the router, it brings the log into the file behind the answers.
    store.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    store.execute(
        "CREATE TABLE log (position INTEGER PRIMARY KEY, chat BLOB NOT NULL, seq INTEGER NOT NULL, \
         record BLOB NOT NULL)",
        (),
    )?;
    let (writes, waiting) = mpsc::channel(WAITING_MAX);
    let (tell, written) = mpsc::channel(1);
    let wal = folder.join(format!("{FILE}-wal"));
    let work = move || write(store, &wal, waiting, &tell);
    std::thread::Builder::new().name("writer".to_owned()).spawn(work)?;
    Ok((writes, written))
}

fn write(
    mut store: Connection,
    wal: &Path,
    mut waiting: mpsc::Receiver<Message>,
    tell: &mpsc::Sender<Written>,
) {
    let mut batch = Vec::new();
    let mut checkpoint_at = CHECKPOINT_AT_BYTES;
    while waiting.blocking_recv_many(&mut batch, COMMIT_MAX) > 0 {
        let done = commit(&mut store, &batch);
        let is_over = done.is_err();
        let written = done.map(|()| std::mem::take(&mut batch));
        if tell.blocking_send(written).is_err() || is_over {
            return;
        }
        let bytes = std::fs::metadata(wal).map_or(0, |file| file.len());
        if bytes >= checkpoint_at {
            let done = checkpoint(&store);
            // It is tried again when the log has grown some more.
            let next = if done.is_ok_and(|done| done) { 0 } else { bytes };
            checkpoint_at = next + CHECKPOINT_AT_BYTES;
        }
    }
}

/// Brings the log into the file, and begins it anew; whether all of it.
fn checkpoint(store: &Connection) -> Result<bool, rusqlite::Error> {
    let busy = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    store.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), busy).map(|busy| busy == 0)
}

/// All of them in one transaction, or none.
fn commit(store: &mut Connection, batch: &[Message]) -> Result<(), rusqlite::Error> {
    let transaction = store.transaction()?;
    {
        let mut insert = transaction
            .prepare_cached("INSERT INTO log (chat, seq, record) VALUES (?1, ?2, ?3)")?;
        for message in batch {
            let Message { chat, seq, at, client_message_id, text, .. } = message;
            let text = serde_json::Value::from(text.as_str());
            let record = format!(
                r#"{{"at":{at},"message":{{"from":"{chat}","client_message_id":"{client_message_id}","text":{text}}}}}"#
            );
            let seq = i64::try_from(*seq).unwrap_or(i64::MAX);
            insert.execute((chat.as_bytes().as_slice(), seq, record.as_bytes()))?;
        }
    }
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_a_socket_is_stands_in_its_path() {
        assert_eq!(placed("pair=7&side=customer"), Some((7, End::Customer)));
        assert_eq!(placed("side=operator&pair=0"), Some((0, End::Operator)));
        for wrong in
            ["", "pair=7", "side=customer", "pair=x&side=customer", "pair=10000&side=customer"]
        {
            assert_eq!(placed(wrong), None, "{wrong}");
        }
    }

    fn message(n: u64) -> Message {
        let (client_message_id, text) = (n.to_string(), "hello".to_owned());
        let (pair, from, chat) = (0, End::Customer, Uuid::new_v4());
        Message { pair, from, id: n, chat, seq: n, at: 1, client_message_id, text }
    }

    #[test]
    fn what_the_durable_floor_says_is_written_is_in_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let (writes, mut written) = writer(folder.path()).unwrap();
        for n in 1..=3 {
            writes.blocking_send(message(n)).unwrap();
            assert_eq!(written.blocking_recv().unwrap().unwrap().len(), 1);
            // By somebody else, who sees what is committed alone.
            let reader = Connection::open(folder.path().join(FILE)).unwrap();
            let last = "SELECT max(seq) FROM log";
            assert_eq!(reader.query_row(last, (), |row| row.get::<_, u64>(0)).unwrap(), n);
        }
    }

    #[tokio::test]
    async fn the_durable_floor_answers_nothing_before_it_is_written() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_reads, writes) = listener.accept().await.unwrap().0.into_split();
        let peer = Rc::new(Peer::new(writes));
        let (writes, mut waiting) = mpsc::channel(1);
        let hall = Hall { pairs: RefCell::default(), writes: Some(writes), forwards: true };
        let ends = [Some(Rc::clone(&peer)), None];
        hall.pairs.borrow_mut().insert(0, Pair { ends, tail: 0 });
        let chat = Uuid::new_v4();
        let params = format!(r#"{{"chat":"{chat}","client_message_id":"1","text":"x"}}"#);
        let call = format!(r#"{{"id":1,"method":"message.send","params":{params}}}"#);
        hall.said(0, End::Customer, call.as_bytes()).unwrap();
        assert!(peer.outgoing.borrow().is_empty(), "answered before it is written");
        let message = waiting.recv().await.unwrap();
        hall.answer(&hall.pairs.borrow(), &message);
        assert!(!peer.outgoing.borrow().is_empty());
    }
}
