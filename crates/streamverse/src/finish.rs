//! What every rendition goes through at its end: given its captions, encrypted, cut, named, stored, noted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sv_core::{Codec, Grid, Item, Object, Scheme, Segment, Stage as _, TimeBase, Timestamp, Track};
use sv_drm::{aes128, cenc};
use sv_package::{Form, Layout, Marks, Packager, Rendition, Role, Segmenter};

use crate::captions::{Data, Insert};
use crate::meter::Meter;
use crate::vod::Encryption;
use crate::work::Work;
use crate::{Error, Result};

/// The work folder, shared by the threads of all renditions.
pub(crate) type Shared = Arc<Mutex<Work>>;

/// Packets that are encrypted side by side; a segment's are stored together anyway.
const TOGETHER: usize = 16;

/// What renditions have in common.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) segment: Duration,
    pub(crate) layout: Layout,
    pub(crate) form: Form,
    /// Whether files of segments are named by when they start.
    pub(crate) by_time: bool,
    pub(crate) encryption: Option<Encryption>,
    pub(crate) duration: Option<Duration>,
    /// Where segments end besides.
    pub(crate) cuts: Vec<Duration>,
    /// What segments of MP4 tell of themselves.
    pub(crate) events: Option<Marks>,
}

impl Common {
    /// How many segments to expect at most.
    fn segments(&self) -> u32 {
        let Some(duration) = self.duration else { return 1024 };
        let count = duration.as_millis() / self.segment.as_millis().max(1);
        // Key frames may stand closer than the grid only by a source's own choice; room costs 12 bytes.
        u32::try_from(count)
            .unwrap_or(u32::MAX / 4)
            .saturating_mul(2)
            .saturating_add(16 + self.cuts.len() as u32)
    }
}

/// The end of one rendition.
pub(crate) struct Finish {
    name: String,
    encryption: Option<Begin>,
    encryptor: Option<cenc::Encryptor>,
    /// Packets that are encrypted side by side.
    together: usize,
    segmenter: Segmenter,
    packager: Packager,
    captions: Option<Insert>,
    /// The track, if something else is said of it than it says itself.
    told: Option<Arc<Track>>,
    /// Packets before this moment, in nanoseconds, were stored by an earlier run.
    from: Option<Timestamp>,
    base: Option<TimeBase>,
    /// Up to where progress was told.
    told_at: Option<Timestamp>,
    work: Shared,
    meter: Meter,
}

/// What an encryptor needs besides its track.
pub(crate) struct Begin {
    pub(crate) encryption: Encryption,
    pub(crate) grid: Grid,
    pub(crate) iv: [u8; 16],
    pub(crate) first_sample: u64,
}

impl Begin {
    pub(crate) fn encryptor(&self, track: &Track) -> Result<cenc::Encryptor> {
        self.encryption.encryptor(track, self.grid.clone(), self.iv, self.first_sample)
    }

    /// What is encrypted as a whole, by the key that its samples were told.
    fn whole(&self, segment: &mut Segment) {
        let key = segment.kid.and_then(|kid| self.encryption.keys.named(kid));
        if let Some(key) = key.filter(|_| self.encryption.scheme == Scheme::Aes128) {
            segment.data = vec![aes128::encrypt(key, aes128::vector(segment.number), &segment.data)];
        }
    }
}

impl Finish {
    /// For rendition `name`, going on where an earlier run ended.
    pub(crate) fn new(
        name: &str,
        common: &Common,
        trick_play_of: Option<&str>,
        work: &Shared,
        meter: Meter,
    ) -> Result<Self> {
        let mut shared = work.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = shared.earlier(name).cloned();
        let samples = earlier.as_ref().map_or(0, Rendition::packets);
        let mut segmenter = Segmenter::new(common.segment).cuts(&common.cuts).form(common.form);
        if let Some(earlier) = &earlier {
            segmenter = segmenter.resume(earlier);
        }
        let from = earlier.as_ref().and_then(resume_point);
        let begin = |encryption: &Encryption| -> Result<Begin> {
            let (encryption, mut grid) = (encryption.clone(), Grid::new(common.segment));
            common.cuts.iter().for_each(|at| grid.cut(*at));
            Ok(Begin { encryption, grid, iv: shared.iv(name)?, first_sample: samples })
        };
        let encryption = common.encryption.as_ref().map(begin).transpose()?;
        drop(shared);
        let mut packager = match earlier {
            Some(rendition) => Packager::resume(rendition, common.segments()),
            None => Packager::new(name, common.layout, common.segments())
                .form(common.form)
                .named_by_time(common.by_time),
        };
        if common.encryption.as_ref().is_some_and(|e| !e.pssh_in_stream) {
            packager = packager.no_pssh();
        }
        if let Some(main) = trick_play_of {
            packager = packager.trick_play_of(main);
        }
        Ok(Self {
            name: name.to_owned(),
            encryption,
            encryptor: None,
            // Key frames alone are far apart: waiting for each other they would only take room.
            together: if trick_play_of.is_some() { 1 } else { TOGETHER },
            segmenter,
            packager,
            captions: None,
            told: None,
            from,
            base: None,
            told_at: None,
            work: Arc::clone(work),
            meter,
        })
    }

