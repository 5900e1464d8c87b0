//! Live streams: who may send them, what happens to them, and what can be done with them.

mod doors;
mod recordings;

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use streamverse::gateway::{Below, Gateway, Happening, Hook, Hooks, Settings};
use streamverse::ingest::gateway::{Admission, Answer, Ask, Keys, Notice, Verdict};
use streamverse::ingest::health::Report;
use streamverse::ingest::record::{self, Progress};
use streamverse::package::live::Window;

use crate::api::live::{Live, NewLive};
use crate::app::{App, Shared};
use crate::config::{Config, MOST_HOURS};
use crate::events::What;
use crate::id;
use crate::problem::{Problem, Result};
use crate::store::{LiveRow, Recorded};
use crate::time::now_ms;

pub(crate) use doors::Doors;
pub(crate) use recordings::{Passing, Stretch, Wanted, name};

/// Things that wait to be told.
const WAITING: usize = 1024;
/// Live streams in a list.
const LISTED: u32 = 100;

/// The gateway, while the service runs.
#[derive(Debug, Default)]
pub(crate) struct Studio {
    gateway: RwLock<Option<Gateway>>,
    doors: OnceLock<Doors>,
    /// How streams are recorded that somebody has been let in to send.
    recorded: Mutex<HashMap<String, record::Settings>>,
}

/// Lets in who knows a stream's key.
struct Doorman {
    app: Weak<App>,
    runtime: tokio::runtime::Handle,
}

impl Admission for Doorman {
    fn decide(&self, ask: Ask, answer: Answer) {
        let Some(app) = self.app.upgrade() else { return };
        // The database may wait for a disk, and media must not.
        self.runtime.spawn_blocking(move || {
            let name = ask.name.expose();
            answer.say(if !ask.publish {
                Verdict::allow(name)
            } else {
                match app.store.live_of_key(&Keys::hash(name)) {
                    Ok(Some(live)) => {
                        app.studio.remember(&app, &live);
                        Verdict::allow(live.id)
                    }
                    Ok(None) => Verdict::refuse("this stream key is not known, or its stream has ended"),
                    Err(error) => {
                        tracing::error!(%error, "a stream key can't be looked up");
                        Verdict::refuse("nobody could decide: try again")
                    }
                }
            });
        });
    }
}

impl Studio {
    /// Starts the gateway. It is called inside of a runtime.
    pub(crate) fn start(&self, app: &Shared) -> Result<(), streamverse::Error> {
        let doorman = Doorman { app: Arc::downgrade(app), runtime: tokio::runtime::Handle::current() };
        let mut settings = Settings::new(doorman, app.files.live());
        settings.presentation.window = Window::Sliding(Duration::from_secs(app.config.dvr.into()));
        settings.ladder = app.config.live_ladder.as_deref().map(Below::parse).transpose()?;
        let weak = Arc::downgrade(app);
        settings.record = Arc::new(move |live| weak.upgrade()?.studio.recorded().get(live).cloned());
        let (say, told) = sync_channel(WAITING);
        settings.told = Arc::new(move |happening| hear(&say, happening));
        let gateway = Gateway::start(settings)?;
        // It is started once.
        let _ = self.doors.set(Doors::open(&gateway, &app.config)?);
        let app = Arc::downgrade(app);
        std::thread::Builder::new().name("live".into()).spawn(move || tell(&app, &told))?;
        *self.gateway.write().unwrap_or_else(PoisonError::into_inner) = Some(gateway);
        Ok(())
    }

    /// Ends it: presentations become recordings.
    pub(crate) fn close(&self) {
        let gateway = self.gateway.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(gateway);
    }

    /// Where streams are taken.
    pub(crate) fn doors(&self) -> Option<Doors> {
        self.doors.get().copied()
    }

    /// Keeps in mind how a stream is recorded, for when it begins.
    fn remember(&self, app: &App, live: &LiveRow) {
        let mut all = self.recorded();
        match live.recorded {
            Some(recorded) => drop(all.insert(live.id.clone(), app.recorder(recorded))),
            None => drop(all.remove(&live.id)),
        }
    }

    fn recorded(&self) -> MutexGuard<'_, HashMap<String, record::Settings>> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What serves presentations.
    pub(crate) fn router(&self) -> axum::Router {
        self.with(Gateway::router).unwrap_or_default()
    }

