//! How a connection begins, on the wire
//! ([draft-sharabayko-srt](https://datatracker.ietf.org/doc/html/draft-sharabayko-srt-01#section-3.2.1), 3.2.1).

use std::net::IpAddr;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::packet::{Words, halves};
use super::stream_id::StreamId;
use crate::{Error, Result};

/// The version of SRT that we speak, as HSREQ tells it: 1.5.3.
pub(super) const VERSION: u32 = 0x0001_0503;
/// What a listener's induction has in place of extension flags.
pub(super) const MAGIC: u16 = 0x4A17;
/// Both sides send and receive by time stamps, drop what is too late, repeat what they miss, and know the flags for
/// keys and for packets that are sent again.
pub(super) const FLAGS: u32 = 0x3F;
/// In HSREQ: a stream of bytes without packets.
pub(super) const STREAM: u32 = 0x40;

/// What an extension flag says is there.
pub(super) mod extension {
    pub(in crate::srt) const HELLO: u16 = 1;
    pub(in crate::srt) const KEYS: u16 = 2;
    pub(in crate::srt) const CONFIG: u16 = 4;
}

/// What a handshake is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Two meet: the first word.
    Wave,
    /// The caller's first word, and the listener's cookie.
    Induction,
    /// What both want.
    Conclusion,
    /// Two have met.
    Agreement,
    /// No, by this code: 1000 and up.
    Reject(u32),
}

/// A handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// 4 for the caller's first word, 5 for everything else.
    pub version: u32,
    /// The length of keys that is meant, in bytes divided by 8: 2, 3 or 4; 0 for none.
    pub encryption: u16,
    /// Which extensions follow; in inductions something else.
    pub extensions: u16,
    /// The number of the first packet of data.
    pub first: u32,
    /// The largest packet of IP.
    pub mtu: u32,
    /// How many packets may be on their way.
    pub window: u32,
    /// What it is for.
    pub purpose: Purpose,
    /// The sender's socket.
    pub id: u32,
    /// What a listener gave to whoever can hear it.
    pub cookie: u32,
    /// Where its receiver seems to be.
    pub address: [u8; 16],
    /// More.
    pub extra: Vec<Extension>,
}

/// What a handshake may carry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Extension {
    /// How the sender works (HSREQ, HSRSP).
    Hello {
        /// Whether it asks.
        request: bool,
        /// The version of SRT.
        version: u32,
        /// What it can.
        flags: u32,
        /// How long it holds back what it receives, in milliseconds.
        receiver: u16,
        /// How long its receiver should at least, in milliseconds.
        sender: u16,
    },
    /// Keys (KMREQ, KMRSP).
    Keys {
        /// Whether it asks.
        request: bool,
        /// See [`KeyMaterial`](super::KeyMaterial).
        message: Bytes,
    },
    /// Which stream it is about.
    Stream(StreamId),
    /// Something else.
    Other {
        /// Its number.
        kind: u16,
        /// What it says, a multiple of 4 bytes.
        data: Bytes,
    },
}

impl Purpose {
    const fn word(self) -> u32 {
        match self {
            Self::Wave => 0,
            Self::Induction => 1,
            Self::Conclusion => 0xFFFF_FFFF,
            Self::Agreement => 0xFFFF_FFFE,
            Self::Reject(code) => code,
        }
    }
}

/// An address as handshakes have it.
pub(super) fn address(ip: IpAddr) -> [u8; 16] {
    let mut out = [0; 16];
    match ip {
        IpAddr::V4(ip) => {
            for (to, from) in out.iter_mut().zip(ip.octets().iter().rev()) {
                *to = *from;
            }
        }
        IpAddr::V6(ip) => out = ip.octets(),
    }
    out
}

/// Words of 4 bytes, each turned around.
fn turned(data: &[u8]) -> Vec<u8> {
    data.chunks(4)
        .flat_map(|chunk| {
            let mut word = [0; 4];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            word.reverse();
            word
        })
        .collect()
}

impl Handshake {
    pub(super) fn parse(data: &[u8]) -> Result<Self> {
        let broken = |problem| Error::Malformed { what: "a handshake of SRT", problem };
        let mut words = Words(data);
        let mut next = || words.word().ok_or(broken("it is too short"));
        let version = next()?;
        let (encryption, extensions) = halves(next()?);
        let (first, mtu, window) = (next()? & 0x7FFF_FFFF, next()?, next()?);
        let purpose = match next()? {
            0 => Purpose::Wave,
            1 => Purpose::Induction,
            0xFFFF_FFFF => Purpose::Conclusion,
            0xFFFF_FFFE => Purpose::Agreement,
            code @ 1000..=9999 => Purpose::Reject(code),
            _ => return Err(broken("nobody knows what it is for")),
        };
        let (id, cookie) = (next()?, next()?);
        let (address, mut rest) = words.0.split_first_chunk::<16>().ok_or(broken("it is too short"))?;
        let mut extra = Vec::new();
        // Elsewhere the flags mean something else, and nothing follows.
        if purpose != Purpose::Conclusion || version != 5 {
            rest = &[];
        }
        while let Some((head, more)) = rest.split_first_chunk::<4>() {
            let (kind, count) = halves(u32::from_be_bytes(*head));
            let length = usize::from(count).saturating_mul(4);
            let (data, more) =
                more.split_at_checked(length).ok_or(broken("an extension is longer than its packet"))?;
            extra.push(Extension::parse(kind, data)?);
            rest = more;
        }
        Ok(Self {
            version,
            encryption,
            extensions,
            first,
            mtu,
            window,
            purpose,
            id,
            cookie,
            address: *address,
            extra,
        })
    }

