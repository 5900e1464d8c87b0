//! What is to be seen and heard of those who send: key pictures and a little sound are decoded, away from where media go
//! through.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use sv_core::frame::Plane;
use sv_core::{Frame, Item, Packet, Timestamp, Track};
use sv_ingest::{Content, Hub, Sample};
use sv_transcode::decode;

/// How often it is looked for something new.
const ROUND: Duration = Duration::from_millis(500);
/// For each part of time that it works it rests so many: it never takes more than a tenth of a processor.
const REST: u32 = 9;
/// Samples of a picture that are looked at, each way.
const GRID: usize = 64;
/// Luma up to this is black, of 255 in studio range.
const BLACK: u8 = 32;
/// How many of a thousand samples of a black picture may be brighter: a logo, a clock.
const BRIGHT: usize = 10;
/// Luma that differs by no more than this on average hasn't changed: an encoder's noise.
const STILL: f64 = 0.5;
/// Sound below this isn't heard: 60 dB below full scale.
const SILENT: f32 = 0.001;

/// What was seen of somebody.
#[derive(Default)]
struct Seen {
    at: Option<Timestamp>,
    picture: Vec<u8>,
    heard: Option<Timestamp>,
    content: Content,
}

/// Looks at all streams until the other end of `stop` is gone.
pub(super) fn watch(hub: &Hub, stop: &Receiver<()>) {
    let mut all: HashMap<(String, u64), Seen> = HashMap::new();
    let mut rest = ROUND;
    while stop.recv_timeout(rest) == Err(RecvTimeoutError::Timeout) {
        let begun = Instant::now();
        let mut known = HashMap::new();
        for sample in hub.samples() {
            let key = (sample.stream.clone(), sample.publisher);
            let mut seen = all.remove(&key).unwrap_or_default();
            let before = seen.content;
            seen.look(&sample);
            seen.listen(&sample);
            if seen.content != before {
                hub.observe(&sample.stream, sample.publisher, seen.content);
            }
            known.insert(key, seen);
        }
        all = known;
        rest = ROUND.max(begun.elapsed() * REST);
    }
}

impl Seen {
    fn look(&mut self, sample: &Sample) {
        let Some((track, packet)) = &sample.picture else { return };
        if self.at.replace(packet.pts) == Some(packet.pts) {
            return;
        }
        let Some(picture) = frames(track, std::slice::from_ref(packet)).into_iter().find_map(thin) else {
            return;
        };
        let bright = picture.iter().filter(|luma| **luma > BLACK).count();
        self.content.black = !picture.is_empty() && bright * 1000 <= picture.len() * BRIGHT;
        let apart: u64 = picture.iter().zip(&self.picture).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        let same = picture.len() == self.picture.len() && !picture.is_empty();
        self.content.frozen = same && apart as f64 / picture.len() as f64 <= STILL;
        self.picture = picture;
    }

    fn listen(&mut self, sample: &Sample) {
        let Some(track) = &sample.sound else { return };
        let last = sample.packets.last().map(|p| p.pts);
        if last.is_none() || std::mem::replace(&mut self.heard, last) == last {
            return;
        }
        let frames = frames(track, &sample.packets);
        let mut sounds = frames.iter().filter_map(|frame| match frame {
            Frame::Audio(audio) => Some(audio),
            Frame::Video(_) => None,
        });
        // What a decoder begins with is no sound yet.
        let quiet = |samples: &[f32]| samples.iter().all(|s| s.abs() < SILENT);
        if sounds.clone().count() > 0 {
            self.content.silent = sounds.all(|audio| quiet(&audio.samples));
        }
    }
}

/// What packets show or sound like, as far as they can be decoded.
fn frames(track: &Arc<Track>, packets: &[Packet]) -> Vec<Frame> {
    let mut options = decode::Options::default();
    options.threads = 1;
    let Ok(mut decoder) = decode::open(track, &options) else { return Vec::new() };
    let mut frames = Vec::new();
    let mut pull = |decoder: &mut sv_transcode::Stage| {
        while let Ok(Some(item)) = decoder.pull() {
            if let Item::Frame(_, frame) = item {
                frames.push(frame);
            }
        }
    };
    for packet in packets {
        // One that is damaged says nothing.
        let _ = decoder.push(Item::Packet(packet.clone()));
        pull(&mut decoder);
    }
    let _ = decoder.finish();
    pull(&mut decoder);
    frames
}

/// Some of a picture's luma, of 8 bits.
fn thin(frame: Frame) -> Option<Vec<u8>> {
    let Frame::Video(frame) = frame else { return None };
    let wide = match frame.picture.format() {
        sv_core::PixelFormat::Yuv420p8 => false,
        sv_core::PixelFormat::Yuv420p10 => true,
        _ => return None,
    };
    let Plane { data, stride } = frame.picture.plane(0)?;
    let (width, height) = (frame.width as usize, frame.height as usize);
    let luma = |x: usize, y: usize| {
        let at = y * stride;
        if wide {
            let bytes = data.get(at + 2 * x..at + 2 * x + 2)?;
            u8::try_from(u16::from_le_bytes([bytes[0], bytes[1]]) >> 2).ok()
        } else {
            data.get(at + x).copied()
        }
    };
    let grid = (0..GRID * GRID).map(|n| luma(n % GRID * width / GRID, n / GRID * height / GRID));
    grid.collect()
}
