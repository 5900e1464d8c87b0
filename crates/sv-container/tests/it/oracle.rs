//! What must hold for any bytes at all. The fuzz targets run these, and so do the tests over
//! truncated, flipped and once-fatal files.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use sv_codec::{aac, ac3, av1, captions, flac, h264, hevc, mpa, nal, opus, rfc6381, vp9};
use sv_container::{cea608, cea708, mp4, scte35, ts, ttml, webm, webvtt};
use sv_core::{
    Codec, Duration, Item, KeyId, Limits, Media, Packet, Protection, SampleKey, SampleProtection, Scheme,
    Source, Subsample, TimeBase, Timestamp, Track, TrackId, VideoInfo,
};

/// Small enough that a hostile file can't make a run slow.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.structure_bytes = 1 << 20;
    limits.packet_bytes = 1 << 20;
    limits.samples = 1 << 16;
    limits
}

/// What every source promises about its packets.
#[derive(Default)]
struct Promises {
    tracks: BTreeMap<TrackId, Option<Timestamp>>,
}

impl Promises {
    fn check(&mut self, item: &Item) {
        match item {
            Item::Track(track) => {
                let _ = rfc6381::string(track);
                self.tracks.entry(track.id).or_default();
            }
            Item::Packet(packet) => {
                let last = self.tracks.get_mut(&packet.track).expect("a packet comes after its track");
                assert!(last.is_none_or(|last| last <= packet.dts), "decoding times never fall");
                *last = Some(packet.dts);
                let runs = packet.protection.iter().flat_map(|p| p.subsamples.iter());
                let covered: u64 = runs.map(|s| u64::from(s.clear) + u64::from(s.protected)).sum();
                assert!(covered == 0 || covered == packet.data.len() as u64, "subsamples cover their packet");
            }
            _ => {}
        }
    }
}

/// The checksum of sections (ISO/IEC 13818-1, annex A), bit by bit.
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| u32::from(byte >> bit & 1)));
    bits.fold(u32::MAX, |crc, bit| (crc << 1) ^ if crc >> 31 ^ bit == 1 { 0x04C1_1DB7 } else { 0 })
}

/// Reads the bytes as splice information, with a checksum that fits: what is read is written and read the same.
pub(crate) fn scte35(data: &[u8]) {
    let mut section = data.to_vec();
    if let [_, high, low, ..] = section.as_mut_slice() {
        *high &= 0x7F;
        let whole = usize::from(u16::from_be_bytes([*high & 15, *low])) + 3;
        if (7..=section.len()).contains(&whole) {
            let sum = crc(&section[..whole - 4]).to_be_bytes();
            section[whole - 4..whole].copy_from_slice(&sum);
        }
    }
    for bytes in [data, &section] {
        let Ok(read) = scte35::Section::parse(bytes) else { continue };
        let written = read.build().unwrap();
        assert!(written.len() <= scte35::LARGEST);
        assert_eq!(scte35::Section::parse(&written).unwrap(), read);
        let _ = (read.time(), read.leaves(), read.event(), read.is_moment());
    }
}

/// Reads the bytes as MP4, from the start and from a place in the middle.
pub(crate) fn mp4(data: &[u8]) {
    let source = Arc::new(Bytes::copy_from_slice(data));
    let Ok(mut demuxer) = mp4::Demuxer::open(source, limits()) else { return };
    if let Ok(mut places) = demuxer.another() {
        while let Ok(Some(found)) = places.next_place() {
            let end = found.offset + u64::from(found.size);
            assert!(end <= data.len() as u64 && found.packet.data.is_empty(), "a place is in the file");
        }
    }
    let events = demuxer.events(scte35::SCHEME).len();
    assert!(events <= data.len() / 20, "an event has bytes of its own");
    let mut promises = Promises::default();
    let mut middle = None;
    while let Ok(Some(item)) = demuxer.next_item() {
        promises.check(&item);
        if let Item::Packet(packet) = &item {
            middle = Some((packet.track, packet.pts));
        }
    }
    if let Some((track, pts)) = middle
        && demuxer.seek(track, Timestamp::new(pts.ticks() / 2)).is_ok()
    {
        promises.tracks.values_mut().for_each(|last| *last = None);
        while let Ok(Some(item)) = demuxer.next_item() {
            promises.check(&item);
        }
    }
}

