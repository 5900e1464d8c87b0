//! The side that connects.

use std::collections::VecDeque;

use bytes::Bytes;
use sv_container::amf0::Value;
use sv_container::flv::{Body, Kind};
use sv_core::{Limits, Track};

use super::Name;
use super::handshake::Side;
use super::link::{Clock, Incoming, Link, describe};
use crate::{Error, Result};

/// What a client is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To send a stream.
    Publish,
    /// To get one.
    Play,
}

/// What the server does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Seen {
    /// It agrees: what is published may be sent now.
    Ready,
    /// A tag of what is played.
    Media {
        /// What it is for.
        kind: Kind,
        /// Its time in milliseconds; it may jump, and doesn't wrap around.
        millis: i64,
        /// The tag's body.
        body: Bytes,
    },
    /// What was played is over.
    End,
    /// It will stop: come again, there or where it was.
    Reconnect {
        /// Where, if it is another place.
        url: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Handshake,
    Connect,
    Create,
    Ask,
    Ready,
}

/// A connection to a server, for one stream.
#[derive(Debug)]
pub struct Client {
    link: Link,
    limits: Limits,
    purpose: Purpose,
    app: String,
    url: String,
    name: Name,
    step: Step,
    stream: u32,
    clock: Clock,
    seen: VecDeque<Seen>,
}

impl Client {
    /// For the stream `name` of the application `app`; `url` is where the server is, up to the application. `seed`
    /// should differ from one connection to the next.
    #[must_use]
    pub fn new(purpose: Purpose, url: &str, app: &str, name: Name, limits: Limits, seed: u64) -> Self {
        Self {
            link: Link::new(Side::Client, seed),
            limits,
            purpose,
            app: app.to_owned(),
            url: url.to_owned(),
            name,
            step: Step::Handshake,
            stream: 0,
            clock: Clock::default(),
            seen: VecDeque::new(),
        }
    }

    /// What is to be sent now, piece by piece.
    pub fn outgoing(&mut self) -> Vec<Bytes> {
        self.link.outgoing()
    }

    /// What the server did, in its order.
    pub fn event(&mut self) -> Option<Seen> {
        self.seen.pop_front()
    }

    /// Takes what came.
    ///
    /// # Errors
    /// When the server breaks the protocol, asks for too much or refuses the stream: the connection is of no more use.
    pub fn receive(&mut self, mut input: &[u8]) -> Result<()> {
        loop {
            let incoming = self.link.next(&mut input)?;
            if self.step == Step::Handshake && self.link.is_open() {
                self.step = Step::Connect;
                self.connect();
            }
            match incoming {
                None => return Ok(()),
                Some(Incoming::Media { stream, kind, time, body }) => {
                    if self.step == Step::Ready && self.purpose == Purpose::Play && stream == self.stream {
                        let millis = self.clock.unwrap(kind, time);
                        self.seen.push_back(Seen::Media { kind, millis, body });
                    }
                }
                Some(Incoming::Command { name, values, .. }) => self.command(&name, &values)?,
            }
        }
    }

    /// What is published has these tracks: told before the first of their tags.
    pub fn describe<'a>(&mut self, tracks: impl Iterator<Item = &'a Track> + Clone) {
        let mut values = vec![Value::string("@setDataFrame")];
        values.extend(describe(tracks));
        self.link.data(self.stream, &values);
    }

    /// A tag of what is published.
    pub fn send(&mut self, body: &Body) {
        if self.step == Step::Ready {
            self.link.media(self.stream, body);
        }
    }

    /// Says that this was all.
    pub fn end(&mut self) {
        if self.step == Step::Ready {
            if self.purpose == Purpose::Publish {
                let name = Value::string(self.name.whole());
                self.link.command(0, "FCUnpublish", 0.0, &[Value::Null, name]);
            }
            self.link.command(0, "deleteStream", 0.0, &[Value::Null, Value::Number(f64::from(self.stream))]);
        }
    }

    fn connect(&mut self) {
        self.link.lengthen();
        let codecs = ["avc1", "hvc1", "av01", "vp08", "vp09", "mp4a", "Opus", "fLaC", "ac-3", "ec-3", ".mp3"];
        let about = Value::object([
            ("app", Value::string(&*self.app)),
            ("type", Value::string("nonprivate")),
            ("flashVer", Value::string("FMLE/3.0 (compatible; StreamVerse)")),
            ("tcUrl", Value::string(&*self.url)),
            ("fourCcList", Value::Array(codecs.map(Value::string).to_vec())),
            ("capsEx", Value::Number(15.0)),
        ]);
        self.link.command(0, "connect", 1.0, &[about]);
    }

    fn command(&mut self, name: &str, values: &[Value]) -> Result<()> {
        let about = |name: &str| values.iter().find_map(|v| v.get(name)).and_then(Value::as_str);
        let code = about("code").unwrap_or_default();
        let refused = |what| {
            let reason = about("description").filter(|d| !d.is_empty()).unwrap_or(code);
            // It comes from somebody else, and goes to terminals.
            let reason = reason.chars().filter(|c| !c.is_control()).take(200).collect();
            Err(Error::Refused { what, reason })
        };
        match (name, self.step) {
            ("_error", Step::Connect) => return refused("the connection"),
            ("_error", Step::Create) => return refused("a stream"),
            ("_result", Step::Connect) => {
                self.step = Step::Create;
                if self.purpose == Purpose::Publish {
                    let name = || Value::string(self.name.whole());
                    self.link.command(0, "releaseStream", 2.0, &[Value::Null, name()]);
                    self.link.command(0, "FCPublish", 3.0, &[Value::Null, name()]);
                }
                self.link.command(0, "createStream", 4.0, &[Value::Null]);
            }
            // Other answers have no number in this place.
            ("_result", Step::Create) => {
                let Some(number) = values.get(1).and_then(Value::as_number) else { return Ok(()) };
                self.stream = (1..=u32::from(u16::MAX)).find(|n| f64::from(*n) == number).unwrap_or(1);
                self.step = Step::Ask;
                let name = Value::string(self.name.whole());
                if self.purpose == Purpose::Publish {
                    let values = [Value::Null, name, Value::string("live")];
                    self.link.command(self.stream, "publish", 5.0, &values);
                } else {
                    self.link.allow(self.limits.packet_bytes);
                    self.link.command(self.stream, "play", 5.0, &[Value::Null, name, Value::Number(-2.0)]);
                }
            }
            ("onStatus", _) if code == "NetConnection.Connect.ReconnectRequest" => {
                self.seen.push_back(Seen::Reconnect { url: about("tcUrl").map(str::to_owned) });
            }
            ("onStatus", Step::Ask) if matches!(code, "NetStream.Publish.Start" | "NetStream.Play.Start") => {
                self.step = Step::Ready;
                self.seen.push_back(Seen::Ready);
            }
            ("onStatus", _) if about("level") == Some("error") => return refused("the stream"),
            ("onStatus", Step::Ready)
                if matches!(
                    code,
                    "NetStream.Play.UnpublishNotify" | "NetStream.Play.Stop" | "NetStream.Play.Complete"
                ) =>
            {
                self.seen.push_back(Seen::End);
            }
            _ => {}
        }
        Ok(())
    }
}
