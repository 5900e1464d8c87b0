//! Names the segments of one rendition and keeps the record that manifests are written from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sv_container::mp4;
use sv_core::{Bytes, Item, Object, Segment, Track, TrackKind, Write};

use crate::{Error, Info, Rendition, Role};

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
    /// Files of text as text is written where there is no container: WebVTT or TTML.
    Text,
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
    /// Bytes kept free for the index of a single file.
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
            reserve: index_bytes(segments),
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

    /// Leaves the key systems' `pssh` boxes to the manifests.
    #[must_use]
    pub fn no_pssh(mut self) -> Self {
        self.pssh = false;
        self
    }

    /// For segments of another form than [`Form::Cmaf`]. What is no MP4 has neither initialisation nor
    /// index.
    #[must_use]
    pub fn form(mut self, form: Form) -> Self {
        self.form = form;
        if form != Form::Cmaf {
            self.reserve = 0;
        }
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
            reserve: if rendition.form == Form::Cmaf { index_bytes(segments) } else { 0 },
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
                    .map_err(|source| Error::Container { track: track.id, source })?
            }
            Form::Ts | Form::Text => Bytes::new(),
        };
        let init_bytes = u64::try_from(init.len()).unwrap_or(u64::MAX);
        // A run that goes on says the same again, and its record keeps the segments that it has.
        if self.rendition.is_none() {
            self.rendition = Some(Rendition {
                name: self.name.clone(),
                info: Info { roles: self.roles.clone(), ..Info::of(track)? },
                layout: self.layout,
                form: self.form,
                init_bytes,
                index: None,
                segments: Vec::new(),
                trick_play_of: self.trick_play_of.clone(),
                epoch: 0,
                began: None,
            });
        }
        Ok(match self.layout {
            _ if self.form != Form::Cmaf => None,
            Layout::SingleFile => {
                let free = free_box(self.reserve);
                Some(Object {
                    path: format!("{}.mp4", self.name),
                    content_type: content_type(track.kind()),
                    data: vec![init, free],
                    write: Write::At(0),
                })
            }
            _ => Some(Object::whole(format!("{}/init.mp4", self.name), content_type(track.kind()), init)),
        })
    }

    fn segment(&mut self, segment: Segment) -> Result<Object, Error> {
        let Some(rendition) = &mut self.rendition else {
            return Err(Error::Order { track: segment.track, what: "a segment came before the track" });
        };
        let content_type = match self.form {
            Form::Cmaf => content_type(rendition.info.kind),
            Form::Ts | Form::Text => rendition.packed_type(),
        };
        let path = rendition.path(segment.number);
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
        if self.layout != Layout::SingleFile || self.form != Form::Cmaf {
            return Ok((rendition, None));
        }
        let Some(track) = &self.track else { return Ok((rendition, None)) };
        let needed = u32::try_from(rendition.segments.len()).map_or(u64::MAX, index_bytes);
        let Some(gap) = self.reserve.checked_sub(needed).filter(|gap| *gap == 0 || *gap >= 8) else {
            return Ok((rendition, None));
        };
        let index = mp4::Index {
            earliest: rendition.segments.first().map_or(0, |s| s.start),
            gap,
            segments: rendition
                .segments
                .iter()
                .map(|s| mp4::Reference {
                    size: u32::try_from(s.bytes).unwrap_or(u32::MAX),
                    duration: s.duration,
                    key: s.key_bytes > 0 || rendition.info.kind != TrackKind::Video,
                })
                .collect(),
        };
        let mut data = vec![index.build(track)];
        if gap > 0 {
            data.push(free_box(gap));
        }
        let offset = rendition.init_bytes;
        rendition.index = Some((offset, needed));
        let object = Object {
            path: format!("{}.mp4", rendition.name),
            content_type: content_type(rendition.info.kind),
            data,
            write: Write::At(offset),
        };
        Ok((rendition, Some(object)))
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
            init_bytes: 0,
            index: None,
            segments: vec![crate::SegmentRecord {
                number: 0,
                start: 0,
                duration: sv_core::Duration::from_std(length, base).ticks(),
                bytes: u64::try_from(text.len()).unwrap_or(u64::MAX),
                key_bytes: 0,
                offset: 0,
                packets: 1,
                kid: None,
            }],
            trick_play_of: None,
            epoch: 0,
            began: Some(0),
            info,
        };
        let object = Object::whole(rendition.path(0), rendition.packed_type(), text);
        (rendition, object)
    }
}

/// Bytes of an index of so many segments.
fn index_bytes(segments: u32) -> u64 {
    let segments = usize::try_from(segments).unwrap_or(usize::MAX);
    u64::try_from(mp4::Index::size(segments)).unwrap_or(u64::MAX)
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

pub(crate) fn content_type(kind: TrackKind) -> &'static str {
    match kind {
        TrackKind::Audio => "audio/mp4",
        TrackKind::Video => "video/mp4",
        TrackKind::Text => "application/mp4",
    }
}
