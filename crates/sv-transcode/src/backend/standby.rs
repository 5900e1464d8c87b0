//! An encoder on a device that may fail in the middle, and software that goes on from there.
//!
//! Packets wait until every picture that is shown before theirs is out too. So whatever has left here is
//! a whole beginning of the film, and software can begin with the first picture after it, as a key
//! frame, without tearing a group apart. What it costs is to keep the pictures that are inside of the
//! encoder.
//!
//! A stream has one configuration, which is written before the first packet. So that of H.264 and HEVC
//! says from the beginning what both encoders need: software's parameter sets have numbers of their own.
//! VP9 needs none, and AV1 repeats its own with every key frame.

use std::collections::VecDeque;

use bytes::Bytes;
use sv_core::{Codec, Packet, Timestamp, TrackId, VideoFrame};

use super::EncodeVideo;
use crate::Error;

/// Opens the encoder that takes over.
pub(super) type Open = Box<dyn Fn() -> Result<Box<dyn EncodeVideo>, Error> + Send>;

/// Pictures that are kept for software at most. An encoder that holds back more than this has failed.
const MOST: usize = 128;

pub(super) struct Standby {
    work: Box<dyn EncodeVideo>,
    /// `None` once it is at work.
    software: Option<Open>,
    config: Bytes,
    /// Pictures that are not out yet, as they were pushed.
    held: VecDeque<Held>,
    /// Packets that wait for pictures that are shown earlier.
    parked: Vec<Packet>,
    ready: VecDeque<Packet>,
    ended: bool,
}

struct Held {
    frame: VideoFrame,
    tick: i64,
    key: bool,
    /// Whether its packet is parked.
    coded: bool,
}

impl Standby {
    /// The device's encoder with software behind it; alone, where the two can't be one stream.
    pub(super) fn over(codec: Codec, device: Box<dyn EncodeVideo>, software: Open) -> Box<dyn EncodeVideo> {
        let config = match codec {
            Codec::H264 => software().and_then(|software| both(&device.config(), &software.config())),
            Codec::Hevc => software().and_then(|software| both_hevc(&device.config(), &software.config())),
            _ => Ok(device.config()),
        };
        let config = match config {
            Ok(config) => config,
            Err(error) => {
                tracing::warn!("nothing goes on if the device fails: {error}");
                return device;
            }
        };
        Box::new(Self {
            work: device,
            software: Some(software),
            config,
            held: VecDeque::new(),
            parked: Vec::new(),
            ready: VecDeque::new(),
            ended: false,
        })
    }

    /// Goes on in software where the device failed, or passes its error on if that can't be.
    fn take_over<T: Default>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        let error = match result {
            Err(error) => error,
            result => return result,
        };
        let Some(open) = self.software.take() else { return Err(error) };
        tracing::warn!("software encodes from here on, because the device failed: {error}");
        self.work = open()?;
        self.parked.clear();
        for (place, held) in std::mem::take(&mut self.held).into_iter().enumerate() {
            self.work.push(&held.frame, held.tick, held.key || place == 0)?;
        }
        if self.ended {
            self.work.finish()?;
        }
        Ok(T::default())
    }

    /// Takes a packet of the device's in; gives out what is whole.
    fn park(&mut self, packet: Packet) {
        if let Some(held) = self.held.iter_mut().find(|held| held.frame.pts == packet.pts) {
            held.coded = true;
        }
        self.parked.push(packet);
        let last: Option<Timestamp> = self.parked.iter().map(|p| p.pts).max();
        let whole = |held: &Held| held.coded || Some(held.frame.pts) > last;
        if self.held.iter().all(whole) {
            self.held.retain(|held| !held.coded);
            self.ready.extend(self.parked.drain(..));
        }
    }
}

impl EncodeVideo for Standby {
    fn config(&self) -> Bytes {
        self.config.clone()
    }

    fn push(&mut self, frame: &VideoFrame, tick: i64, key: bool) -> Result<(), Error> {
        if self.software.is_none() {
            return self.work.push(frame, tick, key);
        }
        self.held.push_back(Held { frame: frame.clone(), tick, key, coded: false });
        let result = if self.held.len() > MOST {
            Err(Error::Invalid(format!("an encoder took {MOST} pictures and gave nothing whole")))
        } else {
            self.work.push(frame, tick, key)
        };
        self.take_over(result)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.ended = true;
        let result = self.work.finish();
        self.take_over(result)
    }

