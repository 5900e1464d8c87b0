//! Opens a source with whichever demuxer reads it.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sv_container::{mp4, ts};
use sv_core::{
    Codec, Cue, ErrorKind, Item, Limits, ReadAt, Source, TimeBase, Timestamp, Track, TrackId, TrackKind,
};

use crate::damage::{Damage, Ledger};
use crate::place;
use crate::{Error, Result};

/// An open source.
pub(crate) struct Input {
    path: PathBuf,
    prefer: Prefer,
    /// What the container is called.
    pub(crate) container: String,
    /// How long the whole is, if the container says.
    pub(crate) duration: Option<Duration>,
    /// Its tracks, in the order of the file.
    pub(crate) tracks: Vec<Arc<Track>>,
    demuxer: Demuxer,
    /// Tracks to give; empty for all.
    only: Vec<TrackId>,
    /// Goes out before anything else: the tracks again, after going to another place.
    pending: VecDeque<Item>,
    /// Subtracted from every time, so that the presentation begins at zero.
    start: Timestamp,
    /// Where to stop, in nanoseconds of the presentation.
    end: Option<Timestamp>,
    /// Who hears that the source breaks off; without one it's an error.
    damage: Option<Ledger>,
    /// Until when each track's packets are shown, in nanoseconds of the presentation.
    reached: BTreeMap<TrackId, Timestamp>,
    over: bool,
    /// Gives the source's own cues too.
    cues: bool,
}

/// Which demuxer to try first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prefer {
    /// Ours: exact about boxes and encryption, for packaging.
    Own,
    /// FFmpeg's, for transcoding, unless ours reads all that there is in the file: ours keeps a few
    /// bytes for each sample and not an index of a hundred.
    #[cfg_attr(not(feature = "ffmpeg"), allow(dead_code))]
    Backend,
}

enum Demuxer {
    Mp4(Box<mp4::Demuxer>),
    Ts(Box<ts::Demuxer>),
    #[cfg(feature = "ffmpeg")]
    Ffmpeg(Box<sv_ffmpeg::Demuxer>),
}

impl Input {
    /// Opens a file and reads its tracks.
    pub(crate) fn open(path: &Path, prefer: Prefer) -> Result<Self> {
        let what = || format!("{} can't be used", path.display());
        let reader = place::reader(path).map_err(|e| e.context(what()))?;
        if reader.size() == 0 {
            return Err(Error::new(ErrorKind::Malformed, "the file is empty").context(what()));
        }
        let mut input = open(path, reader, prefer).map_err(|e| e.context(what()))?;
        input.complete()?;
        if input.tracks.iter().all(|t| t.kind() == TrackKind::Text) {
            let message = "there is neither video nor audio in it";
            return Err(Error::new(ErrorKind::Unsupported, message).context(what()));
        }
        Ok(input)
    }

