//! A WebSocket for measuring: one read takes many frames, one write gives many.
//!
//! Owns the bytes of one connection after its handshake, on either side. Refuses what a measurement has
//! no use for: fragments, extensions, connecting again. Frames are those of RFC 6455, section 5.2.
//!
//! A general library is a tenth of what a message costs here, and a driver that is dear hides what the
//! server costs.

use std::future::poll_fn;
use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;

use switchboard::protocol::limits::FRAME_MAX_BYTES;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Duration, timeout};
use tokio_tungstenite::client_async;

/// How long connecting and the handshake may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Bytes that one read takes at most: some hundred frames of a message.
const READ_BYTES: usize = 64 * 1024;

/// Bytes that one read takes until there has been more: a floor with thousands of sockets that say nothing
/// keeps no more for each.
const FIRST_READ_BYTES: usize = 4 * 1024;

/// Bytes that may wait to be written: whoever takes nothing for so long is gone.
pub const WAITING_MAX_BYTES: usize = 16 * 1024 * 1024;

/// A client has to mask what it sends. With what is of no account: it protects caches in between.
const MASK: [u8; 4] = [0x5a, 0x17, 0xc3, 0x99];

/// Bytes in front of a frame at most: two, a length of eight, a mask of four.
const HEAD_MAX_BYTES: usize = 14;

