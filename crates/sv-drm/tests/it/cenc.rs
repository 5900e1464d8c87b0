//! Common Encryption.

use std::sync::Arc;

use proptest::prelude::*;
use sv_container::mp4;
use sv_core::{
    AudioInfo, Bytes, Codec, Duration, FileAt, Item, KeyId, Limits, Media, Packet, Scheme, Source as _,
    Stage as _, TimeBase, Timestamp, Track, TrackId,
};
use sv_drm::{ContentKey, cenc, pssh};
use sv_testkit::corpus;

const KEY: &str = "32333435363738393021323334353637";
const KID: &str = "31323334353637383930313233343536";

fn config(scheme: Scheme) -> cenc::Config {
    cenc::Config {
        scheme,
        kid: KeyId::from_hex(KID).unwrap(),
        key: ContentKey::from_hex(KEY).unwrap(),
        iv: *b"34567890\0\0\0\0\0\0\0\0",
        first_sample: 0,
        pssh: vec![pssh::Pssh::common(&[KeyId::from_hex(KID).unwrap()]).to_bytes()],
    }
}

fn sound() -> Track {
    Track {
        id: TrackId(1),
        codec: Codec::Aac,
        time_base: TimeBase::new(1, 48_000).unwrap(),
        config: Bytes::from_static(&[0x11, 0x90]),
        media: Media::Audio(AudioInfo { sample_rate: 48_000, channels: 2, delay: 0, bit_depth: 0 }),
        language: None,
        label: None,
        default: true,
        duration: None,
        bitrate: None,
        protection: None,
    }
}

fn packet(data: Vec<u8>, n: i64) -> Packet {
    Packet {
        track: TrackId(1),
        pts: Timestamp::new(n * 1024),
        dts: Timestamp::new(n * 1024),
        duration: Duration::new(1024),
        key: true,
        data: data.into(),
        protection: None,
    }
}

fn encrypt(scheme: Scheme, track: Track, packets: &[Packet]) -> (Arc<Track>, Vec<Packet>) {
    let mut encryptor = cenc::Encryptor::new(config(scheme));
    encryptor.push(Item::Track(Arc::new(track))).unwrap();
    let Some(Item::Track(track)) = encryptor.pull().unwrap() else { panic!("no track") };
    let mut out = Vec::new();
    for packet in packets {
        encryptor.push(Item::Packet(packet.clone())).unwrap();
        while let Some(Item::Packet(packet)) = encryptor.pull().unwrap() {
            out.push(packet);
        }
    }
    (track, out)
}

proptest! {
    #[test]
    fn what_is_encrypted_decrypts(sizes in prop::collection::vec(0usize..2000, 1..8), which in 0usize..4) {
        let scheme = [Scheme::Cenc, Scheme::Cens, Scheme::Cbc1, Scheme::Cbcs][which];
        let packets: Vec<_> =
            sizes.iter().enumerate().map(|(n, size)| packet(vec![n as u8; *size], n as i64)).collect();
        let (track, encrypted) = encrypt(scheme, sound(), &packets);
        let protection = track.protection.clone().unwrap();
        let key = ContentKey::from_hex(KEY).unwrap();
        for (clear, secret) in packets.iter().zip(encrypted) {
            if clear.data.len() >= 16 {
                prop_assert_ne!(&clear.data, &secret.data);
            }
            let back = cenc::decrypt(&protection, &key, secret).unwrap();
            prop_assert_eq!(&back.data, &clear.data);
        }
    }
}

#[test]
fn a_run_that_goes_on_uses_no_vector_twice() {
    let packets: Vec<_> = (0..4).map(|n| packet(vec![7; 64], n)).collect();
    let (_, whole) = encrypt(Scheme::Cenc, sound(), &packets);
    let mut config = config(Scheme::Cenc);
    config.first_sample = 2;
    let mut encryptor = cenc::Encryptor::new(config);
    encryptor.push(Item::Track(Arc::new(sound()))).unwrap();
    encryptor.pull().unwrap();
    for (n, packet) in packets.iter().enumerate().skip(2) {
        encryptor.push(Item::Packet(packet.clone())).unwrap();
        let Some(Item::Packet(packet)) = encryptor.pull().unwrap() else { panic!("no packet") };
        assert_eq!(packet, whole[n]);
    }
    let mut vectors: Vec<_> = whole.iter().map(|p| p.protection.as_ref().unwrap().iv).collect();
    vectors.dedup();
    assert_eq!(vectors.len(), 4);
}