    pub(super) fn write(&self, out: &mut BytesMut) {
        out.put_u32(self.version);
        out.put_u16(self.encryption);
        out.put_u16(self.extensions);
        for word in [self.first, self.mtu, self.window, self.purpose.word(), self.id, self.cookie] {
            out.put_u32(word);
        }
        out.put_slice(&self.address);
        for extension in &self.extra {
            extension.write(out);
        }
    }

    /// What the other side says of how it works.
    pub(super) fn hello(&self, asks: bool) -> Option<(u32, u32, u16, u16)> {
        self.extra.iter().find_map(|e| match e {
            Extension::Hello { request, version, flags, receiver, sender } if *request == asks => {
                Some((*version, *flags, *receiver, *sender))
            }
            _ => None,
        })
    }

    /// The keys that it brings.
    pub(super) fn keys(&self, asks: bool) -> Option<&Bytes> {
        self.extra.iter().find_map(|e| match e {
            Extension::Keys { request, message } if *request == asks => Some(message),
            _ => None,
        })
    }
}

impl Extension {
    fn parse(kind: u16, data: &[u8]) -> Result<Self> {
        let broken = |problem| Error::Malformed { what: "a handshake of SRT", problem };
        Ok(match kind {
            1 | 2 => {
                let mut words = Words(data);
                let mut next = || words.word().ok_or(broken("it doesn't say how its sender works"));
                let (version, flags) = (next()?, next()?);
                let (receiver, sender) = halves(next()?);
                Self::Hello { request: kind == 1, version, flags, receiver, sender }
            }
            3 | 4 => Self::Keys { request: kind == 3, message: Bytes::copy_from_slice(data) },
            5 => {
                if data.len() > 512 {
                    return Err(broken("its stream id has more than 512 bytes"));
                }
                let mut bytes = turned(data);
                let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
                bytes.truncate(end);
                let text = String::from_utf8(bytes).map_err(|_| broken("its stream id is no UTF-8"))?;
                Self::Stream(StreamId::new(text))
            }
            kind => Self::Other { kind, data: Bytes::copy_from_slice(data) },
        })
    }

    fn write(&self, out: &mut BytesMut) {
        let mut put = |kind: u16, data: &[u8]| {
            let words = data.len().div_ceil(4);
            out.put_u16(kind);
            out.put_u16(u16::try_from(words).unwrap_or(0));
            out.put_slice(data);
            out.put_bytes(0, words.saturating_mul(4).saturating_sub(data.len()));
        };
        match self {
            Self::Hello { request, version, flags, receiver, sender } => {
                let mut data = BytesMut::with_capacity(12);
                data.put_u32(*version);
                data.put_u32(*flags);
                data.put_u16(*receiver);
                data.put_u16(*sender);
                put(if *request { 1 } else { 2 }, &data);
            }
            Self::Keys { request, message } => put(if *request { 3 } else { 4 }, message),
            Self::Stream(id) => put(5, &turned(id.expose().as_bytes())),
            Self::Other { kind, data } => put(*kind, data),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::packet::{Body, Control, Packet};
    use super::*;

    fn extensions() -> impl Strategy<Value = Extension> {
        let words = |most: usize| {
            prop::collection::vec(any::<[u8; 4]>(), 0..most).prop_map(|w| Bytes::from(w.concat()))
        };
        prop_oneof![
            (any::<bool>(), any::<u32>(), any::<u32>(), any::<u16>(), any::<u16>()).prop_map(
                |(request, version, flags, receiver, sender)| Extension::Hello {
                    request,
                    version,
                    flags,
                    receiver,
                    sender
                }
            ),
            (any::<bool>(), words(30)).prop_map(|(request, message)| Extension::Keys { request, message }),
            "[a-zäöü=,#!:]{0,120}".prop_map(|id| Extension::Stream(StreamId::new(id))),
            (6..99u16, words(20)).prop_map(|(kind, data)| Extension::Other { kind, data }),
        ]
    }

    proptest! {
        #[test]
        fn handshakes_are_read_as_they_are_written(
            words: [u32; 6], encryption: u16, extensions: u16, address: [u8; 16], reject in 1000..9999u32,
            extra in prop::collection::vec(extensions(), 0..4), purpose in 0..5,
        ) {
            let [first, mtu, window, id, cookie, _] = words;
            let first = first & 0x7FFF_FFFF;
            let purpose = match purpose {
                0 => Purpose::Wave,
                1 => Purpose::Induction,
                2 => Purpose::Agreement,
                3 => Purpose::Reject(reject),
                _ => Purpose::Conclusion,
            };
            let extra = if purpose == Purpose::Conclusion { extra } else { Vec::new() };
            let handshake = Handshake {
                version: 5, encryption, extensions, first, mtu, window, purpose, id, cookie, address, extra,
            };
            let control = Control { time: 1, to: 2, body: Body::Handshake(handshake) };
            let datagram = control.build();
            prop_assert_eq!(Packet::parse(&datagram).unwrap(), Packet::Control(control));
        }
    }

    #[test]
    fn stream_ids_are_words_turned_around() {
        let mut out = BytesMut::new();
        Extension::Stream(StreamId::new("STREAM")).write(&mut out);
        // draft-sharabayko-srt, 3.2.1.3.
        assert_eq!(&*out, b"\0\x05\0\x02ERTS\0\0MA");
    }
}
