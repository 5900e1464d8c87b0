//! The gateway: listeners for those who send and get streams, and threads that move what they send.
//!
//! ```no_run
//! use sv_ingest::gateway::{Gateway, Keys, Settings};
//!
//! let settings = Settings::new(Keys::new().key("a secret of 20 letters", "studio"));
//! let gateway = Gateway::start(settings)?;
//! let address = gateway.rtmp("0.0.0.0:1935".parse().unwrap())?;
//! let feed = gateway.hub().subscribe("studio", 16 << 20);
//! # Ok::<(), sv_ingest::Error>(())
//! ```
//!
//! A listener has a thread of its own that only takes connections; a few *shards* read and write all of them. Nobody
//! waits for anybody: what is too slow for its reader is left out of that reader's [`Feed`](crate::Feed).

mod admission;
mod connection;
mod door;
mod entrance;
#[cfg(feature = "rtsp")]
mod pull;
#[cfg(feature = "rtsp")]
mod rtsp;
mod rules;
mod shard;
mod source;
mod srt;
mod tls;
#[cfg(feature = "jwt")]
mod tokens;
#[cfg(feature = "whip")]
mod whip;

pub use admission::{Admission, Answer, Ask, Grant, Keys, Open, Verdict};
pub use entrance::{Entrance, Publication};
#[cfg(feature = "rtsp")]
pub use pull::Pull;
pub use rules::{Hours, Rules};
pub use srt::{Passphrases, SrtSettings, Unlock};
pub use tls::Certificate;
#[cfg(feature = "jwt")]
pub use tokens::Tokens;
#[cfg(feature = "whip")]
pub use whip::{Opened, Patched, Trouble, Whip, WhipSettings};

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sv_core::{Limits, Track};

use crate::failover::Reason;
use crate::hub::{Hub, is_name};
use crate::{Error, Result};
use door::Door;
use shard::{Inbox, Letter, Shard};
use source::Source;
use srt::Desk;

/// How often streams that several send are told the time.
const TICK: Duration = Duration::from_millis(20);

/// What happens to streams, as it happens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// Somebody begins to send a stream.
    Started {
        /// The stream's name.
        stream: String,
        /// Where it comes from: an address, or a name that tells a person.
        from: String,
        /// By which protocol.
        protocol: &'static str,
    },
    /// A track of a stream is known, or known anew.
    Track {
        /// The stream's name.
        stream: String,
        /// The track.
        track: Arc<Track>,
    },
    /// Another one who sends the stream is on air.
    Switched {
        /// The stream's name.
        stream: String,
        /// Where it came from.
        from: String,
        /// Where it comes from now.
        to: String,
        /// Why.
        reason: Reason,
    },
    /// One of several who send the stream has gone.
    Left {
        /// The stream's name.
        stream: String,
        /// Where it came from.
        from: String,
        /// Why, as a sentence.
        reason: String,
    },
    /// Nobody sends the stream any more.
    Ended {
        /// The stream's name.
        stream: String,
        /// Why, as a sentence.
        reason: String,
        /// Whether nobody said so: the line broke, or nothing came for too long.
        lost: bool,
    },
    /// Somebody was not let in.
    Refused {
        /// Where it came from.
        peer: SocketAddr,
        /// Why, as it was told.
        reason: String,
    },
}

/// When a shard with many connections waits for more to come before it reads: packets are late by that, and cost less,
/// since waking up costs more than reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// Never: each packet is passed on as it comes.
    Never,
    /// When more than half of a processor's time is used: 33 ms; and where that doesn't help enough, 50 ms.
    Busy,
    /// Always, that long.
    Always(Duration),
}

/// How a gateway works.
#[non_exhaustive]
pub struct Settings {
    /// Where streams are to be had; a new hub, if nobody has another.
    pub hub: Hub,
    /// Who may send and get streams.
    pub admission: Arc<dyn Admission>,
    /// How much who sends may cost.
    pub limits: Limits,
    /// Threads that read and write.
    pub shards: usize,
    /// Connections at once.
    pub connections: usize,
    /// Connections from one address at once that have not been let in.
    pub strangers: usize,
    /// How long who connects may take to say what it wants.
    pub patience: Duration,
    /// How long who sends may be silent.
    pub silence: Duration,
    /// When to read what has come of many connections in one go.
    pub batch: Batch,
    /// Hears what happens. It is called where media go through, so it should only pass it on.
    pub notice: Arc<dyn Fn(Notice) + Send + Sync>,
}