    /// What takes offers by WHIP.
    pub(crate) fn whip_router(&self) -> axum::Router {
        self.with(Gateway::whip_router).unwrap_or_default()
    }

    fn with<T>(&self, ask: impl FnOnce(&Gateway) -> T) -> Option<T> {
        self.gateway.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(ask)
    }

    pub(crate) fn is_live(&self, id: &str) -> bool {
        self.with(|gateway| gateway.hub().is_live(id)).unwrap_or(false)
    }

    pub(crate) fn is_watchable(&self, id: &str) -> bool {
        self.with(|gateway| gateway.is_watchable(id)).unwrap_or(false)
    }

    pub(crate) fn health(&self, id: &str) -> Option<Report> {
        self.with(|gateway| gateway.hub().health(id)).flatten()
    }

    pub(crate) fn count(&self) -> usize {
        self.with(|gateway| gateway.hub().live().len()).unwrap_or(0)
    }

    fn dismiss(&self, id: &str) {
        self.with(|gateway| gateway.hub().dismiss(id));
    }

    /// Ends a stream now, and waits for that.
    fn finish(&self, id: &str) {
        self.with(|gateway| gateway.finish(id));
    }

    /// Lets go of a presentation that is over. False where there is none.
    fn forget(&self, id: &str) -> bool {
        self.with(|gateway| gateway.forget(id)).unwrap_or(false)
    }
}

/// Called where media go through: it only passes on.
fn hear(say: &SyncSender<Happening>, happening: &Happening) {
    let of_interest = matches!(
        happening,
        Happening::Ingest(Notice::Started { .. } | Notice::Ended { .. })
            | Happening::Presented { .. }
            | Happening::Closed { .. }
            | Happening::Health { .. }
            | Happening::Recorded { .. }
    );
    if of_interest && say.try_send(happening.clone()).is_err() {
        tracing::warn!("too much happens to live streams at once: not all of it is told");
    }
}

/// Tells everybody what happens to live streams, until there are none any more.
fn tell(app: &Weak<App>, told: &Receiver<Happening>) {
    for happening in told {
        let Some(app) = app.upgrade() else { return };
        if let Err(problem) = app.happened(&happening) {
            tracing::error!(?problem, "what happens to a live stream can't be told");
        }
    }
}