/// Reads the bytes as a transport stream: whole, and in pieces, which must make no difference.
pub(crate) fn ts(data: &[u8]) {
    let read = |piece: usize| {
        let mut parser = ts::Parser::new(limits()).tell_cancellations();
        let mut promises = Promises::default();
        let mut packets = BTreeMap::<TrackId, Vec<Packet>>::new();
        let mut drain = |parser: &mut ts::Parser| {
            while let Some(item) = parser.pull() {
                promises.check(&item);
                if let Item::Packet(packet) = item {
                    packets.entry(packet.track).or_default().push(packet);
                }
            }
        };
        for piece in data.chunks(piece) {
            if parser.push(piece).is_err() {
                return None;
            }
            drain(&mut parser);
        }
        parser.finish().ok()?;
        drain(&mut parser);
        Some(packets)
    };
    let whole = read(data.len().max(1));
    if data.len() < 100_000 {
        assert_eq!(whole, read(777), "pieces make no difference");
    }
}

/// Reads the bytes as WebVTT and SubRip; what was read can be written and read again.
pub(crate) fn webvtt(data: &[u8]) {
    let first = [webvtt::parse(data, &limits()), webvtt::parse_srt(data, &limits())];
    for document in first.into_iter().flatten() {
        let text = document.to_string();
        let again = webvtt::parse(text.as_bytes(), &limits()).expect("what we write, we read");
        assert_eq!(again.cues().count(), document.cues().count(), "no cue is lost: {text}");
        let _ = document.segment(Timestamp::new(500), Timestamp::new(5000), None);
    }
    let cues = webvtt::sample::parse(data);
    if !cues.is_empty() {
        assert_eq!(webvtt::sample::parse(&webvtt::sample::build(&cues)), cues);
    }
}

/// Reads the bytes as TTML: what was read can be written and read again, whole and in part, and says the same.
pub(crate) fn ttml(data: &[u8]) {
    let Ok(document) = ttml::Document::parse(data, &limits()) else { return };
    let text = document.to_string();
    let again = ttml::Document::parse(text.as_bytes(), &limits()).expect("what we write, we read");
    let (cues, same) = (document.to_webvtt(), again.to_webvtt());
    assert_eq!(cues.cues().count(), same.cues().count(), "no cue is lost: {text}");
    let part = document.segment(Timestamp::new(500), Timestamp::new(5000));
    ttml::Document::parse(part.as_bytes(), &limits()).expect("what we write, we read");
    let written = ttml::Document::from_webvtt(&cues, None).to_string();
    ttml::Document::parse(written.as_bytes(), &limits()).expect("what we write, we read");
}

