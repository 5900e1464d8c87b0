//! The side that is connected to.

use std::collections::VecDeque;

use bytes::Bytes;
use sv_container::amf0::Value;
use sv_container::flv::{Body, Kind};
use sv_core::{Limits, Track};

use super::Name;
use super::handshake::Side;
use super::link::{Clock, Incoming, Link, describe};
use crate::{Error, Result};

/// Streams of one connection. Encoders use one.
const MOST_STREAMS: u32 = 16;
/// `capsEx`: reconnecting, several tracks, modifiers, times in nanoseconds.
const CAPABILITIES: f64 = 15.0;

/// What the other side does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// It names an application. It has been told that it may go on.
    Connect {
        /// The first part of a URL's path.
        app: String,
        /// Whether it goes elsewhere when it is asked to ([`Server::ask_to_reconnect`]).
        reconnects: bool,
    },
    /// It wants to publish: [`Server::accept`] or [`Server::refuse`]. Until then its media are left out.
    Publish {
        /// The message stream.
        stream: u32,
        /// Under which name.
        name: Name,
    },
    /// It wants to play: [`Server::accept`] or [`Server::refuse`].
    Play {
        /// The message stream.
        stream: u32,
        /// Which name.
        name: Name,
    },
    /// A tag of what it publishes.
    Media {
        /// The message stream.
        stream: u32,
        /// What it is for.
        kind: Kind,
        /// Its time in milliseconds; it may jump, and doesn't wrap around.
        millis: i64,
        /// The tag's body.
        body: Bytes,
    },
    /// It is done with a stream.
    Stop {
        /// The message stream.
        stream: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    AsksToPublish,
    Publishes,
    AsksToPlay,
    Plays,
}

#[derive(Debug)]
struct Stream {
    id: u32,
    state: State,
    clock: Clock,
}

/// A connection of somebody who publishes or plays.
#[derive(Debug)]
pub struct Server {
    link: Link,
    limits: Limits,
    connected: bool,
    /// What was named at first; some have the stream's name in it.
    app: String,
    streams: Vec<Stream>,
    events: VecDeque<Event>,
}

impl Server {
    /// A new connection. `seed` should differ from one to the next; it need be no secret.
    #[must_use]
    pub fn new(limits: Limits, seed: u64) -> Self {
        let link = Link::new(Side::Server, seed);
        let app = String::new();
        Self { link, limits, connected: false, app, streams: Vec::new(), events: VecDeque::new() }
    }

    /// Takes what came. Events come out of [`event`](Self::event): take all before more is given in.
    ///
    /// # Errors
    /// When the other side breaks the protocol or asks for too much: the connection is of no more use, but what came
    /// before counts.
    pub fn receive(&mut self, mut input: &[u8]) -> Result<()> {
        while let Some(incoming) = self.link.next(&mut input)? {
            match incoming {
                Incoming::Media { stream, kind, time, body } => self.media(stream, kind, time, body),
                Incoming::Command { stream, name, transaction, values } => {
                    self.command(stream, &name, transaction, &values)?;
                }
            }
        }
        Ok(())
    }

    /// What has happened, in its order.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What is to be sent now, piece by piece.
    pub fn outgoing(&mut self) -> Vec<Bytes> {
        self.link.outgoing()
    }

    /// Bytes that are kept of messages that aren't whole.
    #[must_use]
    pub fn held(&self) -> usize {
        self.link.held()
    }

    /// Whether the other side speaks RTMP and has named an application: until then it is a stranger.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether the other side waits to be allowed to publish on a stream, or to play; nothing where it waits for neither.
    #[must_use]
    pub fn wants_to_publish(&self, stream: u32) -> Option<bool> {
        match self.streams.iter().find(|s| s.id == stream)?.state {
            State::AsksToPublish => Some(true),
            State::AsksToPlay => Some(false),
            _ => None,
        }
    }