    /// AC-3 and E-AC-3 say in each packet what they are, and most containers say it nowhere else: what
    /// MP4 wants to know is taken from the first one.
    fn complete(&mut self) -> Result<()> {
        const ENOUGH_PACKETS: usize = 4096;
        let silent = |t: &Arc<Track>| matches!(t.codec, Codec::Ac3 | Codec::Eac3) && t.config.is_empty();
        let mut missing: Vec<TrackId> = self.tracks.iter().filter(|t| silent(t)).map(|t| t.id).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let reader = place::reader(&self.path)?;
        let mut scout = open(&self.path, reader, self.prefer)?;
        scout.select(&missing);
        for _ in 0..ENOUGH_PACKETS {
            // A source that breaks off here is told when it is really read.
            let Ok(Some(item)) = scout.raw_item() else { break };
            let Item::Packet(packet) = item else { continue };
            let Some(at) = missing.iter().position(|id| *id == packet.track) else { continue };
            let Some(track) = self.tracks.iter_mut().find(|t| t.id == packet.track) else { continue };
            let config = match track.codec {
                Codec::Eac3 => sv_codec::ac3::build_dec3(&packet.data).ok(),
                _ => sv_codec::ac3::Header::parse(&packet.data).ok().map(|h| sv_codec::ac3::build_dac3(&h)),
            };
            if let Some(config) = config {
                Arc::make_mut(track).config = config;
                missing.swap_remove(at);
            }
            if missing.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// The same source from its beginning: all tracks, no rebasing.
    pub(crate) fn again(&self) -> Result<Self> {
        let Demuxer::Mp4(demuxer) = &self.demuxer else {
            let mut input = Self::open(&self.path, self.prefer)?;
            input.cues = self.cues;
            return Ok(input);
        };
        Ok(Self {
            path: self.path.clone(),
            prefer: self.prefer,
            container: self.container.clone(),
            duration: self.duration,
            tracks: self.tracks.clone(),
            demuxer: Demuxer::Mp4(Box::new(demuxer.another()?)),
            only: Vec::new(),
            pending: VecDeque::new(),
            start: Timestamp::ZERO,
            end: None,
            damage: None,
            reached: BTreeMap::new(),
            over: false,
            cues: self.cues,
        })
    }

    /// Gives the source's own cues too, where they stand.
    pub(crate) fn tell_cues(mut self) -> Self {
        self.cues = true;
        self
    }

    /// Whether the source may have cues of its own.
    pub(crate) fn has_cues(&self) -> bool {
        matches!(&self.demuxer, Demuxer::Ts(demuxer) if demuxer.has_cues())
    }

    /// The languages of captions in pictures, as far as the source says, by the names that HLS has for them.
    pub(crate) fn caption_languages(&self) -> BTreeMap<String, String> {
        match &self.demuxer {
            Demuxer::Ts(demuxer) => demuxer.caption_languages().clone(),
            _ => self.transport().map_or_else(BTreeMap::new, |own| own.caption_languages().clone()),
        }
    }

    /// A transport stream that another demuxer than ours reads, as ours reads it: for what the other doesn't tell.
    pub(crate) fn transport(&self) -> Option<ts::Demuxer> {
        let reader = (self.container == "mpegts").then(|| place::reader(&self.path))?.ok()?;
        ts::Demuxer::open(reader, Limits::default()).ok()
    }

    /// The events of a scheme that stand in front of the fragments of an MP4 file.
    pub(crate) fn events(&self, scheme: &str) -> Vec<Cue> {
        match &self.demuxer {
            Demuxer::Mp4(demuxer) => demuxer.events(scheme),
            _ => Vec::new(),
        }
    }

    /// Lets a source that breaks off end there, and tells `damage` of it.
    pub(crate) fn forgive(&mut self, damage: &Ledger) {
        self.damage = Some(damage.clone());
    }

    /// Gives these tracks' items only.
    pub(crate) fn select(&mut self, tracks: &[TrackId]) {
        self.only = tracks.to_vec();
        match &mut self.demuxer {
            Demuxer::Mp4(demuxer) => demuxer.select(tracks),
            Demuxer::Ts(_) => {}
            #[cfg(feature = "ffmpeg")]
            Demuxer::Ffmpeg(demuxer) => demuxer.select(tracks),
        }
    }

    /// Subtracts `start`, in nanoseconds of the source's own timeline, from every time.
    pub(crate) fn rebase(&mut self, start: Timestamp) {
        self.start = start;
    }

    /// The presentation's start on the source's own timeline, in nanoseconds.
    pub(crate) const fn start(&self) -> Timestamp {
        self.start
    }

    /// Stops when packets are decoded so far behind the presentation's start.
    pub(crate) fn limit(&mut self, length: Duration) {
        self.end = Some(Timestamp::new(i64::try_from(length.as_nanos()).unwrap_or(i64::MAX)));
    }

    /// Goes to the key frame at or before `at` of the presentation.
    pub(crate) fn seek(&mut self, at: Duration) -> Result<()> {
        self.over = false;
        let start = self.start.ticks();
        let nanos = i64::try_from(at.as_nanos()).unwrap_or(i64::MAX).saturating_add(start);
        let at = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
        match &mut self.demuxer {
            Demuxer::Mp4(demuxer) => {
                let mut all = self.tracks.iter().filter(|t| self.only.contains(&t.id));
                let first = all.clone().next();
                // Text is too sparse to go by.
                if let Some(track) = all.find(|t| t.kind() != TrackKind::Text).or(first) {
                    self.pending.extend(self.tracks.iter().cloned().map(Item::Track));
                    let at = sv_core::Duration::from_std(at, track.time_base).ticks();
                    demuxer.seek(track.id, Timestamp::new(i64::try_from(at).unwrap_or(i64::MAX)))?;
                }
            }
            // A transport stream has no index: reading from the front finds the same pictures.
            Demuxer::Ts(_) => {}
            #[cfg(feature = "ffmpeg")]
            Demuxer::Ffmpeg(demuxer) => demuxer.seek(at)?,
        }
        Ok(())
    }

    /// When the presentation begins on the source's own timeline, in nanoseconds: the first moment
    /// of any of the chosen tracks. Reads from the front, so ask a source that is thrown away.
    pub(crate) fn find_start(mut self) -> Result<Timestamp> {
        // Tracks begin near each other; a hole larger than this is the presentation's business.
        const ENOUGH_PACKETS: usize = 4096;
        let mut missing: Vec<TrackId> = self.only.clone();
        let mut start: Option<Timestamp> = None;
        for _ in 0..ENOUGH_PACKETS {
            if missing.is_empty() {
                break;
            }
            let Some(item) = self.raw_item()? else { break };
            let Item::Packet(packet) = item else { continue };
            let Some(at) = missing.iter().position(|id| *id == packet.track) else { continue };
            missing.swap_remove(at);
            let Some(track) = self.tracks.iter().find(|t| t.id == packet.track) else { continue };
            // What lies before the origin of the source's timeline is not presented at all.
            let at = packet.pts.rescale(track.time_base, TimeBase::NANOS).max(Timestamp::ZERO);
            start = Some(start.map_or(at, |s| s.min(at)));
        }
        Ok(start.unwrap_or(Timestamp::ZERO))
    }

    /// When the key frames of a track are shown, behind the presentation's `start`; nothing where the
    /// container has no list of them.
    pub(crate) fn key_times(&self, track: TrackId, start: Timestamp) -> Result<Vec<Duration>> {
        let Demuxer::Mp4(demuxer) = &self.demuxer else { return Ok(Vec::new()) };
        let base = self.tracks.iter().find(|t| t.id == track).map_or(TimeBase::NANOS, |t| t.time_base);
        let behind = |at: &Timestamp| at.rescale(base, TimeBase::NANOS).since(start);
        let times = demuxer.sync_times(track)?;
        Ok(times.iter().filter_map(behind).map(|d| d.to_std(TimeBase::NANOS)).collect())
    }

    fn raw_item(&mut self) -> Result<Option<Item>> {
        if let Some(item) = self.pending.pop_front() {
            return Ok(Some(item));
        }
        Ok(match &mut self.demuxer {
            Demuxer::Mp4(demuxer) => demuxer.next_item()?,
            Demuxer::Ts(demuxer) => demuxer.next_item()?,
            #[cfg(feature = "ffmpeg")]
            Demuxer::Ffmpeg(demuxer) => demuxer.next_item()?,
        })
    }

    fn is_behind(&self, item: &Item) -> bool {
        let (Some(end), Item::Packet(packet)) = (self.end, item) else { return false };
        let base = self.tracks.iter().find(|t| t.id == packet.track).map(|t| t.time_base);
        base.is_some_and(|base| packet.dts.rescale(base, TimeBase::NANOS) >= end)
    }

    fn note(&mut self, item: &Item) {
        let Item::Packet(packet) = item else { return };
        let Some(track) = self.tracks.iter().find(|t| t.id == packet.track) else { return };
        let end = packet.pts.saturating_add(packet.duration).rescale(track.time_base, TimeBase::NANOS);
        let reached = self.reached.entry(track.id).or_insert(end);
        *reached = (*reached).max(end);
    }

    /// The container says that the whole is longer. Only Matroska's word is taken for it: others
    /// estimate, or have tables that tell where the bytes are missing.
    fn check_end(&mut self) -> Result<()> {
        /// Tracks need not end together.
        const SLACK: i64 = 1_000_000_000;
        let written = ["matroska", "webm"].iter().any(|name| self.container.contains(name));
        let (Some(length), Some(last)) = (self.duration, self.reached.values().max()) else { return Ok(()) };
        let length = i64::try_from(length.as_nanos()).unwrap_or(i64::MAX).saturating_sub(self.start.ticks());
        if !written || self.end.is_some() || last.ticks().saturating_add(SLACK) >= length {
            return Ok(());
        }
        self.breaks_off("the file ends before it should")
    }

    /// Tells that nothing follows of any track.
    fn breaks_off(&self, what: &(impl std::fmt::Display + ?Sized)) -> Result<()> {
        let Some(damage) = &self.damage else {
            return Err(Error::new(ErrorKind::Malformed, what.to_string()));
        };
        let ms = |at: Timestamp| at.rescale(TimeBase::NANOS, TimeBase::MILLIS).ticks().max(0).unsigned_abs();
        let whole = |track: &Track| {
            let own = track.duration.map(|d| d.to_std(track.time_base));
            own.or(self.duration).map_or(0, |d| d.as_millis() as u64)
        };
        for track in self.tracks.iter().filter(|t| self.only.is_empty() || self.only.contains(&t.id)) {
            let from_ms = self.reached.get(&track.id).copied().map_or(0, ms);
            let until_ms = whole(track).saturating_sub(ms(self.start)).max(from_ms + 1);
            let what = what.to_string();
            damage.add(Damage { track: track.id.0, kind: track.kind(), from_ms, until_ms, what })?;
        }
        Ok(())
    }

    fn rebased(&self, mut item: Item) -> Item {
        // The demuxer doesn't know what was found out about its tracks.
        if let Item::Track(track) = &mut item
            && let Some(known) = self.tracks.iter().find(|t| t.id == track.id)
            && track.config.is_empty()
        {
            *track = Arc::clone(known);
        }
        if let Item::Cue(cue) = &mut item {
            cue.at = crate::cues::since(cue.at, self.start);
        }
        if let Item::Packet(packet) = &mut item
            && self.start != Timestamp::ZERO
            && let Some(track) = self.tracks.iter().find(|t| t.id == packet.track)
        {
            let by = self.start.rescale(TimeBase::NANOS, track.time_base).ticks();
            packet.pts = packet.pts.offset(by.saturating_neg());
            packet.dts = packet.dts.offset(by.saturating_neg());
        }
        item
    }
}

impl Source for Input {
    type Error = Error;

    fn next_item(&mut self) -> Result<Option<Item>> {
        while !self.over {
            let item = match self.raw_item() {
                Ok(Some(item)) => item,
                Ok(None) => {
                    self.over = true;
                    self.check_end()?;
                    break;
                }
                // What was good so far is kept, if there was anything.
                Err(error) if error.kind() == ErrorKind::Malformed && !self.reached.is_empty() => {
                    self.over = true;
                    self.breaks_off(&error)?;
                    break;
                }
                Err(error) => return Err(error),
            };
            let wanted = match &item {
                Item::Cue(_) => self.cues,
                _ => self.only.is_empty() || item.track().is_none_or(|id| self.only.contains(&id)),
            };
            if wanted {
                let item = self.rebased(item);
                if self.is_behind(&item) {
                    self.over = true;
                    break;
                }
                self.note(&item);
                return Ok(Some(item));
            }
        }
        Ok(None)
    }
}

/// Whether a demuxer of ours reads everything that there is in an MP4 file, just as it is meant.
#[cfg(feature = "ffmpeg")]
fn is_plain(demuxer: &mp4::Demuxer) -> bool {
    // FFmpeg takes IAMF apart into streams that it decodes.
    let plain = |t: &Arc<Track>| t.protection.is_none() && t.codec != Codec::Iamf;
    demuxer.warnings().is_empty() && demuxer.tracks().iter().all(plain)
}

/// Whether a transport stream says something that FFmpeg doesn't tell: when splices are, which language captions are in.
/// And nothing that our demuxer can't read.
#[cfg(feature = "ffmpeg")]
fn tells_all(reader: &Arc<dyn ReadAt>) -> bool {
    ts::Demuxer::open(Arc::clone(reader), Limits::default()).is_ok_and(|demuxer| {
        let more = demuxer.has_cues() || !demuxer.caption_languages().is_empty();
        more && demuxer.warnings().is_empty()
    })
}

fn open(path: &Path, reader: Arc<dyn ReadAt>, prefer: Prefer) -> Result<Input> {
    let mut head = vec![0; 4096];
    let n = reader.read_at(0, &mut head)?;
    head.truncate(n);
    let kind = sv_container::detect(&head);
    let input = |container: String, duration, tracks: Vec<Arc<Track>>, demuxer| Input {
        path: path.to_owned(),
        prefer,
        container,
        duration,
        tracks,
        demuxer,
        only: Vec::new(),
        pending: VecDeque::new(),
        start: Timestamp::ZERO,
        end: None,
        damage: None,
        reached: BTreeMap::new(),
        over: false,
        cues: false,
    };
    let longest =
        |tracks: &[Arc<Track>]| tracks.iter().filter_map(|t| t.duration.map(|d| d.to_std(t.time_base))).max();
    let ours = |demuxer: mp4::Demuxer| {
        let tracks = demuxer.tracks().to_vec();
        input("mp4".into(), longest(&tracks), tracks, Demuxer::Mp4(Box::new(demuxer)))
    };
    let mp4 = (kind == Some(sv_container::Kind::Mp4))
        .then(|| mp4::Demuxer::open(Arc::clone(&reader), Limits::default()));

    #[cfg(feature = "ffmpeg")]
    {
        match &mp4 {
            // Judged below, error or not.
            Some(_) if prefer == Prefer::Own => {}
            _ if prefer == Prefer::Own && kind == Some(sv_container::Kind::Ts) && tells_all(&reader) => {}
            Some(Ok(demuxer)) if is_plain(demuxer) => {}
            // Where FFmpeg is not installed, what we read ourselves is read all the same.
            _ if matches!(kind, Some(sv_container::Kind::Mp4 | sv_container::Kind::Ts))
                && sv_ffmpeg::probe::available().is_err() => {}
            _ => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let demuxer = sv_ffmpeg::Demuxer::open(reader, &name, Limits::default())?;
                let info = demuxer.info();
                let tracks = demuxer.tracks().iter().cloned().map(Arc::new).collect();
                return Ok(input(info.container, info.duration, tracks, Demuxer::Ffmpeg(Box::new(demuxer))));
            }
        }
    }
    match (kind, mp4) {
        (_, Some(demuxer)) => Ok(ours(demuxer?)),
        (Some(sv_container::Kind::Ts), _) => {
            let demuxer = ts::Demuxer::open(reader, Limits::default())?;
            let tracks = demuxer.tracks().to_vec();
            Ok(input("mpegts".into(), longest(&tracks), tracks, Demuxer::Ts(Box::new(demuxer))))
        }
        (Some(other), _) => {
            let message = format!(
                "this is {}, which only the feature \"ffmpeg\" reads; build with it switched on",
                other.name()
            );
            Err(Error::new(ErrorKind::Unsupported, message))
        }
        (None, _) => Err(Error::new(ErrorKind::Malformed, "this is not a media file that we know")),
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input")
            .field("path", &self.path)
            .field("tracks", &self.tracks)
            .finish_non_exhaustive()
    }
}
