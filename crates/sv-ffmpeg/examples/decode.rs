//! Decodes the first pictures of any file that the linked FFmpeg reads.

use std::sync::Arc;

use sv_core::{FileAt, Item, Limits, Source as _, TrackKind};
use sv_ffmpeg::{Decoder, Demuxer, decode};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: decode FILE")?;
    let mut demuxer = Demuxer::open(Arc::new(FileAt::open(&path)?), &path, Limits::default())?;
    let track =
        demuxer.tracks().iter().find(|t| t.kind() == TrackKind::Video).cloned().ok_or("no pictures")?;
    let mut decoder = Decoder::open(&track, None, decode::Settings::default())?;
    let mut shown = 0;
    while let Some(item) = demuxer.next_item()? {
        if let Item::Packet(packet) = item
            && packet.track == track.id
        {
            decoder.push(&packet)?;
            while let Some(frame) = decoder.video()? {
                println!("{frame:?}");
                shown += 1;
            }
        }
        if shown >= 10 {
            break;
        }
    }
    Ok(())
}