/// Reads the bytes as every codec header there is; configurations survive being written.
pub(crate) fn codec_headers(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let codecs = [
        Codec::H264,
        Codec::Hevc,
        Codec::Av1,
        Codec::Vp8,
        Codec::Vp9,
        Codec::Aac,
        Codec::Opus,
        Codec::Ac3,
        Codec::Eac3,
        Codec::Ac4,
        Codec::DtsX,
        Codec::Flac,
        Codec::Alac,
        Codec::Iamf,
        Codec::Mp3,
    ];
    for codec in codecs {
        let (config, packet) = data.split_at(data.len() / 2);
        let _ = sv_codec::describe(codec, data, None);
        let _ = sv_codec::describe(codec, config, Some(packet));
        let _ = rfc6381::string(&Track { codec, config: bytes.clone(), ..track(1000) });
    }
    if let Ok(config) = h264::Config::parse(data) {
        assert_eq!(h264::Config::parse(&config.build()), Ok(config));
    }
    if let Ok(config) = hevc::Config::parse(data)
        && config.arrays.len() < 256
    {
        assert_eq!(hevc::Config::parse(&config.build()), Ok(config));
    }
    if let Ok(config) = av1::Config::parse(data) {
        let _ = config.sequence();
        assert_eq!(av1::Config::parse(&config.build()), Ok(config));
    }
    if let Ok(config) = opus::Config::parse(data) {
        assert_eq!(opus::Config::parse_head(&config.build_head()), Ok(config));
    }
    if let Ok(Ok(built)) = aac::Config::parse(data).map(|c| c.build()) {
        assert!(aac::Config::parse(&built).is_ok());
    }
    let (mut tiles, mut frames) = (av1::Tiles::default(), vp9::Headers::new());
    for packet in data.split(|byte| *byte == 0xA5) {
        let mut at = 0;
        for tile in tiles.next(packet).unwrap_or_default() {
            assert!(at <= tile.start && tile.start < tile.end && tile.end <= packet.len(), "tiles in order");
            at = tile.end;
        }
        for frame in vp9::frames(packet) {
            assert!(frames.header_len(frame).unwrap_or(0) <= frame.len(), "a header lies within its frame");
        }
    }
    let (mut avc, mut hevc) = (h264::Slices::default(), hevc::Slices::default());
    for unit in nal::annex_b(data) {
        let _ = (avc.parameter_set(unit.data), hevc.parameter_set(unit.data));
        for len in [avc.header_len(unit.data), hevc.header_len(unit.data)].into_iter().flatten() {
            assert!(len <= unit.data.len(), "a header lies within its unit");
        }
        let _ = (h264::is_recovery_point(unit.data), hevc::sei::hdr([unit.data]));
    }
    let _ = (av1::Config::from_packet(data), av1::is_key(data), av1::metadata::hdr(data));
    if let Ok(bare) = av1::without_delimiters(&bytes) {
        assert_eq!(av1::without_delimiters(&bare), Ok(bare.clone()));
    }
    for codec in [Codec::H264, Codec::Hevc, Codec::Av1, Codec::Other("mpeg2video")] {
        let found = captions::of_packet(codec, data, 4);
        let ours: Vec<_> = data.as_chunks().0.iter().take(40).copied().map(captions::Triplet).collect();
        if let Some(packet) = captions::insert(codec, data, 4, &ours) {
            let both = captions::of_packet(codec, &packet, 4);
            assert_eq!(both.len(), found.len() + ours.len());
            assert!(
                ours.is_empty() || both.windows(ours.len()).any(|some| some == ours),
                "they are read again"
            );
        }
    }
    let total: usize = vp9::frames(data).iter().map(|frame| frame.len()).sum();
    assert!(total <= data.len(), "frames lie within their packet");
    let _ = (vp9::Config::from_packet(data, 30), ac3::Header::parse(data), ac3::build_dec3(data));
    let _ = (
        mpa::Header::parse(data),
        aac::adts::Header::parse(data),
        flac::StreamInfo::parse(data),
        opus::samples(data),
    );
}

/// Three bytes each of captions, and how much later they are shown: what is said can be written and read again.
pub(crate) fn cea(data: &[u8]) {
    let mut channels: Vec<_> = (1..=4).map(cea608::Decoder::new).collect();
    let mut services = cea708::Decoder::new();
    let mut document = webvtt::Document::default();
    let mut at = 0i64;
    let mut check = |cues: Vec<webvtt::Cue>| {
        for cue in cues {
            assert!(cue.start < cue.end, "every cue is shown for a while");
            assert!(!cue.text.is_empty() && cue.text.lines().count() <= 16, "{:?}", cue.text);
            document.blocks.push(webvtt::Block::Cue(cue));
        }
    };
    for [later, kind, a, b] in data.as_chunks().0.iter().copied() {
        at += i64::from(later);
        let moment = Timestamp::new(at);
        let triplet = captions::Triplet([kind, a, b]);
        if let Some((second, pair)) = triplet.pair() {
            for channel in &mut channels {
                channel.push(moment, second, pair);
                if later == 7 {
                    channel.cut(moment);
                }
                check(channel.take());
            }
        }
        if let Some((start, pair)) = triplet.packet() {
            services.push(moment, start, pair);
            check(services.take().into_iter().map(|(_, cue)| cue).collect());
        }
    }
    for channel in &mut channels {
        channel.finish(Timestamp::new(at + 1));
        check(channel.take());
    }
    services.finish(Timestamp::new(at + 1));
    check(services.take().into_iter().map(|(_, cue)| cue).collect());
    let back = webvtt::parse(document.to_string().as_bytes(), &Limits::default()).expect("our own text");
    assert!(back.cues().eq(document.cues()), "{:?} and {document:?}", back);
}

/// A track that asks nothing of its codec.
pub(crate) fn track(timescale: u32) -> Track {
    Track {
        id: TrackId(1),
        codec: Codec::Av1,
        time_base: TimeBase::new(1, timescale.max(1)).expect("a positive timescale"),
        config: Bytes::from_static(&[0x81, 0, 0, 0]),
        media: Media::Video(VideoInfo::new(16, 16)),
        language: None,
        label: None,
        default: true,
        duration: None,
        bitrate: None,
        protection: None,
    }
}

