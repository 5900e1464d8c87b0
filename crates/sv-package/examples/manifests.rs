//! Cuts packets into segments and writes the manifests that name them: all in memory, no I/O.

use std::sync::Arc;
use std::time::Duration as Length;

use sv_core::{
    AudioInfo, Bytes, Codec, Duration, Item, Media, Packet, Stage as _, TimeBase, Timestamp, Track, TrackId,
};
use sv_package::{Layout, Packager, Segmenter, dash, hls};

fn main() -> Result<(), sv_package::Error> {
    let track = Arc::new(Track {
        id: TrackId(1),
        codec: Codec::Aac,
        time_base: TimeBase::new(1, 48_000).unwrap_or(TimeBase::MILLIS),
        config: Bytes::from_static(&[0x11, 0x90]),
        media: Media::Audio(AudioInfo { sample_rate: 48_000, channels: 2, delay: 0, bit_depth: 0 }),
        language: Some("en".into()),
        label: None,
        default: true,
        duration: None,
        bitrate: None,
        protection: None,
    });
    let mut segmenter = Segmenter::new(Length::from_secs(4));
    let mut packager = Packager::new("sound", Layout::Files, 16);

    segmenter.push(Item::Track(track))?;
    for n in 0..470 {
        let at = Timestamp::new(n * 1024);
        segmenter.push(Item::Packet(Packet {
            track: TrackId(1),
            pts: at,
            dts: at,
            duration: Duration::new(1024),
            key: true,
            data: Bytes::from_static(&[0; 300]),
            protection: None,
        }))?;
    }
    segmenter.finish()?;
    while let Some(item) = segmenter.pull()? {
        if let Some(object) = packager.push(item)? {
            println!("store {} ({} pieces)", object.path, object.data.len());
        }
    }
    let (rendition, _) = packager.finish()?;
    let renditions = [rendition];
    for playlist in hls::playlists(&renditions, &hls::Options::default())? {
        println!("\n--- {}\n{}", playlist.path, String::from_utf8_lossy(&playlist.data.concat()));
    }
    println!("--- manifest.mpd\n{}", dash::manifest(&renditions, &dash::Options::default())?);
    Ok(())
}