/// A key that nobody guesses.
fn new_key() -> String {
    let mut bytes = [0; 24];
    id::random(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

impl App {
    fn happened(&self, happening: &Happening) -> Result<()> {
        match happening {
            Happening::Ingest(Notice::Started { stream, .. }) => {
                self.store.live_started(stream, now_ms())?;
                self.bus.tell(What::LiveStarted(Box::new(self.live(stream)?)));
            }
            Happening::Ingest(Notice::Ended { stream, reason, .. }) => {
                let live = Box::new(self.live(stream)?);
                self.bus.tell(What::LiveEnded { live, reason: reason.clone() });
            }
            Happening::Presented { stream, .. } | Happening::Closed { stream, .. } => {
                self.tell_changed(stream)?;
            }
            Happening::Health { stream, wrong } => {
                let (live_id, wrong) = (stream.clone(), wrong.clone());
                self.bus.tell(What::LiveHealth { live_id, good: wrong.is_empty(), wrong });
            }
            Happening::Recorded { stream, progress } => {
                let live_id = stream.clone();
                match progress {
                    Progress::Begun(_) => self.bus.tell(What::RecordingStarted { live_id }),
                    Progress::Ended(_) => self.bus.tell(What::RecordingEnded { live_id }),
                    Progress::Failed { reason } => {
                        tracing::error!(live = stream, reason, "a live stream is not recorded");
                        let reason = self.files.discreet(reason);
                        self.bus.tell(What::RecordingFailed { live_id, reason });
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn tell_changed(&self, id: &str) -> Result<()> {
        self.bus.tell(What::LiveChanged(Box::new(self.live(id)?)));
        Ok(())
    }

    /// A live stream as clients see it.
    pub(crate) fn live(&self, id: &str) -> Result<Live> {
        Ok(Live::of(self, self.live_row(id)?))
    }

    fn live_row(&self, id: &str) -> Result<LiveRow> {
        self.store.live(id)?.ok_or_else(|| Problem::not_found("such live stream"))
    }

    /// The newest live streams.
    pub(crate) fn lives(&self) -> Result<Vec<Live>> {
        Ok(self.store.lives(LISTED)?.into_iter().map(|row| Live::of(self, row)).collect())
    }

    /// A new live stream, with its key, which nobody is told again.
    pub(crate) fn start_live(&self, wanted: &NewLive) -> Result<Live> {
        let recorded = self.recorded_as(wanted)?;
        let title: String = wanted.title.chars().filter(|c| !c.is_control()).take(200).collect();
        let title = title.trim();
        let key = new_key();
        let row = LiveRow {
            id: id::new("liv"),
            title: if title.is_empty() { "Live".into() } else { title.to_owned() },
            key: Keys::hash(&key),
            created: now_ms(),
            started: None,
            stopped: None,
            recorded,
        };
        self.store.add_live(&row)?;
        let live = self.live(&row.id)?;
        self.bus.tell(What::LiveChanged(Box::new(live.clone())));
        Ok(live.with_key(key))
    }

    fn recorded_as(&self, wanted: &NewLive) -> Result<Option<Recorded>> {
        if !wanted.record {
            return match (wanted.keep_hours, wanted.part_minutes) {
                (None, None) => Ok(None),
                _ => Err(Problem::bad_request("keep_hours and part_minutes need \"record\": true")),
            };
        }
        let keep_hours = wanted.keep_hours.unwrap_or(self.config.recording_hours);
        let part_minutes = wanted.part_minutes.unwrap_or(60);
        if !(1..=MOST_HOURS).contains(&keep_hours.into()) || !(1..=24 * 60).contains(&part_minutes) {
            let detail =
                format!("recordings are kept for 1 to {MOST_HOURS} hours, in parts of 1 to 1440 minutes");
            return Err(Problem::bad_request(detail));
        }
        Ok(Some(Recorded { keep_hours, part_minutes }))
    }

    /// Another key for a stream; whoever sends with the old one is sent away.
    pub(crate) fn renew_live_key(&self, id: &str) -> Result<Live> {
        let row = self.live_row(id)?;
        if row.stopped.is_some() {
            let detail = "this live stream has ended for good";
            return Err(Problem::new(axum::http::StatusCode::CONFLICT, "ended", detail));
        }
        let key = new_key();
        self.store.set_live_key(id, &Keys::hash(&key))?;
        self.studio.dismiss(id);
        Ok(self.live(id)?.with_key(key))
    }

    /// Ends a stream for good: its key lets nobody in any more. What was live stays to be watched, for a while.
    pub(crate) fn stop_live(&self, id: &str) -> Result<Live> {
        self.live_row(id)?;
        self.store.stop_live(id, now_ms())?;
        self.studio.finish(id);
        let live = self.live(id)?;
        self.bus.tell(What::LiveChanged(Box::new(live.clone())));
        Ok(live)
    }

    /// Deletes a stream that has been stopped, with all that it has left.
    pub(crate) fn delete_live(&self, id: &str) -> Result<()> {
        let row = self.live_row(id)?;
        if row.stopped.is_none() || self.studio.is_live(id) {
            let detail = "this live stream can still be sent: stop it first";
            return Err(Problem::new(axum::http::StatusCode::CONFLICT, "live", detail));
        }
        self.studio.finish(id);
        self.studio.forget(id);
        self.studio.recorded().remove(id);
        self.files.remove_live(id)?;
        self.store.remove_live(id)?;
        self.bus.tell(What::LiveDeleted { live_id: id.to_owned() });
        Ok(())
    }
}

/// Who is told what happens by webhooks, if anybody.
pub(crate) fn hooks(config: &Config) -> Result<Option<Hooks>, streamverse::Error> {
    if config.webhook.is_empty() {
        return Ok(None);
    }
    let secret = config.webhook_secret.as_ref().map(std::fs::read_to_string).transpose()?;
    let hook = |url: &String| match &secret {
        Some(secret) => Hook::new(url)?.signed(secret.trim()),
        None => Hook::new(url),
    };
    Hooks::start(config.webhook.iter().map(hook).collect::<Result<_, _>>()?).map(Some)
}
