//! Names the segments of one rendition and keeps the record that manifests are written from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sv_container::{mp4, webm};
use sv_core::{Bytes, Duration, Item, Object, Segment, Track, TrackKind, Write};

use crate::{Error, Info, Rendition, Role, SegmentRecord};

/// How a rendition's segments are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// `NAME/init.mp4` and `NAME/NUMBER.m4s`.
    #[default]
    Files,
    /// One `NAME.mp4` of byte ranges, with a segment index at its front.
    SingleFile,
    /// One whole file of another kind, such as `NAME.vtt`.
    Sidecar,
}

/// What segments are written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Fragments of MP4, which HLS and DASH both name (ISO/IEC 23000-19).
    #[default]
    Cmaf,
    /// MPEG-2 transport streams for pictures and packed audio for sound, which HLS names for players from
    /// before 2016 ([RFC 8216, 3.2 and 3.4](https://www.rfc-editor.org/rfc/rfc8216#section-3.2)).
    Ts,
    /// WebM, a head and clusters, which DASH names. VP8, VP9, AV1, Opus and Vorbis have a place in it, and
    /// `cenc` with one key for a track.
    #[serde(rename = "webm")]
    WebM,
    /// Files of text as text is written where there is no container: WebVTT or TTML.
    Text,
}

impl Form {
    /// Whether segments stand behind an initialisation.
    #[must_use]
    pub const fn has_init(self) -> bool {
        matches!(self, Self::Cmaf | Self::WebM)
    }

    /// Bytes of an index of so many segments, in a single file.
    fn index_bytes(self, segments: u32) -> u64 {
        let segments = usize::try_from(segments).unwrap_or(usize::MAX);
        match self {
            Self::Cmaf => u64::try_from(mp4::Index::size(segments)).unwrap_or(u64::MAX),
            Self::WebM => webm::Cues::size(segments),
            Self::Ts | Self::Text => 0,
        }
    }

    /// What readers pass over, of so many bytes.
    fn filler(self, bytes: u64) -> Bytes {
        match self {
            Self::WebM => webm::void(bytes),
            _ => free_box(bytes),
        }
    }
}

/// Turns one rendition's track and segments into objects.
#[derive(Debug)]
pub struct Packager {
    rendition: Option<Rendition>,
    name: String,
    layout: Layout,
    form: Form,
    trick_play_of: Option<String>,
    roles: Vec<Role>,
    bandwidth: Option<u64>,
    by_time: bool,
    /// Segments that a single file's index has room for.
    expected: u32,
    /// Bytes kept free for that.
    reserve: u64,
    /// Whether `pssh` boxes stand in the stream, and not only in manifests.
    pssh: bool,
    track: Option<Arc<Track>>,
}

impl Packager {
    /// For a new rendition. `segments` is how many segments to expect at most: a single file keeps
    /// room for an index of that many, and goes without an index when there are more.
    #[must_use]
    pub fn new(name: impl Into<String>, layout: Layout, segments: u32) -> Self {
        Self {
            rendition: None,
            name: name.into(),
            layout,
            form: Form::Cmaf,
            trick_play_of: None,
            roles: Vec::new(),
            bandwidth: None,
            by_time: false,
            expected: segments,
            reserve: Form::Cmaf.index_bytes(segments),
            pssh: true,
            track: None,
        }
    }

    /// Says what the rendition is for.
    #[must_use]
    pub fn roles(mut self, roles: impl IntoIterator<Item = Role>) -> Self {
        self.roles = roles.into_iter().collect();
        self
    }

    /// Gives manifests this peak of bits per second instead of what is measured.
    #[must_use]
    pub fn bandwidth(mut self, told: Option<u64>) -> Self {
        self.bandwidth = told;
        self
    }

    /// Names files of segments by when they start, in ticks: DASH's `$Time$`.
    #[must_use]
    pub fn named_by_time(mut self, by_time: bool) -> Self {
        self.by_time = by_time;
        self
    }

    /// Leaves the key systems' `pssh` boxes to the manifests.
    #[must_use]
    pub fn no_pssh(mut self) -> Self {
        self.pssh = false;
        self
    }

    /// For segments of another form than [`Form::Cmaf`]. Transport streams and text have neither initialisation
    /// nor index.
    #[must_use]
    pub fn form(mut self, form: Form) -> Self {
        self.form = form;
        self.reserve = form.index_bytes(self.expected);
        self
    }

