//! Who comes by TCP: connections that carry datagrams.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Instant;

use bytes::{Buf as _, Bytes};
use mio::net::TcpStream;

use crate::whip::{Framing, frame};

/// What waits to be sent at most. We send reports alone, so who doesn't read them has gone.
const MOST_WAITING: usize = 256 << 10;
/// Reads of one connection in one go, so that nobody holds up the others.
const READS: usize = 16;

/// One connection.
pub(super) struct Client {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) born: Instant,
    /// The number of the session that it belongs to; nothing of a stranger.
    pub(super) session: Option<u64>,
    framing: Framing,
    out: VecDeque<Bytes>,
    waiting: usize,
    pub(super) over: bool,
}

impl Client {
    pub(super) fn new(stream: TcpStream, peer: SocketAddr, now: Instant) -> Self {
        let (framing, out) = (Framing::new(), VecDeque::new());
        Self { stream, peer, born: now, session: None, framing, out, waiting: 0, over: false }
    }

    /// Reads what is there. True where more may be.
    pub(super) fn read(&mut self, buffer: &mut [u8], mut give: impl FnMut(Bytes)) -> bool {
        for _ in 0..READS {
            match self.stream.read(buffer) {
                Ok(0) => {
                    self.over = true;
                    return false;
                }
                Ok(count) => self.framing.push(buffer.get(..count).unwrap_or_default(), &mut give),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.over = true;
                    return false;
                }
            }
        }
        true
    }

    pub(super) fn send(&mut self, datagram: &[u8]) {
        let Some(piece) = frame(datagram) else { return };
        self.waiting = self.waiting.saturating_add(piece.len());
        self.over |= self.waiting > MOST_WAITING;
        self.out.push_back(piece);
        self.flush();
    }

    /// Writes as much as the system takes.
    pub(super) fn flush(&mut self) {
        while let Some(piece) = self.out.front_mut().filter(|_| !self.over) {
            match self.stream.write(piece) {
                Ok(0) => self.over = true,
                Ok(count) => {
                    piece.advance(count.min(piece.len()));
                    self.waiting = self.waiting.saturating_sub(count);
                    if piece.is_empty() {
                        self.out.pop_front();
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.over = true,
            }
        }
    }
}