/// Packets made of the bytes: what is written as fragments is read again.
pub(crate) fn mp4_roundtrip(data: &[u8]) {
    let track = track(data.len() as u32);
    let mut dts = 0i64;
    let packets: Vec<Packet> = data
        .chunks_exact(4)
        .map(|c| {
            let at = dts;
            dts += i64::from(c[1] / 4);
            Packet {
                track: track.id,
                pts: Timestamp::new(at + i64::from(c[2]) - 100),
                dts: Timestamp::new(at),
                duration: Duration::new(u64::from(c[1] / 4)),
                key: c[3] & 1 == 0,
                data: Bytes::from(vec![c[0]; usize::from(c[3] >> 1) + 1]),
                protection: None,
            }
        })
        .collect();
    let mut file = mp4::init_segment(&[&track]).expect("a plain track").to_vec();
    for (index, chunk) in packets.chunks(5).enumerate() {
        let base = chunk[0].dts;
        let parts = mp4::fragment(&track, index as u32 + 1, base, chunk, &mp4::Options::default());
        parts.expect("plain packets").iter().for_each(|part| file.extend_from_slice(part));
    }
    let mut demuxer =
        mp4::Demuxer::open(Arc::new(Bytes::from(file)), Limits::default()).expect("our own file");
    let mut back = Vec::new();
    while let Some(item) = demuxer.next_item().expect("our own file") {
        if let Item::Packet(packet) = item {
            back.push(packet);
        }
    }
    assert_eq!(back, packets);
}

/// Packets made of the bytes: what is written as WebM nests, and holds them again.
pub(crate) fn webm_roundtrip(data: &[u8]) {
    let track = Track { config: Bytes::from_static(&[0x81, 0, 12, 0]), ..track(data.len() as u32) };
    let mut at = 0i64;
    let mut packets = Vec::new();
    for c in data.chunks_exact(4) {
        let duration = u64::from(c[1]) * u64::from(c[2] / 32 + 1);
        packets.push(Packet {
            track: track.id,
            pts: Timestamp::new(at),
            dts: Timestamp::new(at),
            duration: Duration::new(duration),
            key: c[3] & 1 == 0,
            data: Bytes::from(vec![c[0]; usize::from(c[3] >> 1) * usize::from(c[2] % 8)]),
            protection: None,
        });
        at += duration as i64;
    }
    let millis = |at: Timestamp| at.rescale(track.time_base, TimeBase::MILLIS).ticks() as u64;
    let head = webm::init_segment(&track).expect("a plain track");
    assert_eq!(elements(&head).first().map(|(id, _)| *id), Some(0x1A45_DFA3));
    let whole = webm::cluster(&track, &packets).expect("plain packets").concat();
    let mut back = Vec::new();
    for (id, body) in elements(&whole) {
        assert_eq!(id, 0x1F43_B675, "nothing but clusters");
        let mut start = None;
        for (id, body) in elements(body) {
            let group = elements(if id == 0xA0 { body } else { &[] });
            let (block, key) = match id {
                0xE7 => {
                    start = Some(number(body));
                    continue;
                }
                0xA3 => (body, body[3] & 0x80 != 0),
                0xA0 => (group[0].1, group.iter().all(|(id, _)| *id != 0xFB)),
                other => panic!("element {other:X} in a cluster"),
            };
            let relative = i16::from_be_bytes([block[1], block[2]]);
            assert_eq!(block[0], 0x81, "the track");
            let time = start.expect("the cluster's time comes first").saturating_add_signed(relative.into());
            back.push((time, key, block[4..].to_vec()));
        }
    }
    let wanted: Vec<_> = packets.iter().map(|p| (millis(p.pts), p.key, p.data.to_vec())).collect();
    assert_eq!(back, wanted);

    // A file's head has one length, and room can be left for its index.
    let extent = webm::Extent { duration: Duration::new(at as u64), bytes: whole.len() as u64 };
    let open = webm::file_head(&track, None).expect("a plain track");
    assert_eq!(open.len(), webm::file_head(&track, Some(extent)).expect("a plain track").len());
    let cues = webm::Cues {
        cues: packets.iter().map(|p| webm::Cue { time: p.pts.ticks() as u64, offset: 48 }).collect(),
    };
    assert_eq!(cues.build(&track).len() as u64, webm::Cues::size(packets.len()));
    assert_eq!(elements(&cues.build(&track)).len(), 1);
}