    /// For a rendition that an earlier run began.
    #[must_use]
    pub fn resume(rendition: Rendition, segments: u32) -> Self {
        Self {
            name: rendition.name.clone(),
            layout: rendition.layout,
            form: rendition.form,
            trick_play_of: rendition.trick_play_of.clone(),
            roles: rendition.info.roles.clone(),
            bandwidth: rendition.info.told_bandwidth,
            by_time: rendition.named_by_time,
            expected: segments,
            reserve: rendition.form.index_bytes(segments),
            rendition: Some(rendition),
            pssh: true,
            track: None,
        }
    }

    /// Marks the rendition as the fast motion of another one.
    #[must_use]
    pub fn trick_play_of(mut self, name: impl Into<String>) -> Self {
        self.trick_play_of = Some(name.into());
        self
    }

    /// The record so far; `None` before the track has come.
    #[must_use]
    pub fn rendition(&self) -> Option<&Rendition> {
        self.rendition.as_ref()
    }

    /// Takes a [`Track`] or a [`Segment`] of a [`Segmenter`](crate::Segmenter) and gives the object
    /// to store, if there is one.
    ///
    /// # Errors
    /// [`Error::Codec`] for a track that manifests can't name, [`Error::Container`] when its
    /// initialisation segment can't be written, [`Error::Order`] for a segment before its track.
    pub fn push(&mut self, item: Item) -> Result<Option<Object>, Error> {
        match item {
            Item::Track(track) => self.track(&track),
            Item::Segment(segment) => self.segment(segment).map(Some),
            _ => Ok(None),
        }
    }

    fn track(&mut self, track: &Arc<Track>) -> Result<Option<Object>, Error> {
        self.track = Some(Arc::clone(track));
        let init = match self.form {
            Form::Cmaf => {
                let mut written = Track::clone(track);
                if let Some(protection) = written.protection.as_mut().filter(|_| !self.pssh) {
                    protection.pssh.clear();
                }
                mp4::init_segment(&[&written])
            }
            Form::WebM if self.layout == Layout::SingleFile => webm::file_head(track, None),
            Form::WebM => webm::init_segment(track),
            Form::Ts | Form::Text => Ok(Bytes::new()),
        };
        let init = init.map_err(|source| Error::Container { track: track.id, source })?;
        let init_bytes = u64::try_from(init.len()).unwrap_or(u64::MAX);
        // A run that goes on says the same again, and its record keeps the segments that it has.
        if self.rendition.is_none() {
            self.rendition = Some(Rendition {
                name: self.name.clone(),
                info: Info {
                    roles: self.roles.clone(),
                    told_bandwidth: self.bandwidth,
                    ..Info::of(track)?.told_in(self.form)
                },
                layout: self.layout,
                form: self.form,
                named_by_time: self.by_time,
                init_bytes,
                index: None,
                segments: Vec::new(),
                trick_play_of: self.trick_play_of.clone(),
                dash_alone: false,
                epoch: 0,
                began: None,
            });
        }
        let Some(rendition) = self.rendition.as_ref().filter(|_| self.form.has_init()) else {
            return Ok(None);
        };
        let (path, content_type) = (rendition.init_path(), rendition.content_type());
        Ok(Some(match self.layout {
            Layout::SingleFile => {
                let data = vec![init, self.form.filler(self.reserve)];
                Object { path, content_type, data, write: Write::At(0) }
            }
            _ => Object::whole(path, content_type, init),
        }))
    }

    fn segment(&mut self, segment: Segment) -> Result<Object, Error> {
        let Some(rendition) = &mut self.rendition else {
            return Err(Error::Order { track: segment.track, what: "a segment came before the track" });
        };
        let content_type = rendition.content_type();
        let path = rendition.path_of(&SegmentRecord::of(&segment, 0));
        let (write, offset) = match self.layout {
            Layout::SingleFile => {
                let first = rendition.init_bytes.saturating_add(self.reserve);
                let offset = rendition.segments.last().map_or(first, |s| s.offset.saturating_add(s.bytes));
                (Write::At(offset), offset)
            }
            _ => (Write::Whole, 0),
        };
        rendition.record(&segment, offset);
        Ok(Object { path, content_type, data: segment.data, write })
    }

