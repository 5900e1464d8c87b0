//! The gateway: streams that others send become live presentations, as many as there are.
//!
//! ```no_run
//! use streamverse::gateway::{Gateway, Settings};
//! use streamverse::ingest::gateway::Keys;
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let gateway = Gateway::start(Settings::new(Keys::new().key("a long secret", "studio"), "streams"))?;
//! gateway.rtmp("0.0.0.0:1935".parse()?)?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8090").await?;
//! axum::serve(listener, gateway.router()).await?; // http://127.0.0.1:8090/studio/master.m3u8
//! # Ok(())
//! # }
//! ```
//!
//! With rungs made live below each stream:
//!
//! ```no_run
//! # use streamverse::gateway::{Below, Gateway, Happening, Settings};
//! # use streamverse::ingest::gateway::Keys;
//! let mut settings = Settings::new(Keys::new().key("a long secret", "studio"), "streams");
//! settings.ladder = Some(Below::Auto);
//! settings.told = std::sync::Arc::new(|happening| match happening {
//!     Happening::Laddered { stream, rungs, .. } => println!("{stream} has {} rungs below it", rungs.len()),
//!     Happening::RungGivenUp { stream, rung, reason } => println!("{stream} has lost {rung}: {reason}"),
//!     _ => {}
//! });
//! let gateway = Gateway::start(settings)?;
//! # Ok::<(), streamverse::Error>(())
//! ```
//!
//! Whoever sends a stream anew soon enough goes on with the same presentation, behind a discontinuity; after that it is
//! a recording, and the next one begins. Presentations lie in folders of the time at which they begin, in a folder
//! of the stream's name.

mod asking;
mod content;
mod doctor;
mod filler;
mod happening;
mod hook;
mod hooks;
mod http;
mod ladder;
mod lease;
mod picture;
mod pull;
mod room;
mod source;
mod terms;
#[cfg(feature = "whip")]
mod whip;

pub use asking::Asking;
pub use happening::Happening;
pub use hook::Hook;
pub use hooks::Hooks;
pub use ladder::Below;
pub use pull::Upstream;
pub use terms::Terms;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sv_core::ErrorKind;
use sv_ingest::gateway::{self as ingest, Admission, Certificate, Grant, SrtSettings};
use sv_ingest::push::{Push, Target};
use sv_ingest::record;

use crate::live::Request;
use crate::{Error, Pick, Result};
use doctor::Doctor;
use lease::Lease;
use pull::Pull;
use room::Rooms;

/// Says of a stream how it is recorded.
pub type Record = dyn Fn(&str) -> Option<record::Settings> + Send + Sync;

/// What a gateway does with streams.
#[non_exhaustive]
pub struct Settings {
    /// Who may send what, and how much it may cost.
    pub ingest: ingest::Settings,
    /// Where presentations lie.
    pub output: PathBuf,
    /// What each of them is like: all but its input and output.
    pub presentation: Request,
    /// How long a stream that nobody sends is waited for.
    pub linger: Duration,
    /// For how long of that the last key picture and silence are shown, so that nobody who watches waits: zero is not at all.
    /// They are part of the presentation. If nothing is said it is five seconds where a sender is gone without a word, and not
    /// at all where it has ended its stream.
    pub fill: Option<Duration>,
    /// A film that is shown instead, for as long as somebody is waited for: coded as the streams are, and as large.
    pub slate: Option<PathBuf>,
    /// Rungs that are made live below each stream, if any are.
    pub ladder: Option<Below>,
    /// The same for streams of these names, whatever others have.
    pub ladders: BTreeMap<String, Option<Below>>,
    /// Where and how a stream of that name is recorded, if it is. It is asked whenever somebody begins to send one, where media go
    /// through: it should know at once.
    pub record: Arc<Record>,
    /// Waits with everything until no other gateway has the folder, in place of an error.
    pub standby: bool,
    /// Whether key pictures and a little sound are decoded, to know of what is black, frozen and silent.
    pub watch: bool,
    /// Presentations at once; what is sent beyond that is only passed on.
    pub presentations: usize,
    /// Hears what happens, behind the gateway's own ears. It should only pass it on.
    pub told: Arc<dyn Fn(&Happening) + Send + Sync>,
}

