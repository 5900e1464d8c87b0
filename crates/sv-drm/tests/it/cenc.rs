//! Common Encryption.

use std::sync::Arc;

use proptest::prelude::*;
use sv_container::mp4;
use sv_core::{
    AudioInfo, Bytes, Codec, Duration, FileAt, Item, KeyId, Limits, Media, Packet, Scheme, Source as _,
    Stage as _, Subsample, TimeBase, Timestamp, Track, TrackId,
};
use sv_drm::{ContentKey, cenc, pssh};
use sv_testkit::corpus;

const KEY: &str = "32333435363738393021323334353637";
const CONSTANT: &str = "30313233343536373839616263646566";
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

proptest! {
    /// However many packets are encrypted side by side: the bytes are those of one after the other, and what shaka-packager
    /// and FFmpeg make of those, other tests say.
    #[test]
    fn side_by_side_is_one_by_one(
        sizes in prop::collection::vec(0usize..900, 1..40), together in 2usize..20, which in 0usize..4, pattern: bool,
    ) {
        let scheme = [Scheme::Cenc, Scheme::Cens, Scheme::Cbc1, Scheme::Cbcs][which];
        let mut track = sound();
        if pattern {
            // Pictures have ranges, and a pattern in them.
            track.codec = Codec::Vp9;
            track.media = Media::Video(sv_core::VideoInfo::new(64, 64));
        }
        // A VP9 frame that is shown again has a header alone; here it is followed by what no decoder reads.
        let data = |n: usize, size: usize| {
            let mut data: Vec<u8> = (0..size).map(|at| (at * 7 + n) as u8).collect();
            data.insert(0, 0x88);
            data
        };
        let packets: Vec<_> = sizes.iter().enumerate().map(|(n, size)| packet(data(n, *size), n as i64)).collect();
        let (_, alone) = encrypt(scheme, track.clone(), &packets);
        let mut encryptor = cenc::Encryptor::new(config(scheme)).together(together);
        encryptor.push(Item::Track(Arc::new(track))).unwrap();
        packets.into_iter().for_each(|packet| encryptor.push(Item::Packet(packet)).unwrap());
        encryptor.finish().unwrap();
        let mut out = Vec::new();
        while let Some(item) = encryptor.pull().unwrap() {
            if let Item::Packet(packet) = item {
                out.push(packet);
            }
        }
        prop_assert_eq!(out, alone);
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

/// Sample by sample, what shaka-packager makes now of every codec and scheme: the same pattern, ranges and
/// bytes as ours. (Where ranges are of whole blocks, 3.5 to 3.8 leave what is over clear at their end, which
/// is against AV1's binding and was taken back since: its issue 1599. There the lengths are compared.)
#[test]
fn the_same_bytes_as_shaka_packager_makes_now() {
    let Some(packager) = sv_testkit::tool("packager-linux-x64") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut sources: Vec<_> = [
        ("bear-640x360.mp4", Codec::H264),
        ("bear-640x360-hevc.mp4", Codec::Hevc),
        ("bear-av1.mp4", Codec::Av1),
        ("bear-640x360-vp9.mp4", Codec::Vp9),
    ]
    .into_iter()
    .filter_map(|(name, codec)| Some((corpus(&format!("shaka/inputs/{name}"))?, codec)))
    .collect();
    // Tiles, grain, ten bits, lossless pictures, palettes, hidden frames: what headers can be.
    for (n, (codec, arguments)) in [
        (Codec::Av1, "-c:v libsvtav1 -preset 8 -pix_fmt yuv420p10le -svtav1-params film-grain=8:tile-columns=1:tile-rows=1"),
        (Codec::Av1, "-c:v libsvtav1 -preset 11 -svtav1-params scm=1:enable-overlays=1"),
        (Codec::Av1, "-c:v libaom-av1 -cpu-used 8 -crf 40 -b:v 0 -tiles 2x2 -denoise-noise-level 20"),
        (Codec::Av1, "-c:v libaom-av1 -cpu-used 8 -aom-params lossless=1 -pix_fmt gray"),
        (Codec::Av1, "-c:v libaom-av1 -cpu-used 8 -usage realtime -aom-params tune-content=screen:enable-palette=1:aq-mode=1:deltaq-mode=1"),
        (Codec::Av1, "-c:v libaom-av1 -cpu-used 7 -b:v 60k -tiles 2x1 -error-resilience default -g 9 -aom-params enable-global-motion=1:reduced-reference-set=1"),
        (Codec::Vp9, "-c:v libvpx-vp9 -deadline good -cpu-used 5 -b:v 300k -tile-columns 2 -aq-mode 2"),
        (Codec::Vp9, "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -profile:v 1 -pix_fmt yuv444p -lossless 1"),
    ]
    .into_iter()
    .enumerate()
    {
        let Some(ffmpeg) = sv_testkit::tool("ffmpeg") else { break };
        let path = dir.path().join(format!("{n}.mp4"));
        let made = std::process::Command::new(ffmpeg)
            .args("-v error -f lavfi -i testsrc2=s=642x362:r=25:d=1.2".split(' '))
            .args(arguments.split(' '))
            .arg(&path)
            .status()
            .unwrap();
        match made.success() {
            true => sources.push((path, codec)),
            false => println!("skipped: this FFmpeg has no {arguments}"),
        }
    }
    for (source, codec) in sources {
        let name = source.file_name().unwrap().to_str().unwrap().to_owned();
        for (scheme, word) in [(Scheme::Cenc, "cenc"), (Scheme::Cbcs, "cbcs")] {
            let made = dir.path().join(format!("{word}-{name}"));
            let done = std::process::Command::new(&packager)
                .arg(format!("in={},stream=video,output={}", source.display(), made.display()))
                .args(["--enable_raw_key_encryption", "--clear_lead", "0", "--protection_scheme", word])
                .args(["--iv", if scheme == Scheme::Cbcs { CONSTANT } else { "3334353637383930" }])
                .args(["--keys", &format!("key_id={KID}:key={KEY}")])
                .output()
                .unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            let (track, clear) = read(&source, codec);
            let (told, theirs) = read(&made, codec);
            let mut config = config(scheme);
            config.iv = match scheme {
                Scheme::Cbcs => *b"0123456789abcdef",
                _ => *b"34567890\0\0\0\0\0\0\0\0",
            };
            let mut encryptor = cenc::Encryptor::new(config);
            let ours = encryptor.protect(&track).unwrap().protection.unwrap();
            let told = told.protection.clone().unwrap();
            assert_eq!((ours.scheme, ours.pattern), (told.scheme, told.pattern), "{word} {codec}");
            encryptor.push(Item::Track(track)).unwrap();
            encryptor.pull().unwrap();
            assert_eq!(clear.len(), theirs.len());
            let mut same = 0;
            for (clear, theirs) in clear.into_iter().zip(theirs) {
                encryptor.push(Item::Packet(clear)).unwrap();
                let Some(Item::Packet(ours)) = encryptor.pull().unwrap() else { panic!("no packet") };
                let (ours_at, theirs_at) = (ours.protection.unwrap(), theirs.protection.unwrap());
                let lengths = |all: &[Subsample]| -> Vec<u32> {
                    all.iter().map(|s| s.protected).filter(|n| *n >= 16).collect()
                };
                let what = format!("{word} {name} at {:?}", ours.dts);
                assert_eq!(lengths(&ours_at.subsamples), lengths(&theirs_at.subsamples), "{what}");
                // It also names tiles that are shorter than a block, and so stay clear.
                let short = theirs_at.subsamples.iter().any(|s| (1..16).contains(&s.protected));
                if scheme == Scheme::Cbcs && codec != Codec::Vp9 && !short {
                    assert_eq!(ours_at.subsamples, theirs_at.subsamples, "{what}");
                }
                if ours_at.subsamples == theirs_at.subsamples {
                    assert_eq!(ours.data, theirs.data, "{what}");
                    same += 1;
                }
            }
            assert!(same > 0 || codec == Codec::Vp9, "{word} {name}");
        }
    }
}