    /// Says something else of the track than it says itself, and what it is for.
    pub(crate) fn told(mut self, track: &Arc<Track>, roles: &[Role]) -> Self {
        self.told = Some(Arc::clone(track));
        self.packager = self.packager.roles(roles.iter().copied());
        self
    }

    /// Puts captions into its pictures.
    pub(crate) fn captioned(mut self, data: &Arc<Data>) -> Self {
        self.captions = Some(Insert::new(Arc::clone(data), self.from.is_some()));
        self
    }

    /// Tells of splices in segments, where that is asked for.
    pub(crate) fn telling(mut self, common: &Common) -> Self {
        if let Some(marks) = &common.events {
            self.segmenter = self.segmenter.emsg(marks);
        }
        self
    }

    /// Gives manifests this peak of bits per second, if any.
    pub(crate) fn bandwidth(mut self, told: Option<u64>) -> Self {
        self.packager = self.packager.bandwidth(told);
        self
    }

    /// Takes an item of the rendition.
    pub(crate) fn item(&mut self, mut item: Item) -> Result<()> {
        if let (Item::Track(track), Some(told)) = (&mut item, &self.told) {
            let said = (told.language.clone(), told.label.clone(), told.default);
            let track = Arc::make_mut(track);
            (track.language, track.label, track.default) = said;
        }
        match &item {
            Item::Track(track) => self.base = Some(track.time_base),
            Item::Packet(packet) => {
                let base = self.base.unwrap_or(TimeBase::NANOS);
                if self.from.is_some_and(|from| packet.pts.rescale(base, TimeBase::NANOS) < from) {
                    return Ok(());
                }
                // Not for every packet: telling costs more than to cut a small one.
                let step = i64::from(base.den() / base.num().max(1) / 5);
                if self.told_at.is_none_or(|at| packet.pts.ticks().saturating_sub(at.ticks()) >= step) {
                    self.told_at = Some(packet.pts);
                    let end = packet.pts.saturating_add(packet.duration);
                    self.meter.at(&self.name, end.rescale(base, TimeBase::MILLIS));
                }
            }
            _ => {}
        }
        let Some(captions) = &mut self.captions else { return self.encrypt(item) };
        captions.push(item)?;
        self.captioned_so_far()
    }

    /// Takes what pictures have captions now.
    fn captioned_so_far(&mut self) -> Result<()> {
        while let Some(item) = self.captions.as_mut().map(|c| c.pull()).transpose()?.flatten() {
            self.encrypt(item)?;
        }
        Ok(())
    }

    fn encrypt(&mut self, item: Item) -> Result<()> {
        // A track that is described again goes on with the encryptor that it has.
        if let (Item::Track(track), Some(begin), None) = (&item, &self.encryption, &self.encryptor) {
            self.encryptor = Some(begin.encryptor(track)?.together(self.together));
        }
        let Some(encryptor) = &mut self.encryptor else { return self.cut(item) };
        encryptor.push(item)?;
        self.encrypted()
    }

    /// Cuts what has left the encryptor.
    fn encrypted(&mut self) -> Result<()> {
        while let Some(item) = self.encryptor.as_mut().map(|e| e.pull()).transpose()?.flatten() {
            self.cut(item)?;
        }
        Ok(())
    }

    fn cut(&mut self, item: Item) -> Result<()> {
        self.segmenter.push(item)?;
        self.drain()
    }

    fn drain(&mut self) -> Result<()> {
        while let Some(mut item) = self.segmenter.pull()? {
            if let (Item::Segment(segment), Some(begin)) = (&mut item, &self.encryption) {
                begin.whole(segment);
            }
            let number = match &item {
                Item::Segment(segment) => Some(segment.number),
                _ => None,
            };
            match (self.packager.push(item)?, number) {
                (Some(object), _) => self.store(number, object)?,
                // A track whose form has no initialisation.
                (None, None) => self.began()?,
                (None, Some(_)) => {}
            }
        }
        Ok(())
    }

    fn began(&self) -> Result<()> {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        self.packager.rendition().map_or(Ok(()), |rendition| work.began(rendition))
    }