impl Settings {
    /// Segments of 2 s in parts of half a second, a window of a minute, and a minute to come again.
    #[must_use]
    pub fn new(admission: impl Admission + 'static, output: impl Into<PathBuf>) -> Self {
        Self {
            ingest: ingest::Settings::new(admission),
            output: output.into(),
            presentation: Request::new(Vec::<Pick>::new(), ""),
            linger: Duration::from_secs(60),
            fill: None,
            slate: None,
            ladder: None,
            ladders: BTreeMap::new(),
            record: Arc::new(|_| None),
            standby: false,
            watch: true,
            presentations: 256,
            told: Arc::new(|_| {}),
        }
    }

    /// The rungs that a stream gets.
    fn below(&self, stream: &str) -> Option<&Below> {
        self.ladders.get(stream).unwrap_or(&self.ladder).as_ref()
    }

    fn request(&self, output: PathBuf) -> Request {
        let inputs = vec![PathBuf::from("-").into()];
        Request { inputs, output, ..self.presentation.clone() }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("ingest", &self.ingest)
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}

/// A gateway that works until it is dropped: then its presentations are recordings. Behind one that was killed, the next
/// one with the same folder goes on with them.
pub struct Gateway {
    /// There until it is dropped.
    ingest: Option<ingest::Gateway>,
    hub: sv_ingest::Hub,
    rooms: Arc<Rooms>,
    pushes: Mutex<Vec<Push>>,
    pulls: Mutex<Vec<Pull>>,
    told: Arc<dyn Fn(&Happening) + Send + Sync>,
    doctor: Option<Doctor>,
    /// Who looks at streams ends when this is gone.
    watch: Option<(Sender<()>, JoinHandle<()>)>,
    /// Given back when all else has ended.
    _lease: Lease,
    #[cfg(feature = "whip")]
    whip: whip::Door,
    #[cfg(feature = "rtsp")]
    cameras: Mutex<Vec<ingest::Pull>>,
}

impl Gateway {
    /// Starts it. Nobody can come in before there is a listener.
    ///
    /// # Errors
    /// When the folder can't be made, another gateway has it, the slate can't be read, or the system gives no threads.
    pub fn start(mut settings: Settings) -> Result<Self> {
        std::fs::create_dir_all(&settings.output)?;
        let lease = Lease::take(&settings.output, settings.standby)?;
        let mut ingest = std::mem::replace(&mut settings.ingest, ingest::Settings::new(ingest::Open));
        let told = Arc::clone(&settings.told);
        let watched = settings.watch;
        let rooms = Arc::new(Rooms::new(settings, ingest.hub.clone())?);
        let (before, listener) = (Arc::clone(&ingest.notice), Arc::downgrade(&rooms));
        ingest.notice = Arc::new(move |notice| {
            if let Some(rooms) = listener.upgrade() {
                rooms.hear(&notice);
            }
            before(notice);
        });
        let hub = ingest.hub.clone();
        let ingest = Some(ingest::Gateway::start(ingest)?);
        let doctor = Some(Doctor::start(hub.clone(), Arc::clone(&told))?);
        let mut watch = None;
        if watched {
            let ((stop, stopped), hub) = (channel(), hub.clone());
            let look = move || content::watch(&hub, &stopped);
            watch = Some((stop, std::thread::Builder::new().name("content".into()).spawn(look)?));
        }
        let (pushes, pulls) = (Mutex::default(), Mutex::default());
        Ok(Self {
            ingest,
            hub,
            rooms,
            pushes,
            pulls,
            told,
            doctor,
            watch,
            _lease: lease,
            #[cfg(feature = "whip")]
            whip: whip::Door::default(),
            #[cfg(feature = "rtsp")]
            cameras: Mutex::default(),
        })
    }

    /// Takes connections of RTMP there, and says where: port 0 is any that is free.
    ///
    /// # Errors
    /// When the address can't be listened to.
    pub fn rtmp(&self, address: SocketAddr) -> Result<SocketAddr> {
        let over = || Error::new(ErrorKind::Closed, "the gateway has ended");
        Ok(self.ingest.as_ref().ok_or_else(over)?.rtmp(address)?)
    }