    /// What was asked for is allowed.
    pub fn accept(&mut self, stream: u32) {
        let Some(found) = self.streams.iter_mut().find(|s| s.id == stream) else { return };
        match found.state {
            State::AsksToPublish => {
                found.state = State::Publishes;
                self.link.allow(self.limits.packet_bytes);
                self.status(stream, "status", "NetStream.Publish.Start", "go on");
            }
            State::AsksToPlay => {
                found.state = State::Plays;
                self.link.begin(stream);
                self.status(stream, "status", "NetStream.Play.Reset", "what was played is over");
                self.status(stream, "status", "NetStream.Play.Start", "it begins");
                self.link.data(
                    stream,
                    &[Value::string("|RtmpSampleAccess"), Value::Boolean(true), Value::Boolean(true)],
                );
            }
            _ => {}
        }
    }

    /// What was asked for is not allowed, for a reason that may be told to anybody.
    pub fn refuse(&mut self, stream: u32, reason: &str) {
        let Some(found) = self.streams.iter_mut().find(|s| s.id == stream) else { return };
        let code = match found.state {
            State::AsksToPublish => "NetStream.Publish.BadName",
            State::AsksToPlay => "NetStream.Play.StreamNotFound",
            _ => return,
        };
        found.state = State::Idle;
        self.status(stream, "error", code, reason);
    }

