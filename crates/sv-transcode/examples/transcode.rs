//! Decodes an MP4 once and encodes all rungs of its automatic ladder, each on a thread of its own:
//! `cargo run --release --features ffmpeg --example transcode -- IN.mp4 OUT_DIR [fast|balanced|best]`.
//!
//! Each rung becomes a fragmented MP4. A real runner adds progress, cancellation and limits in
//! bytes; this shows how the stages fit.

use std::error::Error;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use sv_container::mp4;
use sv_core::{Codec, FileAt, Item, Limits, Packet, Source as _, Timestamp, Track, TrackId};
use sv_transcode::encode::Effort;
use sv_transcode::{Ladder, Rung, Stage, decode, encode, filter};

type Failure = Box<dyn Error + Send + Sync>;

/// Pictures that may wait for an encoder.
const QUEUE: usize = 2;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, out, effort @ ..] = &arguments[..] else {
        return Err("usage: transcode IN.mp4 OUT_DIR [fast|balanced|best]".into());
    };
    let effort = match effort.first().map(String::as_str) {
        Some("balanced") => Effort::Balanced,
        Some("best") => Effort::Best,
        _ => Effort::Fast,
    };
    let mut demuxer = mp4::Demuxer::open(Arc::new(FileAt::open(input)?), Limits::default())?;
    let track = demuxer.tracks().iter().find(|t| t.video().is_some()).cloned().ok_or("no video in there")?;
    let info = track.video().ok_or("no video in there")?;
    let mut ladder = Ladder::auto(info, track.bitrate, &[Codec::H264]);
    ladder.rungs.iter_mut().for_each(|rung| rung.effort = effort);
    ladder.reasons.iter().for_each(|reason| println!("{reason}"));
    fs::create_dir_all(out)?;

    std::thread::scope(|scope| {
        let mut work = Vec::new();
        let mut doors = Vec::new();
        for (rung, number) in ladder.rungs.iter().zip(1..) {
            let (door, items) = sync_channel(QUEUE);
            doors.push(door);
            let path = PathBuf::from(out).join(format!("{}.mp4", rung.id()));
            work.push(scope.spawn(move || encode(rung, TrackId(number), &items, &path)));
        }
        feed(&mut demuxer, &track, &ladder.rungs, doors)?;
        work.into_iter().try_for_each(|w| w.join().map_err(|_| "an encoder panicked")?)
    })
}

/// Decodes, and scales each rung from the next larger one.
fn feed(
    demuxer: &mut mp4::Demuxer,
    track: &Track,
    rungs: &[Rung],
    doors: Vec<SyncSender<Item>>,
) -> Result<(), Failure> {
    let mut decoder = decode::open(track, &decode::Options::default())?;
    let mut cascade: Vec<(Option<Stage>, SyncSender<Item>)> =
        doors.into_iter().map(|door| (None, door)).collect();
    while let Some(item) = demuxer.next_item()? {
        if item.track() == Some(track.id) {
            decoder.push(item)?;
            while let Some(item) = decoder.pull()? {
                scale(&mut cascade, rungs, item)?;
            }
        }
    }
    Ok(())
}

fn scale(
    cascade: &mut [(Option<Stage>, SyncSender<Item>)],
    rungs: &[Rung],
    item: Item,
) -> Result<(), Failure> {
    let (Some((slot, rest)), Some((rung, smaller))) = (cascade.split_first_mut(), rungs.split_first()) else {
        return Ok(());
    };
    let (filter, door) = slot;
    // A filter needs to know the track, which comes first.
    if let (None, Item::Track(track)) = (&filter, &item) {
        *filter = Some(filter::video(track, &rung.filter())?);
    }
    let Some(filter) = filter else { return Ok(()) };
    filter.push(item)?;
    while let Some(item) = filter.pull()? {
        door.send(item.clone())?;
        scale(rest, smaller, item)?;
    }
    Ok(())
}

fn encode(rung: &Rung, id: TrackId, items: &Receiver<Item>, path: &Path) -> Result<(), Failure> {
    let mut encoder = encode::video(&rung.encode()?, id)?;
    let mut file = File::create(path)?;
    let mut writer: Option<Writer> = None;
    for item in items {
        encoder.push(item)?;
        while let Some(item) = encoder.pull()? {
            match (item, &mut writer) {
                (Item::Track(track), _) => {
                    file.write_all(&mp4::init_segment(&[&track])?)?;
                    writer = Some(Writer { track, first: None, group: Vec::new(), sequence: 0 });
                }
                (Item::Packet(packet), Some(writer)) => {
                    if packet.key {
                        writer.flush(&mut file)?;
                    }
                    writer.group.push(packet);
                }
                (Item::End(_), Some(writer)) => writer.flush(&mut file)?,
                _ => {}
            }
        }
    }
    println!("{}: {} bytes", path.display(), fs::metadata(path)?.len());
    Ok(())
}

/// One fragment for each group of pictures.
struct Writer {
    track: Arc<Track>,
    first: Option<Timestamp>,
    group: Vec<Packet>,
    sequence: u32,
}

impl Writer {
    fn flush(&mut self, file: &mut File) -> Result<(), Failure> {
        let Some(start) = self.group.first().map(|p| p.dts) else { return Ok(()) };
        let first = *self.first.get_or_insert(start);
        let base = Timestamp::new(start.ticks() - first.ticks());
        self.sequence += 1;
        let group = std::mem::take(&mut self.group);
        for part in mp4::fragment(&self.track, self.sequence, base, &group, &mp4::Options::default())? {
            file.write_all(&part)?;
        }
        Ok(())
    }
}
