//! Prints the tracks and packets of an MP4 file or a transport stream: `packets FILE`.

use std::sync::Arc;

use sv_container::{Kind, detect, mp4, ts};
use sv_core::{FileAt, Item, Limits, ReadAt, Source};

fn print<S: Source>(mut source: S) -> Result<(), Box<dyn std::error::Error>> {
    while let Some(item) = source.next_item()? {
        match item {
            Item::Track(track) => {
                println!("track {}: {} {:?}", track.id.0, track.codec, track.media);
                println!("  codecs={:?} {:?}", sv_codec::rfc6381::string(&track), track.language);
            }
            Item::Packet(packet) => println!("{packet:?}"),
            other => println!("{other:?}"),
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: packets FILE")?;
    let file = Arc::new(FileAt::open(path)?);
    let mut head = vec![0; 4096];
    let read = file.read_at(0, &mut head)?;
    match detect(&head[..read]) {
        Some(Kind::Mp4) => print(mp4::Demuxer::open(file, Limits::default())?),
        _ => print(ts::Demuxer::open(file, Limits::default())?),
    }
}