    fn pull(&mut self, id: TrackId) -> Result<Option<Packet>, Error> {
        loop {
            if let Some(packet) = self.ready.pop_front() {
                return Ok(Some(packet));
            }
            if self.software.is_none() {
                return self.work.pull(id);
            }
            let pulled = self.work.pull(id);
            match self.take_over(pulled)? {
                Some(packet) if self.software.is_some() => self.park(packet),
                // Software may have something now.
                None if self.software.is_none() => {}
                other => return Ok(other),
            }
        }
    }
}

/// One configuration with the parameter sets of both.
fn both(device: &[u8], software: &[u8]) -> Result<Bytes, Error> {
    use sv_codec::h264::{Config, Pps, Sps};
    let broken = |error| Error::Invalid(format!("an encoder's configuration is broken: {error}"));
    let (mut config, mut other) =
        (Config::parse(device).map_err(broken)?, Config::parse(software).map_err(broken)?);
    let ids = |config: &Config| -> Vec<(u32, bool)> {
        let sps = config.sps.iter().filter_map(|s| Sps::parse(s).ok()).map(|s| (u32::from(s.id), true));
        let pps = config.pps.iter().filter_map(|p| Pps::parse(p).ok()).map(|p| (u32::from(p.id), false));
        sps.chain(pps).collect()
    };
    let taken = ids(&config);
    if ids(&other).iter().any(|id| taken.contains(id)) {
        return Err(Error::Invalid("both encoders number their parameter sets alike".into()));
    }
    config.profile = config.profile.max(other.profile);
    config.constraints &= other.constraints;
    config.level = config.level.max(other.level);
    config.sps.append(&mut other.sps);
    config.pps.append(&mut other.pps);
    Ok(config.build())
}