    /// No more segments come: the record, and the index of a single file.
    ///
    /// # Errors
    /// [`Error::Empty`] when no track came.
    pub fn finish(self) -> Result<(Rendition, Option<Object>), Error> {
        let mut rendition = self.rendition.ok_or(Error::Empty)?;
        if self.layout != Layout::SingleFile || !self.form.has_init() {
            return Ok((rendition, None));
        }
        let Some(track) = &self.track else { return Ok((rendition, None)) };
        let needed = u32::try_from(rendition.segments.len()).map_or(u64::MAX, |n| self.form.index_bytes(n));
        let Some(gap) = self.reserve.checked_sub(needed).filter(|gap| *gap == 0 || *gap >= 8) else {
            return Ok((rendition, None));
        };
        let (offset, mut data) = match self.form {
            Form::WebM => (0, whole_webm(track, &rendition)?),
            _ => (rendition.init_bytes, vec![mp4_index(track, &rendition, gap)]),
        };
        if gap > 0 {
            data.push(self.form.filler(gap));
        }
        rendition.index = Some((rendition.init_bytes, needed));
        let (path, content_type) = (rendition.path(0), rendition.content_type());
        Ok((rendition, Some(Object { path, content_type, data, write: Write::At(offset) })))
    }

    /// A rendition of one whole file of text, WebVTT or TTML, and the object to store.
    #[must_use]
    pub fn sidecar(
        name: impl Into<String>,
        info: Info,
        text: String,
        length: std::time::Duration,
    ) -> (Rendition, Object) {
        let name = name.into();
        let base = info.time_base();
        let rendition = Rendition {
            name,
            layout: Layout::Sidecar,
            form: Form::Text,
            named_by_time: false,
            init_bytes: 0,
            index: None,
            segments: vec![SegmentRecord {
                number: 0,
                start: 0,
                duration: Duration::from_std(length, base).ticks(),
                bytes: u64::try_from(text.len()).unwrap_or(u64::MAX),
                key_bytes: 0,
                offset: 0,
                packets: 1,
                kid: None,
            }],
            trick_play_of: None,
            dash_alone: false,
            epoch: 0,
            began: Some(0),
            info,
        };
        let object = Object::whole(rendition.path(0), rendition.content_type(), text);
        (rendition, object)
    }
}

/// The index of a file of fragments.
fn mp4_index(track: &Track, rendition: &Rendition, gap: u64) -> Bytes {
    let reference = |s: &SegmentRecord| mp4::Reference {
        size: u32::try_from(s.bytes).unwrap_or(u32::MAX),
        duration: s.duration,
        key: s.key_bytes > 0 || rendition.info.kind != TrackKind::Video,
    };
    let index = mp4::Index {
        earliest: rendition.segments.first().map_or(0, |s| s.start),
        gap,
        segments: rendition.segments.iter().map(reference).collect(),
    };
    index.build(track)
}

/// The head of a WebM file that is whole, and its index.
fn whole_webm(track: &Track, rendition: &Rendition) -> Result<Vec<Bytes>, Error> {
    let delay = crate::segmenter::delay(track);
    // What an encoder's delay puts before the beginning is at it, in records.
    let time = |start: u64| if start == 0 { 0 } else { start.saturating_add(delay) };
    let cue = |s: &SegmentRecord| webm::Cue { time: time(s.start), offset: s.offset };
    let cues = webm::Cues { cues: rendition.segments.iter().map(cue).collect() };
    let last = rendition.segments.last();
    let extent = webm::Extent {
        duration: Duration::new(last.map_or(0, |s| time(s.start).saturating_add(s.duration))),
        bytes: last.map_or(0, |s| s.offset.saturating_add(s.bytes)),
    };
    let head = webm::file_head(track, Some(extent))
        .map_err(|source| Error::Container { track: track.id, source })?;
    Ok(vec![head, cues.build(track)])
}

/// A box of so many bytes (at least 8) that readers skip: ISO/IEC 14496-12, 8.1.2.
fn free_box(bytes: u64) -> Bytes {
    let size = u32::try_from(bytes).unwrap_or(u32::MAX);
    let mut out = Vec::new();
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(b"free");
    out.resize(usize::try_from(size).unwrap_or(8).max(8), 0);
    Bytes::from(out)
}
