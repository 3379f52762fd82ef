//! What a socket's client sends, counted where its bytes are read.
//!
//! The library below hands out whole messages only: empty continuations, and the parts of a message
//! that is never finished, cost work that nobody above would see. So the headers of frames are read
//! here as they pass: a text in one frame is left to the pace of calls, every other frame takes from
//! a pace of its own, and who exceeds it is told by the error of a read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::edge::limits::{FAREWELL_MAX_BYTES, FRAMES_BESIDE_CALLS};
use crate::edge::{Edge, Pace};

/// The longest header: two bytes, a length of eight, a mask of four.
const HEADER_MAX_BYTES: usize = 14;

/// More frames beside its calls than a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many frames that are no call")]
pub(super) struct TooManyFrames;

/// Finds where frames begin in a stream of bytes.
#[derive(Debug, Default)]
struct Headers {
    header: [u8; HEADER_MAX_BYTES],
    /// Bytes of the header that are there.
    have: usize,
    /// Bytes of the payload that are still to come.
    payload: u64,
    /// A frame said that the client closes.
    closed: bool,
}

impl Headers {
    /// Reads on. Answers how many frames began that are no text in one frame.
    fn read(&mut self, mut bytes: &[u8]) -> u64 {
        let mut others = 0;
        while let Some((first, rest)) = bytes.split_first() {
            if self.payload > 0 {
                let here = self.payload.min(bytes.len() as u64);
                self.payload -= here;
                // It is at most the length of a slice.
                bytes = &bytes[here as usize..];
                continue;
            }
            self.header[self.have] = *first;
            self.have += 1;
            bytes = rest;
            if self.have >= 2 && self.have == self.length() {
                self.payload = self.payload_length();
                self.have = 0;
                // The last frame of a message, with the code of a text.
                others += u64::from(self.header[0] & 0x8f != 0x81);
                self.closed |= self.header[0] & 0x0f == 0x08;
            }
        }
        others
    }

    /// How long the header is of which two bytes are there.
    fn length(&self) -> usize {
        let mask = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
        mask + match self.header[1] & 0x7f {
            126 => 4,
            127 => 10,
            _ => 2,
        }
    }

    fn payload_length(&self) -> u64 {
        let read = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
        match self.header[1] & 0x7f {
            126 => read(&self.header[2..4]),
            127 => read(&self.header[2..10]),
            short => u64::from(short),
        }
    }
}

/// The bytes of a socket. See the module.
pub(super) struct Frames<T> {
    io: T,
    edge: Arc<Edge>,
    headers: Headers,
    pace: Pace,
}

impl<T: AsyncRead + Unpin> Frames<T> {
    pub fn new(io: T, edge: Arc<Edge>) -> Self {
        let pace = Pace::new(FRAMES_BESIDE_CALLS.1, FRAMES_BESIDE_CALLS.0);
        Self { io, edge, headers: Headers::default(), pace }
    }

    /// Reads what still comes and throws it away, until the client has closed or gone: a system
    /// that is left with unread bytes takes back what was sent last, the reason of our close.
    pub async fn until_closed(&mut self) {
        let mut thrown = [0; 1_024];
        let mut left = FAREWELL_MAX_BYTES;
        while !self.headers.closed && left > 0 {
            match self.io.read(&mut thrown).await {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    left = left.saturating_sub(read);
                    self.headers.read(&thrown[..read]);
                }
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Frames<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        let others = self.headers.read(&buffer.filled()[before..]);
        if others > 0 {
            let now = self.edge.now();
            for _ in 0..others {
                self.pace.take(now).map_err(|_| io::Error::other(TooManyFrames))?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Frames<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A masked frame.
    fn frame(first: u8, payload: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload {
            0..126 => bytes.push(0x80 | payload as u8),
            126..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend((payload as u16).to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend((payload as u64).to_be_bytes());
            }
        }
        bytes.extend([1, 2, 3, 4]);
        // A payload that looks like the headers of further frames.
        bytes.extend(std::iter::repeat_n(0x89, payload));
        bytes
    }

    proptest! {
        /// However the bytes are cut, each frame is counted once, and its payload is none.
        #[test]
        fn frames_are_counted_wherever_the_bytes_are_cut(
            frames in prop::collection::vec(
                (prop::sample::select(vec![0x81_u8, 0x01, 0x00, 0x80, 0x89, 0x8a, 0x82]),
                 prop::sample::select(vec![0_usize, 1, 125, 126, 127, 4_000, 65_535, 65_536, 70_000])),
                1..12),
            cut in 1_usize..5_000,
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|(first, n)| frame(*first, *n)).collect();
            let mut headers = Headers::default();
            let others: u64 = bytes.chunks(cut).map(|part| headers.read(part)).sum();
            let expected = frames.iter().filter(|(first, _)| *first != 0x81).count() as u64;
            prop_assert_eq!(others, expected);
            prop_assert!(headers.have == 0 && headers.payload == 0 && !headers.closed);
        }
    }

    #[test]
    fn a_close_is_seen() {
        let mut headers = Headers::default();
        headers.read(&[frame(0x81, 5), frame(0x88, 2)].concat());
        assert!(headers.closed);
    }
}