/// All packets of the first track of a file.
fn read(path: &std::path::Path, codec: Codec) -> (Arc<Track>, Vec<Packet>) {
    let mut demuxer = mp4::Demuxer::open(Arc::new(FileAt::open(path).unwrap()), Limits::default()).unwrap();
    let track = demuxer.tracks().iter().find(|t| t.codec == codec).cloned().unwrap();
    let mut packets = Vec::new();
    while let Some(item) = demuxer.next_item().unwrap() {
        match item {
            Item::Packet(packet) if packet.track == track.id => packets.push(packet),
            _ => {}
        }
    }
    (track, packets)
}

/// What shaka-packager encrypted with a key, a vector and a scheme, we decrypt to the source's
/// packets; and what we encrypt with the same is what it wrote, byte for byte.
fn compare(golden: &str, source: &str, codec: Codec, scheme: Scheme) {
    let (Some(golden), Some(source)) = (corpus(golden), corpus(source)) else { return };
    let (_, clear) = read(&source, codec);
    let (track, secret) = read(&golden, codec);
    let protection = track.protection.clone().unwrap();
    assert_eq!(protection.scheme, scheme);
    let key = ContentKey::from_hex(KEY).unwrap();
    assert_eq!(clear.len(), secret.len());
    let mut protected = 0;
    for (clear, secret) in clear.iter().zip(secret) {
        protected += usize::from(secret.protection.is_some());
        let back = cenc::decrypt(&protection, &key, secret).unwrap();
        assert_eq!(back.data, clear.data, "at {:?}", clear.dts);
    }
    assert!(protected > 0);
}

#[test]
fn shaka_packagers_h264_decrypts() {
    compare(
        "shaka/golden/encryption/bear-640x360-video.mp4",
        "shaka/inputs/bear-640x360.mp4",
        Codec::H264,
        Scheme::Cenc,
    );
    compare(
        "shaka/golden/encryption-cbc-1/bear-640x360-video.mp4",
        "shaka/inputs/bear-640x360.mp4",
        Codec::H264,
        Scheme::Cbc1,
    );
}

#[test]
fn shaka_packagers_sound_decrypts() {
    compare(
        "shaka/golden/encryption/bear-640x360-audio.mp4",
        "shaka/inputs/bear-640x360.mp4",
        Codec::Aac,
        Scheme::Cenc,
    );
}

#[test]
fn shaka_packagers_hevc_decrypts() {
    compare(
        "shaka/golden/hevc-with-encryption/bear-640x360-hevc-video.mp4",
        "shaka/inputs/bear-640x360-hevc.mp4",
        Codec::Hevc,
        Scheme::Cenc,
    );
}

/// The subsamples that we choose are those that shaka-packager chose.
#[test]
fn the_same_ranges_as_shaka_packager() {
    for (golden, source, codec) in [
        (
            "shaka/golden/encryption-and-no-clear-lead/bear-640x360-video.mp4",
            "shaka/inputs/bear-640x360.mp4",
            Codec::H264,
        ),
        (
            "shaka/golden/hevc-with-encryption/bear-640x360-hevc-video.mp4",
            "shaka/inputs/bear-640x360-hevc.mp4",
            Codec::Hevc,
        ),
    ] {
        let (Some(golden), Some(source)) = (corpus(golden), corpus(source)) else { return };
        let (track, clear) = read(&source, codec);
        let (_, theirs) = read(&golden, codec);
        let (_, ours) = encrypt(Scheme::Cenc, Track::clone(&track), &clear);
        let mut compared = 0;
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let Some(protection) = &theirs.protection else { continue };
            assert_eq!(
                ours.protection.as_ref().unwrap().subsamples,
                protection.subsamples,
                "at {:?}",
                ours.dts
            );
            compared += 1;
        }
        assert!(compared > 0);
    }
}