/// The same for HEVC.
fn both_hevc(device: &[u8], software: &[u8]) -> Result<Bytes, Error> {
    use sv_codec::hevc::{Config, PPS, Pps, SPS, Sps, VPS};
    let broken = |error| Error::Invalid(format!("an encoder's configuration is broken: {error}"));
    let (mut config, other) =
        (Config::parse(device).map_err(broken)?, Config::parse(software).map_err(broken)?);
    let ids = |config: &Config| -> Vec<(u8, u32)> {
        let sps = config.units_of(SPS).filter_map(|s| Sps::parse(s).ok()).map(|s| (SPS, u32::from(s.id)));
        let pps = config.units_of(PPS).filter_map(|p| Pps::parse(p).ok()).map(|p| (PPS, u32::from(p.id)));
        sps.chain(pps).collect()
    };
    let taken = ids(&config);
    if ids(&other).iter().any(|id| taken.contains(id)) {
        return Err(Error::Invalid("both encoders number their parameter sets alike".into()));
    }
    config.profile.level = config.profile.level.max(other.profile.level);
    config.profile.high_tier |= other.profile.high_tier;
    for (kind, units) in other.arrays.into_iter().filter(|(kind, _)| matches!(*kind, VPS | SPS | PPS)) {
        match config.arrays.iter_mut().find(|(k, _)| *k == kind) {
            Some((_, list)) => list.extend(units),
            None => config.arrays.push((kind, units)),
        }
    }
    Ok(config.build())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use sv_core::{Media, Ratio, Track, VideoInfo};
    use sv_testkit::video::Pattern;

    use super::*;
    use crate::backend::renumber::Renumbered;
    use crate::backend::{self, Backend, Picture};
    use crate::encode::{self, Effort, Rate};

    /// An encoder in memory that fails as one on a device does when its driver goes away: at the n-th call.
    struct Dying(Box<dyn EncodeVideo>, u32);

    impl Dying {
        fn call(&mut self) -> Result<(), Error> {
            self.1 =
                self.1.checked_sub(1).ok_or(Error::Library { library: "device", reason: "gone".into() })?;
            Ok(())
        }
    }

    impl EncodeVideo for Dying {
        fn config(&self) -> Bytes {
            self.0.config()
        }
        fn push(&mut self, frame: &VideoFrame, tick: i64, key: bool) -> Result<(), Error> {
            self.call()?;
            self.0.push(frame, tick, key)
        }
        fn finish(&mut self) -> Result<(), Error> {
            self.call()?;
            self.0.finish()
        }
        fn pull(&mut self, id: TrackId) -> Result<Option<Packet>, Error> {
            self.call()?;
            self.0.pull(id)
        }
    }

    const COUNT: u32 = 30;
    const SIZE: (u32, u32) = (192, 128);

    fn config(codec: Codec, name: &str, options: &[(&str, &str)]) -> encode::Video {
        let mut config = encode::Video::new(codec);
        config.backend = Backend::Named(name.into());
        config.effort = Effort::Fastest;
        config.rate = Rate::Quality { crf: 20.0, cap: None };
        config.options = options.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        config
    }

    fn pattern() -> Pattern {
        Pattern::new(SIZE.0, SIZE.1, Ratio::new(25, 1).unwrap())
    }

    fn open(config: &encode::Video) -> Result<Box<dyn EncodeVideo>, Error> {
        let picture =
            Picture { frame: pattern().frame(0), frame_rate: Ratio::new(25, 1).unwrap(), bit_depth: 8 };
        backend::video_encoder(config, &picture)
    }

    /// All packets of an encoder whose device dies after so many calls.
    fn packets(
        device: &encode::Video,
        software: &encode::Video,
        calls: u32,
    ) -> Result<(Bytes, Vec<Packet>), Error> {
        let software = software.clone();
        let dying = Box::new(Dying(open(device)?, calls));
        let open = move || match software.codec {
            Codec::Hevc => Ok(Box::new(Renumbered::new(open(&software)?)?) as Box<dyn EncodeVideo>),
            _ => open(&software),
        };
        let mut encoder = Standby::over(device.codec, dying, Box::new(open));
        let mut out = Vec::new();
        for n in 0..COUNT {
            encoder.push(&pattern().frame(n), n.into(), n % 10 == 0)?;
            while let Some(packet) = encoder.pull(TrackId(1))? {
                out.push(packet);
            }
        }
        encoder.finish()?;
        while let Some(packet) = encoder.pull(TrackId(1))? {
            out.push(packet);
        }
        Ok((encoder.config(), out))
    }

    /// The numbers of the pictures, as FFmpeg's own program decodes them from a file.
    fn read(codec: Codec, config: Bytes, packets: &[Packet]) -> Option<Vec<Option<u32>>> {
        use sv_container::mp4;
        let ffmpeg = sv_testkit::tool("ffmpeg")?;
        let media = Media::Video(VideoInfo::new(SIZE.0, SIZE.1));
        let track = Track { codec, config, media, ..pattern().track(1) };
        let mut file = mp4::init_segment(&[&track]).unwrap().to_vec();
        let base = Timestamp::new(0);
        for part in mp4::fragment(&track, 1, base, packets, &mp4::Options::default()).unwrap() {
            file.extend_from_slice(&part);
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made.mp4");
        std::fs::write(&path, file).unwrap();
        let out = Command::new(ffmpeg)
            .args(["-v", "error", "-xerror", "-err_detect", "explode", "-i"])
            .arg(&path)
            .args(["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"])
            .output()
            .unwrap();
        assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
        let (luma, width) = ((SIZE.0 * SIZE.1) as usize, SIZE.0 as usize);
        let picture = |bytes: &[u8]| {
            let planes = vec![
                (bytes[..luma].to_vec(), width),
                (bytes[luma..luma * 5 / 4].to_vec(), width / 2),
                (bytes[luma * 5 / 4..].to_vec(), width / 2),
            ];
            let picture = sv_core::Planes { format: sv_core::PixelFormat::Yuv420p8, planes };
            VideoFrame { picture: std::sync::Arc::new(picture), ..pattern().frame(0) }
        };
        Some(out.stdout.chunks(luma * 3 / 2).map(|b| sv_testkit::video::read_code(&picture(b))).collect())
    }

    /// Kills the device at each of `calls`, and judges what comes out.
    fn every_picture_once(
        device: &encode::Video,
        software: &encode::Video,
        calls: impl Iterator<Item = u32>,
    ) {
        for calls in calls {
            let (config, packets) = packets(device, software, calls).unwrap();
            let mut times: Vec<_> = packets.iter().map(|p| p.pts.ticks()).collect();
            times.sort_unstable();
            let wanted: Vec<_> = (0..COUNT).map(|n| pattern().frame(n).pts.ticks()).collect();
            assert_eq!(times, wanted, "after {calls} calls");
            assert!(packets.is_sorted_by_key(|p| p.dts) && packets.iter().all(|p| p.dts <= p.pts), "{calls}");
            for n in [0, 10, 20] {
                assert!(
                    packets.iter().any(|p| p.key && p.pts.ticks() == wanted[n]),
                    "{calls}: no key at {n}"
                );
            }
            if let Some(numbers) = read(device.codec, config, &packets) {
                let all: Vec<_> = (0..COUNT).map(Some).collect();
                assert_eq!(numbers, all, "after {calls} calls");
            }
        }
    }

    #[test]
    fn whenever_the_device_dies_no_picture_is_lost_or_doubled() {
        // With pictures decoded before they are shown, and ten that wait inside.
        let device =
            config(Codec::H264, "libx264", &[("bf", "3"), ("rc-lookahead", "10"), ("b-pyramid", "strict")]);
        let software = config(Codec::H264, "libx264", &[("bf", "0"), ("x264-params", "sps-id=1")]);
        // Each picture is a push and at least one pull; beyond all of them the device never dies.
        every_picture_once(&device, &software, 0..100);
    }

    #[test]
    fn other_codecs_that_bring_their_parameters_along_go_on_too() {
        let device = config(Codec::Vp9, "libvpx-vp9", &[("lag-in-frames", "5")]);
        every_picture_once(
            &device,
            &config(Codec::Vp9, "libvpx-vp9", &[]),
            [0, 3, 17, 40, 63, 200].into_iter(),
        );
        let (device, software) =
            (config(Codec::Av1, "libaom-av1", &[]), config(Codec::Av1, "libsvtav1", &[]));
        match open(&device) {
            Ok(_) => every_picture_once(&device, &software, [0, 3, 17, 40, 63, 200].into_iter()),
            Err(error) => eprintln!("skipped: {error}"),
        }
    }

    #[test]
    fn hevc_goes_on_with_parameter_sets_of_other_numbers() {
        let device = config(Codec::Hevc, "libx265", &[("bf", "3")]);
        let software = config(Codec::Hevc, "libx265", &[("bf", "0")]);
        every_picture_once(&device, &software, (0..100).step_by(7));
    }

    #[test]
    fn encoders_that_number_alike_have_no_software_behind_them() {
        for (codec, name) in [(Codec::H264, "libx264"), (Codec::Hevc, "libx265")] {
            let (device, software) = (config(codec, name, &[]), config(codec, name, &[]));
            let alone = open(&device).unwrap().config();
            let joined = Standby::over(codec, open(&device).unwrap(), Box::new(move || open(&software)));
            assert_eq!(joined.config(), alone);
        }
    }

    /// Takes pictures and gives nothing.
    struct Silent(Bytes);

    impl EncodeVideo for Silent {
        fn config(&self) -> Bytes {
            self.0.clone()
        }
        fn push(&mut self, _: &VideoFrame, _: i64, _: bool) -> Result<(), Error> {
            Ok(())
        }
        fn finish(&mut self) -> Result<(), Error> {
            Ok(())
        }
        fn pull(&mut self, _: TrackId) -> Result<Option<Packet>, Error> {
            Ok(None)
        }
    }

    #[test]
    fn a_device_that_swallows_pictures_has_failed() {
        let device = open(&config(Codec::H264, "libx264", &[])).unwrap();
        let software = config(Codec::H264, "libx264", &[("bf", "0"), ("x264-params", "sps-id=1")]);
        let silent = Box::new(Silent(device.config()));
        let mut encoder = Standby::over(Codec::H264, silent, Box::new(move || open(&software)));
        let count = MOST as u32 + 20;
        let mut out = 0;
        for n in 0..count {
            encoder.push(&pattern().frame(n), n.into(), n == 0).unwrap();
            while encoder.pull(TrackId(1)).unwrap().is_some() {
                out += 1;
            }
        }
        encoder.finish().unwrap();
        while encoder.pull(TrackId(1)).unwrap().is_some() {
            out += 1;
        }
        assert_eq!(out, count);
    }
}