/// Which side of a connection this is. Clients mask what they send, servers do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Whoever connected.
    Client,
    /// Whoever was connected to.
    Server,
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The network.
    #[error("the connection: {0}")]
    Io(#[from] io::Error),
    /// The handshake.
    #[error("the handshake: {0}")]
    Handshake(String),
    /// The other side closed it.
    #[error("closed by the other side: {code} {reason}")]
    Closed {
        /// As RFC 6455 has it, section 7.4; 1005 when it said none.
        code: u16,
        /// In words.
        reason: String,
    },
    /// What is no frame, or one that is not taken here.
    #[error("a frame that is not taken: {0}")]
    Frame(&'static str),
    /// The other side does not read.
    #[error("more than {WAITING_MAX_BYTES} bytes wait to be written")]
    Waiting,
}

/// Frames that have come and are not taken yet.
#[derive(Debug)]
pub struct Incoming {
    side: Side,
    bytes: Vec<u8>,
    /// Before this everything is taken.
    taken: usize,
    /// Behind this nothing has come.
    came: usize,
}

/// A whole frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A text.
    Text(&'a mut [u8]),
    /// Asks for an answer with the same bytes.
    Ping(&'a [u8]),
    /// An answer.
    Pong,
}

impl Incoming {
    /// Nothing yet.
    pub fn new(side: Side) -> Self {
        Self { side, bytes: vec![0; FIRST_READ_BYTES], taken: 0, came: 0 }
    }

    /// Waits until the socket has something, and takes it. Errors when the connection is over. Nothing is lost
    /// when the wait is given up.
    pub async fn read(&mut self, stream: &mut OwnedReadHalf) -> Result<(), WireError> {
        if self.taken == self.came {
            (self.taken, self.came) = (0, 0);
        }
        if self.came == self.bytes.len() {
            // A frame that began here: to the front with it, or more room for it.
            self.bytes.copy_within(self.taken..self.came, 0);
            (self.came, self.taken) = (self.came - self.taken, 0);
            if self.came == self.bytes.len() {
                self.bytes.resize(FRAME_MAX_BYTES.max(READ_BYTES) + READ_BYTES, 0);
            }
        }
        let mut room = ReadBuf::new(&mut self.bytes[self.came..]);
        // Polled, since that knows of a read that took less than there is room for that nothing more is there;
        // a read that is tried asks the kernel once more for nothing.
        poll_fn(|task| Pin::new(&mut *stream).poll_read(task, &mut room)).await?;
        match room.filled().len() {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            bytes => {
                self.came += bytes;
                if self.came == self.bytes.len() && self.came < READ_BYTES {
                    self.bytes.resize(READ_BYTES, 0);
                }
                Ok(())
            }
        }
    }

    /// The next frame that is there as a whole.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, WireError> {
        let there = &self.bytes[self.taken..self.came];
        let &[first, second, ..] = there else { return Ok(None) };
        if first & 0xf0 != 0x80 {
            return Err(WireError::Frame("fragments and extensions are not"));
        }
        let is_masked = second & 0x80 != 0;
        if is_masked != (self.side == Side::Server) {
            return Err(WireError::Frame("a client masks, a server does not"));
        }
        let (length, head) = match (second & 0x7f, there) {
            (126, [_, _, a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), 4),
            (127, [_, _, a, b, c, d, e, f, g, h, ..]) => {
                let length = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
                (usize::try_from(length).unwrap_or(usize::MAX), 10)
            }
            (126 | 127, _) => return Ok(None),
            (short, _) => (usize::from(short), 2),
        };
        if length > FRAME_MAX_BYTES.max(READ_BYTES) {
            return Err(WireError::Frame("it is too long"));
        }
        let from = self.taken + head + if is_masked { MASK.len() } else { 0 };
        let to = from + length;
        if to > self.came {
            return Ok(None);
        }
        self.taken = to;
        if is_masked {
            let (mask, payload) = self.bytes[from - MASK.len()..to].split_at_mut(MASK.len());
            apply_mask([mask[0], mask[1], mask[2], mask[3]], payload);
        }
        let payload = &mut self.bytes[from..to];
        match first & 0x0f {
            1 => Ok(Some(Frame::Text(payload))),
            8 => Err(closed(payload)),
            9 => Ok(Some(Frame::Ping(payload))),
            10 => Ok(Some(Frame::Pong)),
            _ => Err(WireError::Frame("it is neither a text nor a sign of life")),
        }
    }
}

fn closed(payload: &[u8]) -> WireError {
    let (code, reason) = match payload {
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        _ => (1005, payload),
    };
    WireError::Closed { code, reason: String::from_utf8_lossy(reason).into_owned() }
}

fn apply_mask(mask: [u8; 4], payload: &mut [u8]) {
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Frames that are still to be written.
#[derive(Debug)]
pub struct Outgoing {
    side: Side,
    bytes: Vec<u8>,
    /// Before this everything is written.
    written: usize,
}

impl Outgoing {
    /// Nothing yet.
    pub fn new(side: Side) -> Self {
        Self { side, bytes: Vec::new(), written: 0 }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// Puts a text behind what waits.
    pub fn text(&mut self, text: &[u8]) {
        self.frame(1, text);
    }

    /// Puts the answer to a ping behind what waits.
    pub fn pong(&mut self, asked: &[u8]) {
        self.frame(10, asked);
    }

    /// Asks for a sign of life behind what waits.
    pub fn ping(&mut self) {
        self.frame(9, &[]);
    }

    fn frame(&mut self, opcode: u8, payload: &[u8]) {
        self.bytes.reserve(HEAD_MAX_BYTES + payload.len());
        let masked = if self.side == Side::Client { 0x80 } else { 0 };
        self.bytes.push(0x80 | opcode);
        match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
            (Ok(short @ ..126), _) => self.bytes.push(masked | short),
            (_, Ok(length)) => {
                self.bytes.push(masked | 126);
                self.bytes.extend(length.to_be_bytes());
            }
            _ => {
                self.bytes.push(masked | 127);
                self.bytes.extend((payload.len() as u64).to_be_bytes());
            }
        }
        if self.side == Side::Server {
            self.bytes.extend_from_slice(payload);
            return;
        }
        self.bytes.extend(MASK);
        let from = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        apply_mask(MASK, &mut self.bytes[from..]);
    }

    /// Writes as much as the socket takes now; whether that was all.
    pub fn write(&mut self, stream: &OwnedWriteHalf) -> Result<bool, WireError> {
        while !self.is_empty() {
            match stream.try_write(&self.bytes[self.written..]) {
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let waits = self.bytes.len() - self.written;
                    return if waits > WAITING_MAX_BYTES {
                        Err(WireError::Waiting)
                    } else {
                        Ok(false)
                    };
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.bytes.clear();
        self.written = 0;
        Ok(true)
    }
}

/// A client's connection.
#[derive(Debug)]
pub struct Socket {
    reads: OwnedReadHalf,
    writes: OwnedWriteHalf,
    /// What came.
    pub incoming: Incoming,
    /// What is to go.
    pub outgoing: Outgoing,
}

impl Socket {
    /// Connects to `host:port`, path and query as given.
    pub async fn connect(address: &str, path: &str) -> Result<Self, WireError> {
        Self::connect_from(None, address, path).await
    }

    /// The same from an address of this machine; none: from whichever the system takes.
    pub async fn connect_from(
        own: Option<Ipv4Addr>,
        address: &str,
        path: &str,
    ) -> Result<Self, WireError> {
        let connecting = async {
            let stream = match own {
                None => TcpStream::connect(address).await?,
                Some(own) => {
                    let socket = TcpSocket::new_v4()?;
                    socket.bind((own, 0).into())?;
                    let to = address.parse();
                    let to = to.map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
                    socket.connect(to).await?
                }
            };
            stream.set_nodelay(true)?;
            let url = format!("ws://{address}{path}");
            let handshake = client_async(url, stream).await;
            let (socket, _) = handshake.map_err(|error| WireError::Handshake(error.to_string()))?;
            // No server here speaks first, so nothing has come that stays behind in it.
            Ok::<_, WireError>(socket.into_inner())
        };
        let stream = timeout(CONNECT_LIMIT, connecting).await;
        let stream = stream.map_err(|_| WireError::Handshake("it took too long".to_owned()))??;
        let (incoming, outgoing) = (Incoming::new(Side::Client), Outgoing::new(Side::Client));
        let (reads, writes) = stream.into_split();
        Ok(Self { reads, writes, incoming, outgoing })
    }

    /// Writes nothing any more: the other side reads that the connection is over.
    pub async fn break_off(&mut self) -> Result<(), WireError> {
        Ok(self.writes.shutdown().await?)
    }

    /// Writes what waits, and then waits until something has come.
    pub async fn turn(&mut self) -> Result<(), WireError> {
        while !self.outgoing.write(&self.writes)? {
            tokio::select! {
                read = self.incoming.read(&mut self.reads) => return read,
                is_there = self.writes.writable() => is_there?,
            }
        }
        self.incoming.read(&mut self.reads).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one side has put, as the other side takes it, in pieces of so many bytes.
    fn taken(from: Side, to: Side, texts: &[Vec<u8>], piece: usize) -> Vec<Vec<u8>> {
        let mut outgoing = Outgoing::new(from);
        texts.iter().for_each(|text| outgoing.text(text));
        let (mut incoming, mut taken) = (Incoming::new(to), Vec::new());
        for piece in outgoing.bytes.chunks(piece) {
            if incoming.taken == incoming.came {
                (incoming.taken, incoming.came) = (0, 0);
            }
            let came = incoming.came;
            if came + piece.len() > incoming.bytes.len() {
                incoming.bytes.resize(came + piece.len(), 0);
            }
            incoming.bytes[came..came + piece.len()].copy_from_slice(piece);
            incoming.came += piece.len();
            while let Some(frame) = incoming.next_frame().unwrap() {
                let Frame::Text(text) = frame else { panic!("{frame:?}") };
                taken.push(text.to_vec());
            }
        }
        taken
    }

    #[test]
    fn what_is_put_on_one_side_is_taken_on_the_other_whatever_its_length() {
        let texts: Vec<Vec<u8>> =
            [0, 1, 125, 126, 127, 65_535, 65_536].map(|length| vec![b'x'; length]).into();
        for (from, to) in [(Side::Client, Side::Server), (Side::Server, Side::Client)] {
            for piece in [7, 4_096, 1 << 20] {
                assert!(taken(from, to, &texts, piece) == texts, "{from:?} in {piece}");
            }
        }
    }

    #[test]
    fn what_is_not_masked_as_its_side_has_to_is_refused() {
        let mut outgoing = Outgoing::new(Side::Server);
        outgoing.text(b"hello");
        let mut incoming = Incoming::new(Side::Server);
        incoming.bytes[..outgoing.bytes.len()].copy_from_slice(&outgoing.bytes);
        incoming.came = outgoing.bytes.len();
        assert!(matches!(incoming.next_frame(), Err(WireError::Frame(_))));
    }
}