    /// The same of RTMP inside of TLS. A certificate that is renewed is taken for connections that come after it.
    ///
    /// # Errors
    /// As [`rtmp`](Self::rtmp).
    pub fn rtmps(&self, address: SocketAddr, certificate: Certificate) -> Result<SocketAddr> {
        let over = || Error::new(ErrorKind::Closed, "the gateway has ended");
        Ok(self.ingest.as_ref().ok_or_else(over)?.rtmps(address, certificate)?)
    }

    /// Takes connections of SRT there, which send and get transport streams, and says where: port 0 is any that is free.
    ///
    /// # Errors
    /// As [`rtmp`](Self::rtmp).
    pub fn srt(&self, address: SocketAddr, settings: SrtSettings) -> Result<SocketAddr> {
        let over = || Error::new(ErrorKind::Closed, "the gateway has ended");
        Ok(self.ingest.as_ref().ok_or_else(over)?.srt(address, settings)?)
    }

    /// Calls somebody by SRT, again and again, and takes what comes as the stream of that name.
    ///
    /// # Errors
    /// When no stream can have that name, or the system gives no thread.
    fn srt_pull(&self, stream: &str, from: sv_ingest::srt::Target) -> Result<()> {
        let over = || Error::new(ErrorKind::Closed, "the gateway has ended");
        Ok(self.ingest.as_ref().ok_or_else(over)?.srt_pull(stream, from)?)
    }

    /// Takes a transport stream that comes in datagrams there, bare or in RTP, as the stream of that name, and says where. The address
    /// of a group is one that is joined.
    ///
    /// # Errors
    /// When no stream can have that name, or the address can't be listened to.
    pub fn udp_ts(&self, stream: &str, address: SocketAddr) -> Result<SocketAddr> {
        let over = || Error::new(ErrorKind::Closed, "the gateway has ended");
        Ok(self.ingest.as_ref().ok_or_else(over)?.udp_ts(stream, address)?)
    }

    /// Takes streams that others record by RTSP there, and says where: port 0 is any that is free.
    ///
    /// # Errors
    /// As [`rtmp`](Self::rtmp).
    #[cfg(feature = "rtsp")]
    pub fn rtsp(&self, address: SocketAddr) -> Result<SocketAddr> {
        let over = || Error::new(ErrorKind::Closed, "the gateway has ended");
        Ok(self.ingest.as_ref().ok_or_else(over)?.rtsp(address)?)
    }

    /// The same of RTSP inside of TLS.
    ///
    /// # Errors
    /// As [`rtmp`](Self::rtmp).
    #[cfg(feature = "rtsp")]
    pub fn rtsps(&self, address: SocketAddr, certificate: Certificate) -> Result<SocketAddr> {
        let over = || Error::new(ErrorKind::Closed, "the gateway has ended");
        Ok(self.ingest.as_ref().ok_or_else(over)?.rtsps(address, certificate)?)
    }

    /// Fetches a stream from another server by RTSP, such as a camera, and begins again when that breaks.
    ///
    /// # Errors
    /// When no stream can have that name, or the system gives no thread.
    #[cfg(feature = "rtsp")]
    fn rtsp_pull(&self, stream: &str, from: sv_ingest::rtsp::Address) -> Result<()> {
        let over = || Error::new(ErrorKind::Closed, "the gateway has ended");
        let (told, name, place) = (Arc::clone(&self.told), stream.to_owned(), from.to_string());
        let pull = self.ingest.as_ref().ok_or_else(over)?.pull(stream, from, move |progress| {
            told(&Happening::Pulled { stream: name.clone(), from: place.clone(), progress });
        })?;
        self.cameras.lock().unwrap_or_else(PoisonError::into_inner).push(pull);
        Ok(())
    }

