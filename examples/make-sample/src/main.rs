//! Writes the sample video that `make run` publishes first: `make-sample OUT.mp4 [SECONDS]`.
//!
//! A moving pattern of 1280x720 at 25 frames a second with its timecode and frame number burnt in,
//! and a tone of its own in each of the two channels.

use std::error::Error;
use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::sync::Arc;

use streamverse::container::mp4::progressive::{Options, Writer};
use streamverse::core::{Codec, Frame, Item, Ratio, Track, TrackId, object::Write};
use streamverse::transcode::{Stage, encode};
use sv_testkit::audio::{tones, track as tone_track};
use sv_testkit::video::Pattern;

const FRAMES_A_SECOND: u32 = 25;
const SAMPLE_RATE: u32 = 48_000;
const SAMPLES_A_FRAME: u32 = SAMPLE_RATE / FRAMES_A_SECOND;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: make-sample OUT.mp4 [SECONDS]";
    let out = arguments.next().ok_or(usage)?;
    let seconds: u32 = arguments.next().map_or(Ok(20), |s| s.parse()).map_err(|_| usage)?;

    let rate = Ratio::new(FRAMES_A_SECOND, 1).ok_or("no rate")?;
    let pattern = Pattern::new(1280, 720, rate);
    let (picture, sound) = (pattern.track(1), tone_track(2, SAMPLE_RATE, 2));
    // AAC plays everywhere, but not every backend can make it.
    let codec = if encode::is_supported(Codec::Aac) { Codec::Aac } else { Codec::Opus };
    let mut video = encode::Video::new(Codec::H264);
    video.rate = encode::Rate::Quality { crf: 20.0, cap: None };
    let mut file = Output::create(&out)?;
    let mut lanes = [
        Lane::new(encode::video(&video, TrackId(1))?, &picture),
        Lane::new(encode::audio(&encode::Audio::new(codec, 128_000), TrackId(2))?, &sound),
    ];
    for lane in &mut lanes {
        lane.push(Item::Track(Arc::clone(&lane.track)), &mut file)?;
    }
    for n in 0..seconds * FRAMES_A_SECOND {
        let tones = tones(SAMPLE_RATE, 2, u64::from(n * SAMPLES_A_FRAME), SAMPLES_A_FRAME as usize);
        let frames = [Frame::Video(pattern.frame(n)), Frame::Audio(tones)];
        for (lane, frame) in lanes.iter_mut().zip(frames) {
            lane.push(Item::Frame(lane.track.id, frame), &mut file)?;
        }
    }
    for lane in &mut lanes {
        lane.stage.finish()?;
        lane.drain(&mut file)?;
    }
    file.finish()
}

/// One track on its way to the file.
struct Lane {
    stage: Stage,
    track: Arc<Track>,
}

impl Lane {
    fn new(stage: Stage, track: &Track) -> Self {
        Self { stage, track: Arc::new(track.clone()) }
    }

    fn push(&mut self, item: Item, file: &mut Output) -> Result<(), Box<dyn Error>> {
        self.stage.push(item)?;
        self.drain(file)
    }

    fn drain(&mut self, file: &mut Output) -> Result<(), Box<dyn Error>> {
        while let Some(item) = self.stage.pull()? {
            file.take(item)?;
        }
        Ok(())
    }
}

/// The file. Packets wait until both tracks are known, because an MP4 begins with its tracks.
struct Output {
    file: File,
    writer: Writer,
    tracks: usize,
    waiting: Vec<Item>,
}

impl Output {
    fn create(path: &str) -> Result<Self, Box<dyn Error>> {
        // Enough for the index of an hour, so that it comes first in the file.
        let options = Options { reserve: 64 << 10 };
        let file = File::create(path).map_err(|error| format!("can't write {path}: {error}"))?;
        Ok(Self { file, writer: Writer::new("sample.mp4", options), tracks: 0, waiting: Vec::new() })
    }

    fn take(&mut self, item: Item) -> Result<(), Box<dyn Error>> {
        match item {
            Item::Track(_) => {
                self.tracks += 1;
                self.writer.push(item)?;
            }
            _ => self.waiting.push(item),
        }
        if self.tracks == 2 {
            for item in self.waiting.drain(..) {
                self.writer.push(item)?;
            }
            self.store()?;
        }
        Ok(())
    }

    fn store(&mut self) -> Result<(), Box<dyn Error>> {
        while let Some(object) = self.writer.pull() {
            if let Write::At(offset) = object.write {
                self.file.seek(SeekFrom::Start(offset))?;
            }
            for part in &object.data {
                self.file.write_all(part)?;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), Box<dyn Error>> {
        self.writer.finish()?;
        self.store()?;
        Ok(())
    }
}