impl Settings {
    /// With that admission: a thread for each processor, and bounds for a public address.
    #[must_use]
    pub fn new(admission: impl Admission + 'static) -> Self {
        let mut limits = Limits::default();
        limits.packet_bytes = 16 << 20;
        Self {
            hub: Hub::new(),
            admission: Arc::new(admission),
            limits,
            shards: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            connections: 16_384,
            strangers: 64,
            patience: Duration::from_secs(10),
            silence: Duration::from_secs(20),
            batch: Batch::Busy,
            notice: Arc::new(|_| {}),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("limits", &self.limits)
            .field("shards", &self.shards)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

/// A gateway that works until it is dropped.
pub struct Gateway {
    entrance: Entrance,
    inboxes: Vec<Arc<Inbox>>,
    threads: Vec<JoinHandle<()>>,
    doors: Mutex<Vec<Door>>,
    desks: Mutex<Vec<Desk>>,
    sources: Mutex<Vec<Source>>,
    #[cfg(feature = "whip")]
    whips: Mutex<Vec<whip::Door>>,
    #[cfg(feature = "rtsp")]
    rtsps: Mutex<Vec<rtsp::Door>>,
}

impl Gateway {
    /// Starts the threads. Nobody can come in before there is a listener.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn start(settings: Settings) -> Result<Self> {
        let shards = settings.shards.max(1);
        let entrance = Entrance::new(settings.hub.clone(), Arc::new(settings));
        let mut gateway = Self {
            entrance: entrance.clone(),
            inboxes: Vec::new(),
            threads: Vec::new(),
            doors: Mutex::default(),
            desks: Mutex::default(),
            sources: Mutex::default(),
            #[cfg(feature = "whip")]
            whips: Mutex::default(),
            #[cfg(feature = "rtsp")]
            rtsps: Mutex::default(),
        };
        for number in 0..shards {
            let shard = Shard::new(entrance.clone())?;
            gateway.inboxes.push(shard.inbox());
            let name = format!("ingest {number}");
            let thread = std::thread::Builder::new().name(name).spawn(move || shard.run());
            gateway.threads.push(thread.map_err(Error::io("starting a thread"))?);
        }
        let (hub, told) = (entrance.hub().clone(), Arc::clone(&entrance.settings().notice));
        hub.watch().start();
        let clock = move || hub.watch().run(TICK, |stream, what| told(entrance::notice(stream, what)));
        let thread = std::thread::Builder::new().name("failover".into()).spawn(clock);
        gateway.threads.push(thread.map_err(Error::io("starting a thread"))?);
        Ok(gateway)
    }

    /// The streams.
    #[must_use]
    pub const fn hub(&self) -> &Hub {
        self.entrance.hub()
    }

    /// The way in for what isn't spoken here.
    #[must_use]
    pub const fn entrance(&self) -> &Entrance {
        &self.entrance
    }

    /// Takes connections of RTMP there, and says where: port 0 is any that is free.
    ///
    /// # Errors
    /// When the address can't be listened to.
    pub fn rtmp(&self, address: SocketAddr) -> Result<SocketAddr> {
        self.door(address, None)
    }

    /// The same of RTMP inside of TLS.
    ///
    /// # Errors
    /// As [`rtmp`](Self::rtmp).
    pub fn rtmps(&self, address: SocketAddr, certificate: Certificate) -> Result<SocketAddr> {
        self.door(address, Some(Arc::new(certificate)))
    }

    /// Takes connections of SRT there, which send and get transport streams, and says where: port 0 is any that is free.
    ///
    /// # Errors
    /// When the address can't be listened to.
    pub fn srt(&self, address: SocketAddr, settings: SrtSettings) -> Result<SocketAddr> {
        let desk = Desk::open(address, settings, self.entrance.clone())?;
        let address = desk.address();
        self.desks.lock().unwrap_or_else(PoisonError::into_inner).push(desk);
        Ok(address)
    }

    /// Calls somebody by SRT, again and again, and takes what comes as the stream of that name.
    ///
    /// # Errors
    /// When no stream can have that name, or the system gives no thread.
    pub fn srt_pull(&self, stream: &str, from: crate::srt::Target) -> Result<()> {
        let source = Source::srt(self.entrance.clone(), named(stream)?, from)?;
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).push(source);
        Ok(())
    }

    /// Takes a transport stream that comes in datagrams there, bare or in RTP, as the stream of that name, and says where: port 0 is any
    /// that is free, and the address of a group is one that is joined. Nothing says who sends it: the network must.
    ///
    /// # Errors
    /// When no stream can have that name, or the address can't be listened to.
    pub fn udp_ts(&self, stream: &str, address: SocketAddr) -> Result<SocketAddr> {
        let (source, address) = Source::datagrams(self.entrance.clone(), named(stream)?, address)?;
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).push(source);
        Ok(address)
    }

    fn door(&self, address: SocketAddr, certificate: Option<Arc<Certificate>>) -> Result<SocketAddr> {
        let door = Door::open(address, certificate, self.inboxes.clone(), self.entrance.clone())?;
        let address = door.address();
        self.doors.lock().unwrap_or_else(PoisonError::into_inner).push(door);
        Ok(address)
    }
}

fn named(stream: &str) -> Result<&str> {
    let problem = "it is made of letters, digits, hyphens and underscores";
    if is_name(stream) {
        Ok(stream)
    } else {
        Err(Error::InvalidInput { what: "a stream's name".into(), problem })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.desks.lock().unwrap_or_else(PoisonError::into_inner).clear();
        #[cfg(feature = "whip")]
        self.whips.lock().unwrap_or_else(PoisonError::into_inner).clear();
        #[cfg(feature = "rtsp")]
        self.rtsps.lock().unwrap_or_else(PoisonError::into_inner).clear();
        for inbox in &self.inboxes {
            inbox.put(Letter::Stop);
        }
        self.hub().watch().stop();
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing left to end.
            let _ = thread.join();
        }
        self.hub().close();
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("live", &self.hub().live()).finish_non_exhaustive()
    }
}