/// The elements that these bytes are, of EBML whose sizes are all known, but for the last.
fn elements(mut data: &[u8]) -> Vec<(u32, &[u8])> {
    let mut out = Vec::new();
    while let Some(first) = data.first() {
        let width = first.leading_zeros() as usize + 1;
        let id = number(&data[..width]) as u32;
        let sizes = data[width].leading_zeros() as usize + 1;
        let (size, body) = data[width..].split_at(sizes);
        let size = number(size) & ((1 << (7 * sizes)) - 1);
        let size = if size == (1 << 56) - 1 { body.len() } else { size as usize };
        let (body, rest) = body.split_at(size);
        out.push((id, body));
        data = rest;
    }
    out
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

/// Encrypted packets made of the bytes: of what is written as fragments, the same bytes are read as encrypted under the same
/// keys by the same vectors.
pub(crate) fn protected_roundtrip(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let constant = kind & 1 == 0;
    let iv = [7; 16];
    let mut track = track(u32::from(*kind));
    track.protection = Some(Protection {
        scheme: if constant { Scheme::Cbcs } else { Scheme::Cenc },
        default_kid: KeyId([1; 16]),
        pattern: if constant && kind & 2 == 0 { (1, 9) } else { (0, 0) },
        iv_size: if constant { 0 } else { 8 },
        constant_iv: constant.then(|| Bytes::copy_from_slice(&iv)),
        pssh: Vec::new(),
        clear_lead: kind & 4 == 0,
    });
    let mut packets = Vec::new();
    for (n, c) in data.chunks_exact(4).enumerate() {
        let size = usize::from(c[1]) + 1;
        let clear = u16::from(c[2]).min(size as u16);
        let subsamples = match c[0] & 3 {
            0 => Vec::new(),
            _ => vec![Subsample { clear, protected: size as u32 - u32::from(clear) }],
        };
        let mut own = iv;
        if !constant {
            own = [0; 16];
            own[..8].copy_from_slice(&(n as u64 + 1).to_be_bytes());
        }
        let key =
            (c[3] & 3 > 0).then(|| Arc::new(SampleKey { kid: KeyId([c[3] & 3; 16]), pssh: Vec::new() }));
        let protection = SampleProtection { iv: own, subsamples: subsamples.into(), key };
        packets.push(Packet {
            track: track.id,
            pts: Timestamp::new(n as i64),
            dts: Timestamp::new(n as i64),
            duration: Duration::new(1),
            key: true,
            data: Bytes::from(vec![c[0]; size]),
            protection: (c[0] & 12 > 0).then_some(protection),
        });
    }
    let mut file = mp4::init_segment(&[&track]).expect("a plain track").to_vec();
    for (index, chunk) in packets.chunks(5).enumerate() {
        let base = chunk[0].dts;
        let parts = mp4::fragment(&track, index as u32 + 1, base, chunk, &mp4::Options::default());
        parts.expect("plain packets").iter().for_each(|part| file.extend_from_slice(part));
    }
    let mut demuxer =
        mp4::Demuxer::open(Arc::new(Bytes::from(file)), Limits::default()).expect("our own file");
    let told = demuxer.tracks()[0].protection.clone().expect("it is protected");
    // Which bytes are encrypted; with which key and vector, if any are.
    let meant = |protection: &Protection, packet: &Packet| {
        let sample = packet.protection.as_ref()?;
        let mut at = 0u32;
        let mut runs = Vec::new();
        for run in sample.subsamples.iter() {
            at += u32::from(run.clear);
            runs.push(at..at + run.protected);
            at += run.protected;
        }
        if sample.subsamples.is_empty() {
            runs.push(0..packet.data.len() as u32);
        }
        runs.retain(|run| !run.is_empty());
        let mut iv = sample.iv;
        if let (Some(constant), None) = (&protection.constant_iv, &sample.key) {
            iv.copy_from_slice(constant);
        }
        (!runs.is_empty()).then(|| (runs, protection.kid(Some(sample)), iv))
    };
    let mut back = Vec::new();
    while let Some(item) = demuxer.next_item().expect("our own file") {
        if let Item::Packet(packet) = item {
            back.push((packet.data.clone(), meant(&told, &packet)));
        }
    }
    let own = track.protection.as_ref().expect("set above");
    let wanted: Vec<_> = packets.iter().map(|packet| (packet.data.clone(), meant(own, packet))).collect();
    assert_eq!(back.len(), wanted.len());
    for ((back, meant), (wanted, told)) in back.iter().zip(&wanted) {
        assert!(back == wanted, "other bytes");
        assert_eq!(meant, told);
    }
}
