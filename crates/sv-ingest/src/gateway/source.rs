//! Streams that the gateway gets itself: from somebody that it calls by SRT, or that come as transport streams in datagrams.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Entrance, Grant, Publication};
use crate::line::Line;
use crate::srt::Target;
use crate::transport::Incoming;
use crate::{Error, Result};

/// How long to wait before the first attempt after one that failed; each further one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How often a thread looks whether it is still wanted.
const NAP: Duration = Duration::from_millis(50);

/// A thread that gets a stream, until this is dropped.
pub(super) struct Source {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Source {
    fn start(name: &str, work: impl FnOnce(&AtomicBool) + Send + 'static) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mine = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || work(&mine));
        Ok(Self { stop, thread: Some(thread.map_err(Error::io("starting a thread"))?) })
    }

    /// Calls somebody by SRT, again and again, and takes what comes as that stream.
    pub(super) fn srt(entrance: Entrance, stream: &str, target: Target) -> Result<Self> {
        let grant = Grant::new(stream);
        Self::start("srt pull", move |stop| {
            let mut wait = FIRST_WAIT;
            while !stop.load(Ordering::Acquire) {
                let begun = Instant::now();
                if let Err(error) = pull(&entrance, &grant, &target, stop) {
                    tracing::info!(stream = grant.stream, from = %target, %error, "a stream doesn't come");
                }
                wait = if begun.elapsed() > LONGEST_WAIT { FIRST_WAIT } else { wait };
                let again = Instant::now();
                while again.elapsed() < wait && !stop.load(Ordering::Acquire) {
                    std::thread::sleep(NAP);
                }
                wait = wait.saturating_mul(2).min(LONGEST_WAIT);
            }
        })
    }

    /// Takes datagrams of a transport stream at an address, or of a group there, as that stream. Says where, too.
    pub(super) fn datagrams(
        entrance: Entrance,
        stream: &str,
        address: SocketAddr,
    ) -> Result<(Self, SocketAddr)> {
        let what = || format!("listening at {address}");
        let socket = UdpSocket::bind(address).map_err(Error::io(what()))?;
        match address.ip() {
            IpAddr::V4(ip) if ip.is_multicast() => {
                socket.join_multicast_v4(&ip, &Ipv4Addr::UNSPECIFIED).map_err(Error::io(what()))?;
            }
            IpAddr::V6(ip) if ip.is_multicast() => {
                socket.join_multicast_v6(&ip, 0).map_err(Error::io(what()))?;
            }
            _ => {}
        }
        socket.set_read_timeout(Some(NAP)).map_err(Error::io(what()))?;
        let bound = socket.local_addr().map_err(Error::io(what()))?;
        let grant = Grant::new(stream);
        let source = Self::start("udp", move |stop| listen(&entrance, &grant, &socket, stop))?;
        Ok((source, bound))
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to end.
            let _ = thread.join();
        }
    }
}

/// Begins to send a stream, and gives what says that somebody else does.
fn publish(
    entrance: &Entrance,
    grant: &Grant,
    protocol: &'static str,
    from: String,
) -> (Publication, Arc<AtomicBool>) {
    let replaced = Arc::new(AtomicBool::new(false));
    let mine = Arc::clone(&replaced);
    let publication = entrance.publish(grant, protocol, from, move || mine.store(true, Ordering::Release));
    (publication, replaced)
}

fn pull(entrance: &Entrance, grant: &Grant, target: &Target, stop: &AtomicBool) -> Result<()> {
    let mut line = Line::open(target, &|| stop.load(Ordering::Acquire))?;
    let (mut publication, replaced) = publish(entrance, grant, "srt", target.to_string());
    let mut incoming = Incoming::new(entrance.settings().limits);
    let mut result = Ok(());
    while result.is_ok() && !stop.load(Ordering::Acquire) {
        result = line.step(NAP);
        while let Some(payload) = line.delivered() {
            // What is damaged is passed over.
            if let Err(error @ Error::Denied { .. }) = incoming.push(&payload, &mut publication) {
                result = Err(error);
            }
        }
        if replaced.load(Ordering::Acquire) {
            break;
        }
        if let Some(over) = line.over() {
            result = Err(over);
        }
    }
    line.close(Duration::ZERO);
    incoming.finish(&mut publication);
    publication.end(&result.as_ref().err().map_or("it isn't wanted any more".into(), ToString::to_string));
    result
}

/// What stands before a transport stream in a datagram of RTP.
fn payload(datagram: &[u8]) -> Option<&[u8]> {
    match datagram {
        [0x47, ..] => Some(datagram),
        // RTP, version 2: RFC 3550, 5.1, with the payload type of RFC 3551, 6.
        [flags, kind, ..] if flags >> 6 == 2 && kind & 0x7F == 33 => {
            let mut at = usize::from(flags & 15).saturating_mul(4).saturating_add(12);
            if flags & 0x10 != 0 {
                let length = datagram.get(at.saturating_add(2)..at.saturating_add(4))?;
                let words = length.iter().fold(0usize, |n, b| n.wrapping_shl(8) | usize::from(*b));
                at = at.saturating_add(words.saturating_mul(4)).saturating_add(4);
            }
            datagram.get(at..).filter(|rest| rest.starts_with(&[0x47]))
        }
        _ => None,
    }
}

fn listen(entrance: &Entrance, grant: &Grant, socket: &UdpSocket, stop: &AtomicBool) {
    let mut buffer = vec![0; 64 << 10];
    let silence = entrance.settings().silence;
    let mut live: Option<(Publication, Incoming, Arc<AtomicBool>)> = None;
    let mut heard = Instant::now();
    let end = |live: &mut Option<(Publication, Incoming, Arc<AtomicBool>)>, reason: &str| {
        if let Some((mut publication, mut incoming, _)) = live.take() {
            incoming.finish(&mut publication);
            publication.end(reason);
        }
    };
    while !stop.load(Ordering::Acquire) {
        match socket.recv_from(&mut buffer) {
            Ok((count, from)) => {
                let Some(bytes) = buffer.get(..count).and_then(payload) else { continue };
                heard = Instant::now();
                let (publication, incoming, replaced) = live.get_or_insert_with(|| {
                    let (publication, replaced) = publish(entrance, grant, "udp", from.to_string());
                    (publication, Incoming::new(entrance.settings().limits), replaced)
                });
                // What is damaged is passed over.
                let refused = matches!(incoming.push(bytes, publication), Err(Error::Denied { .. }));
                if refused || replaced.load(Ordering::Acquire) {
                    end(&mut live, "another publisher has taken its place");
                    // Who sends it now is left alone for a while.
                    let since = Instant::now();
                    while since.elapsed() < silence && !stop.load(Ordering::Acquire) {
                        std::thread::sleep(NAP);
                    }
                }
            }
            Err(_) => {
                if live.is_some() && heard.elapsed() > silence {
                    end(&mut live, "nothing has come for too long");
                }
            }
        }
    }
    end(&mut live, "it isn't wanted any more");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtp_is_taken_off() {
        let ts = [0x47, 1, 2, 3];
        assert_eq!(payload(&ts), Some(&ts[..]));
        let rtp = |head: &[u8]| [head, &ts].concat();
        assert_eq!(payload(&rtp(&[0x80, 33, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])), Some(&ts[..]));
        let extended = [0x91, 33, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9, 0, 0, 0, 1, 8, 8, 8, 8];
        assert_eq!(payload(&rtp(&extended)), Some(&ts[..]));
        assert_eq!(payload(&rtp(&[0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])), None);
        assert_eq!(payload(&[0x91, 33]), None);
        assert_eq!(payload(&[]), None);
    }
}