    /// Takes offers by WHIP, which the [`router`](Self::router) brings, and media of those who made them. Gives where these
    /// come in. `ice_servers` are told to senders, each as [`Link` has it](https://www.rfc-editor.org/rfc/rfc9725#section-4.6):
    /// `<stun:stun.example.net>; rel="ice-server"`.
    ///
    /// # Errors
    /// When an address can't be listened to, WHIP is taken already, or a server is no such text.
    #[cfg(feature = "whip")]
    pub fn whip(
        &self,
        settings: ingest::WhipSettings,
        ice_servers: &[String],
    ) -> Result<Vec<sv_ingest::whip::Address>> {
        let over = || Error::new(ErrorKind::Closed, "the gateway has ended");
        let ingest = self.ingest.as_ref().ok_or_else(over)?;
        let wrong = |_| Error::new(ErrorKind::InvalidInput, "an ICE server is told in letters of ASCII");
        let links = ice_servers.iter().map(|text| text.parse().map_err(wrong)).collect::<Result<Vec<_>>>()?;
        let whip = ingest.whip(settings)?;
        let (addresses, entrance) = (whip.addresses().to_vec(), ingest.entrance().clone());
        if self.whip.open(whip::Ready { whip, entrance, links }) {
            return Ok(addresses);
        }
        Err(Error::new(ErrorKind::AlreadyExists, "WHIP is taken already"))
    }

    /// Passes a stream on whenever somebody sends it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn push(&self, stream: &str, target: Target) -> Result<()> {
        let (told, name, to) = (Arc::clone(&self.told), stream.to_owned(), target.to_string());
        let push = Push::start(&self.hub, stream, target, move |progress| {
            told(&Happening::Pushed { stream: name.clone(), to: to.clone(), progress });
        })?;
        self.pushes.lock().unwrap_or_else(PoisonError::into_inner).push(push);
        Ok(())
    }

    /// Fetches a stream while nobody sends it, again and again with longer waits where that fails.
    ///
    /// # Errors
    /// When the grant's name can be no stream's, or the system gives no thread.
    pub fn pull(&self, grant: Grant, upstream: Upstream) -> Result<()> {
        let over = || Error::new(ErrorKind::Closed, "the gateway has ended");
        if !sv_ingest::is_name(&grant.stream) {
            let message =
                format!("{:?} can't be a stream's name: letters, digits, - and _ can", grant.stream);
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        if let Some(target) = upstream.srt() {
            return self.srt_pull(&grant.stream, target);
        }
        #[cfg(feature = "rtsp")]
        if let Some(camera) = upstream.rtsp() {
            return self.rtsp_pull(&grant.stream, camera);
        }
        let entrance = self.ingest.as_ref().ok_or_else(over)?.entrance().clone();
        let pull = Pull::start(entrance, grant, upstream, Arc::clone(&self.told))?;
        self.pulls.lock().unwrap_or_else(PoisonError::into_inner).push(pull);
        Ok(())
    }

    /// Whether a stream can be watched, now or still.
    #[must_use]
    pub fn is_watchable(&self, stream: &str) -> bool {
        self.rooms.router(stream).is_some()
    }

    /// Ends a stream at once: whoever sends it is sent away, nobody is waited for, its presentation is over and its recording whole.
    /// It can be watched until it is [forgotten](Self::forget). This waits for all of that.
    pub fn finish(&self, stream: &str) {
        self.hub.dismiss(stream);
        self.rooms.finish(stream);
    }

    /// Lets go of a stream's presentation that is over: it can't be watched any more, and its folder is nobody's. False where there
    /// is none, or it isn't over.
    pub fn forget(&self, stream: &str) -> bool {
        self.rooms.forget(stream)
    }

    /// The streams, for whoever wants packets, or to know how well they come.
    #[must_use]
    pub const fn hub(&self) -> &sv_ingest::Hub {
        &self.hub
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Nothing may come in while rooms are closed.
        self.pulls.lock().unwrap_or_else(PoisonError::into_inner).clear();
        #[cfg(feature = "rtsp")]
        self.cameras.lock().unwrap_or_else(PoisonError::into_inner).clear();
        (self.ingest, self.doctor) = (None, None);
        self.pushes.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.rooms.close();
        if let Some((stop, thread)) = self.watch.take() {
            drop(stop);
            // A thread that panicked has nothing left to end.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("ingest", &self.ingest).finish_non_exhaustive()
    }
}
