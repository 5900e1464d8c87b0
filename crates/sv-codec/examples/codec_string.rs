//! What a decoder configuration is called in manifests and MIME types (RFC 6381).

use sv_codec::{describe, rfc6381};
use sv_core::{Bytes, Codec, TimeBase, Track, TrackId};

fn main() {
    // The AudioSpecificConfig of AAC-LC, 48 kHz, stereo.
    let config = Bytes::from_static(&[0x11, 0x90]);
    let Some(media) = describe(Codec::Aac, &config, None) else { return };
    println!("{media:?}");
    let track = Track {
        id: TrackId(1),
        codec: Codec::Aac,
        time_base: TimeBase::MILLIS,
        config,
        media,
        language: None,
        label: None,
        default: true,
        duration: None,
        bitrate: None,
        protection: None,
    };
    println!("audio/mp4; codecs={:?}", rfc6381::string(&track).unwrap_or_default());
}
