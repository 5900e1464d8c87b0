//! Text that goes with the segments of a rendition: what its pictures carry as captions, and the text tracks of its source.
//!
//! Pictures lead. Each of their segments has a segment of text, of the same length and also where nothing is said, and it is
//! stored before them: whoever hears of the pictures finds the text, and a run that is killed in between has text that is
//! ahead, which the next run leaves as it is.

use std::sync::Arc;

use sv_codec::rfc6381;
use sv_container::webvtt;
use sv_core::{Codec, Item, Media, Packet, Stage as _, TimeBase, Timestamp, Track, TrackId};
use sv_package::{Form, TextSegmenter};

use super::lane::Outlet;
use crate::Result;
use crate::captions::Listener;

/// Most cues of a channel in one segment: broadcasts have a few.
const MOST_CUES: usize = 256;

/// Where text comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spring {
    /// A channel of CEA-608 in the pictures, from 1.
    Channel(u8),
    /// A track of the source.
    Track(TrackId),
}

/// One text in one form.
pub(crate) struct Written {
    pub(crate) outlet: Outlet,
    pub(crate) segmenter: TextSegmenter,
    /// Segments that end before this, in milliseconds, were stored by an earlier run.
    pub(crate) reached: Timestamp,
}

/// One text, in each form in which it is stored.
pub(crate) struct Line {
    pub(crate) spring: Spring,
    /// As it is told to the world.
    pub(crate) track: Arc<Track>,
    pub(crate) forms: Vec<Written>,
}

/// All text that goes with one rendition.
#[derive(Default)]
pub(crate) struct Words {
    pub(crate) lines: Vec<Line>,
    /// The pictures have begun, and so the text is told of.
    pub(crate) begun: bool,
}

/// The segmenter of a text in a form, which goes on with segment `number`. It knows the track already: text may come
/// before the pictures that it goes with.
pub(crate) fn segmenter(track: &Arc<Track>, form: Form, codec: Codec, number: u64) -> Result<TextSegmenter> {
    // Pictures say how long segments are.
    let mut segmenter = TextSegmenter::new(std::time::Duration::ZERO, form).codec(codec).led(number);
    segmenter.push(Item::Track(Arc::clone(track)))?;
    Ok(segmenter)
}

/// Whether a track's text can be shown live.
pub(crate) fn may_show(track: &Track) -> bool {
    matches!(track.codec, Codec::WebVtt | Codec::Ttml) && rfc6381::string(track).is_some()
}

impl Words {
    /// Whether text comes from tracks of the source, besides pictures.
    pub(crate) fn has_tracks(&self) -> bool {
        self.lines.iter().any(|line| matches!(line.spring, Spring::Track(_)))
    }

    /// Whether text comes from captions.
    pub(crate) fn has_channels(&self) -> bool {
        self.lines.iter().any(|line| matches!(line.spring, Spring::Channel(_)))
    }

    /// The rendition's track begins, or is described anew.
    pub(crate) fn begin(&mut self) -> Result<()> {
        let again = std::mem::replace(&mut self.begun, true);
        for line in &mut self.lines {
            for form in &mut line.forms {
                if again {
                    form.segmenter.push(Item::Track(Arc::clone(&line.track)))?;
                }
                form.drain()?;
            }
        }
        Ok(())
    }

    /// Takes a packet of a text track.
    pub(crate) fn packet(&mut self, packet: &Packet) -> Result<()> {
        let of = |line: &&mut Line| line.spring == Spring::Track(packet.track);
        for line in self.lines.iter_mut().filter(of) {
            for form in &mut line.forms {
                form.segmenter.push(Item::Packet(packet.clone()))?;
            }
        }
        Ok(())
    }

    /// Stores the text of a segment that lasts so long, in milliseconds.
    pub(crate) fn segment(
        &mut self,
        listener: Option<&mut Listener>,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<()> {
        if let Some(listener) = listener {
            // What was said before is of no segment, or of one that is stored.
            if listener.until(from) {
                (1..=4).for_each(|channel| drop(listener.take(channel)));
            }
            listener.until(to);
            for line in &mut self.lines {
                let Spring::Channel(channel) = line.spring else { continue };
                for cue in listener.take(channel).iter().take(MOST_CUES) {
                    line.say(cue)?;
                }
            }
        }
        for form in self.lines.iter_mut().flat_map(|line| &mut line.forms).filter(|form| form.reached < to) {
            form.segmenter.segment(from, to)?;
            form.drain()?;
        }
        Ok(())
    }

    /// No more comes.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.lines.iter().flat_map(|line| &line.forms).try_for_each(|form| form.outlet.end())
    }
}

impl Line {
    fn say(&mut self, cue: &webvtt::Cue) -> Result<()> {
        let packet = Packet {
            track: self.track.id,
            pts: cue.start,
            dts: cue.start,
            duration: cue.end.since(cue.start).unwrap_or_default(),
            key: true,
            data: webvtt::sample::payload(cue),
            protection: None,
        };
        self.forms.iter_mut().try_for_each(|form| Ok(form.segmenter.push(Item::Packet(packet.clone()))?))
    }

    /// A line of text, with what `told` says of it.
    pub(crate) fn of(spring: Spring, told: &Track, captions: bool, forced: bool) -> Self {
        let mut track = told.clone();
        if let Media::Text(info) = &mut track.media {
            info.captions |= captions;
            info.forced |= forced;
        }
        Self { spring, track: Arc::new(track), forms: Vec::new() }
    }
}

impl Written {
    fn drain(&mut self) -> Result<()> {
        while let Some(item) = self.segmenter.pull()? {
            match item {
                Item::Track(track) => self.outlet.track(track)?,
                Item::Segment(segment) => self.outlet.segment(segment)?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// A moment of a track in milliseconds.
pub(crate) fn millis(at: Timestamp, base: TimeBase) -> Timestamp {
    at.rescale(base, TimeBase::MILLIS)
}