    fn store(&mut self, number: Option<u64>, object: Object) -> Result<()> {
        let bytes = object.data.iter().map(|b| b.len() as u64).sum();
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        work.put(object)?;
        let Some(rendition) = self.packager.rendition() else { return Ok(()) };
        match (number, rendition.segments.last()) {
            (Some(number), Some(record)) => {
                work.stored(&self.name, *record)?;
                drop(work);
                self.meter.stored(&self.name, number, bytes);
            }
            _ => work.began(rendition)?,
        }
        Ok(())
    }

    /// No more items come.
    pub(crate) fn end(mut self) -> Result<()> {
        if let Some(captions) = &mut self.captions {
            captions.finish()?;
            self.captioned_so_far()?;
        }
        if let Some(encryptor) = &mut self.encryptor {
            encryptor.finish()?;
            self.encrypted()?;
        }
        self.segmenter.finish()?;
        self.drain()?;
        let (rendition, index) = self.packager.finish()?;
        if rendition.segments.is_empty() {
            return Ok(());
        }
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = index {
            work.put(index)?;
        }
        work.complete(rendition)?;
        drop(work);
        self.meter.complete(&self.name);
        Ok(())
    }
}

/// The end of the last stored segment, in nanoseconds.
pub(crate) fn resume_point(rendition: &Rendition) -> Option<Timestamp> {
    let last = rendition.segments.last()?;
    let end = i64::try_from(last.start.saturating_add(last.duration)).ok()?;
    Some(Timestamp::new(end).rescale(rendition.info.time_base(), TimeBase::NANOS))
}

/// Refuses at once what would fail after hours of work.
pub(crate) fn check_codec(form: Form, encryption: Option<&Encryption>, codec: Codec) -> Result<()> {
    let (has_place, message) = match form {
        Form::Ts => (
            sv_container::ts::Muxer::supports(codec),
            "no place in transport streams; use H.264 or HEVC and AAC, or --format cmaf",
        ),
        Form::WebM => (
            sv_container::webm::supports(codec),
            "no place in WebM; use VP8, VP9 or AV1 and Opus or Vorbis, or --format cmaf",
        ),
        Form::Cmaf | Form::Text => (
            sv_container::mp4::supports(codec),
            "no place in MP4; use --format webm, or transcode it with sv vod",
        ),
    };
    if !has_place {
        return Err(Error::new(sv_core::ErrorKind::Unsupported, format!("{codec} has {message}")));
    }
    if let Some(scheme) = encryption.map(|e| e.scheme).filter(|scheme| !cenc::supports(codec, *scheme)) {
        let scheme = scheme.as_str();
        let message =
            format!("{codec} can't be encrypted by {scheme}; choose h264 and aac, or leave --encrypt out");
        return Err(Error::new(sv_core::ErrorKind::Unsupported, message));
    }
    Ok(())
}

/// What the fast motion of a rendition is called that has one of every `nth` key frame.
pub(crate) fn trick_name(of: &str, nth: u32) -> String {
    if nth == 1 { format!("{of}-trick") } else { format!("{of}-trick{nth}") }
}

/// Refuses factors of fast motion that are none.
pub(crate) fn check_factors(factors: &[u32]) -> Result<()> {
    let mut sorted = factors.to_vec();
    sorted.sort_unstable();
    if sorted.first() == Some(&0) || sorted.windows(2).any(|two| two[0] == two[1]) {
        let message = "fast motion is of every so many key frames: each number once, and 1 at least";
        return Err(Error::new(sv_core::ErrorKind::InvalidInput, message));
    }
    Ok(())
}

/// Refuses what no manifest could name.
pub(crate) fn check_form(form: Form, hls: bool, dash: bool, encryption: Option<&Encryption>) -> Result<()> {
    let message = match form {
        Form::WebM if hls => "HLS names no WebM: leave --hls or --format webm out",
        Form::WebM if encryption.is_some_and(|e| e.scheme != Scheme::Cenc) => {
            "WebM is encrypted by cenc alone: choose --encrypt cenc, or another --format"
        }
        Form::WebM if encryption.is_some_and(|e| e.crypto_period.is_some()) => {
            "WebM has one key for a whole track: leave --crypto-period out, or choose another --format"
        }
        Form::Ts if dash => "DASH names no transport streams here: leave --dash or --format ts out",
        _ => match encryption {
            None => return Ok(()),
            Some(e) if (form == Form::Ts) != e.scheme.fourcc().is_none() => {
                "transport streams are encrypted by sample-aes or aes-128, and fragments of MP4 by the other schemes: \
                 choose another --encrypt or --format"
            }
            Some(e) if form == Form::Ts && e.key_url.is_none() => {
                "players of encrypted transport streams need to know where the key is to be had: say it by --key-url"
            }
            Some(_) => return Ok(()),
        },
    };
    Err(Error::new(sv_core::ErrorKind::InvalidInput, message))
}