    /// What is played has these tracks: told before the first of their tags.
    pub fn describe<'a>(&mut self, stream: u32, tracks: impl Iterator<Item = &'a Track> + Clone) {
        self.link.data(stream, &describe(tracks));
    }

    /// A tag of what is played.
    pub fn send(&mut self, stream: u32, body: &Body) {
        if self.streams.iter().any(|s| s.id == stream && s.state == State::Plays) {
            self.link.media(stream, body);
        }
    }

    /// What is played has ended.
    pub fn end(&mut self, stream: u32) {
        let Some(found) = self.streams.iter_mut().find(|s| s.id == stream && s.state == State::Plays) else {
            return;
        };
        found.state = State::Idle;
        self.status(stream, "status", "NetStream.Play.UnpublishNotify", "the publisher has stopped");
    }

    /// Asks the other side to come again, at `url` or where it came before, as it should before this machine stops
    /// ([Enhanced RTMP v2, reconnect request](https://veovera.org/docs/enhanced/enhanced-rtmp-v2#reconnect-request)).
    pub fn ask_to_reconnect(&mut self, url: Option<&str>) {
        let mut info = vec![
            ("level", Value::string("status")),
            ("code", Value::string("NetConnection.Connect.ReconnectRequest")),
            ("description", Value::string("this server is about to stop")),
        ];
        info.extend(url.map(|url| ("tcUrl", Value::string(url))));
        self.link.command(0, "onStatus", 0.0, &[Value::Null, Value::object(info)]);
    }

    fn status(&mut self, stream: u32, level: &str, code: &str, description: &str) {
        let info = [("level", level), ("code", code), ("description", description)];
        let info = Value::object(info.map(|(name, text)| (name, Value::string(text))));
        self.link.command(stream, "onStatus", 0.0, &[Value::Null, info]);
    }

    fn media(&mut self, stream: u32, kind: Kind, time: u32, body: Bytes) {
        let Some(found) = self.streams.iter_mut().find(|s| s.id == stream) else { return };
        if found.state == State::Publishes {
            let millis = found.clock.unwrap(kind, time);
            self.events.push_back(Event::Media { stream, kind, millis, body });
        }
    }

    fn command(&mut self, stream: u32, name: &str, transaction: f64, values: &[Value]) -> Result<()> {
        let named = || values.get(1).and_then(Value::as_str).map(Name::new);
        if !self.connected && name != "connect" {
            return Err(Error::Malformed { what: "a command", problem: "the first one must be connect" });
        }
        match name {
            "connect" if !self.connected => self.connect(transaction, values.first()),
            "createStream" => {
                let id = (1..=MOST_STREAMS).find(|id| self.streams.iter().all(|s| s.id != *id));
                let Some(id) = id else {
                    let limit = u64::from(MOST_STREAMS);
                    return Err(Error::LimitExceeded {
                        what: "the number of streams of a connection",
                        limit,
                    });
                };
                self.streams.push(Stream { id, state: State::Idle, clock: Clock::default() });
                self.link.command(0, "_result", transaction, &[Value::Null, Value::Number(f64::from(id))]);
            }
            "publish" | "play" => {
                let Some(found) = self.streams.iter_mut().find(|s| s.id == stream) else {
                    return Err(Error::Malformed {
                        what: "a command",
                        problem: "its stream was never created",
                    });
                };
                if found.state != State::Idle {
                    return Ok(());
                }
                // Who is given one URL and no key may say all of it at first (MediaMTX, and OBS without a key).
                let in_app = || self.app.rsplit_once('/').map(|(_, name)| Name::new(name));
                let Some(name_of) = named().into_iter().chain(in_app()).find(|n| !n.expose().is_empty())
                else {
                    let code = if name == "publish" {
                        "NetStream.Publish.BadName"
                    } else {
                        "NetStream.Play.StreamNotFound"
                    };
                    self.status(stream, "error", code, "say which stream: its name is missing");
                    return Ok(());
                };
                let (state, event) = if name == "publish" {
                    (State::AsksToPublish, Event::Publish { stream, name: name_of })
                } else {
                    (State::AsksToPlay, Event::Play { stream, name: name_of })
                };
                found.state = state;
                found.clock = Clock::default();
                self.events.push_back(event);
            }
            "closeStream" => self.stop(stream, false),
            "deleteStream" => {
                // The number of the stream stands in the command.
                let id = values.get(1).and_then(Value::as_number).unwrap_or(0.0);
                let id = (1..=MOST_STREAMS).find(|n| f64::from(*n) == id);
                self.stop(id.unwrap_or(stream), true);
            }
            "FCUnpublish" => {
                // Says the same as what follows it.
            }
            "FCPublish" => {
                let info =
                    [("level", "status"), ("code", "NetStream.Publish.Start"), ("description", "go on")];
                let info = Value::object(info.map(|(name, text)| (name, Value::string(text))));
                self.link.command(0, "onFCPublish", 0.0, &[Value::Null, info]);
                self.link.command(0, "_result", transaction, &[Value::Null, Value::Null]);
            }
            "getStreamLength" => {
                self.link.command(0, "_result", transaction, &[Value::Null, Value::Number(0.0)]);
            }
            // Others only want to hear that they were heard.
            _ if transaction != 0.0 => {
                self.link.command(0, "_result", transaction, &[Value::Null, Value::Null]);
            }
            _ => {}
        }
        Ok(())
    }

    fn stop(&mut self, id: u32, forget: bool) {
        let Some(place) = self.streams.iter().position(|s| s.id == id) else { return };
        let Some(found) = self.streams.get_mut(place) else { return };
        if std::mem::replace(&mut found.state, State::Idle) != State::Idle {
            self.events.push_back(Event::Stop { stream: id });
        }
        if forget {
            self.streams.remove(place);
        }
    }

    fn connect(&mut self, transaction: f64, about: Option<&Value>) {
        let get = |name: &str| about.and_then(|a| a.get(name));
        let app = get("app").and_then(Value::as_str).unwrap_or_default().trim_matches('/').to_owned();
        let caps = get("capsEx").and_then(Value::as_number).unwrap_or(0.0);
        let reconnects = caps.clamp(0.0, 255.0) % 2.0 >= 1.0;
        self.connected = true;
        self.app.clone_from(&app);
        self.link.settle();
        self.link.begin(0);
        let anything = || Value::object([("*", Value::Number(7.0))]);
        let properties = Value::object([
            ("fmsVer", Value::string("FMS/3,5,7,7009")),
            ("capabilities", Value::Number(31.0)),
            ("mode", Value::Number(1.0)),
        ]);
        let encoding = get("objectEncoding").and_then(Value::as_number).unwrap_or(0.0);
        let info = Value::object([
            ("level", Value::string("status")),
            ("code", Value::string("NetConnection.Connect.Success")),
            ("description", Value::string("welcome")),
            ("objectEncoding", Value::Number(encoding)),
            ("fourCcList", Value::Array(vec![Value::string("*")])),
            ("videoFourCcInfoMap", anything()),
            ("audioFourCcInfoMap", anything()),
            ("capsEx", Value::Number(CAPABILITIES)),
        ]);
        self.link.command(0, "_result", transaction, &[properties, info]);
        self.events.push_back(Event::Connect { app, reconnects });
    }
}
