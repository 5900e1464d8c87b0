//! What the driver writes, in the form of MP4.

use bytes::Bytes;
use sv_codec::{av1, h264, hevc, nal};
use sv_core::Codec;

/// The configuration record, of the headers that the driver gives apart.
pub(super) fn record(codec: Codec, headers: &[u8]) -> Result<Bytes, String> {
    let broken = |error: sv_codec::Error| format!("the encoder's headers are broken: {error}");
    let units = || nal::annex_b(headers).map(|unit| Bytes::copy_from_slice(unit.data));
    Ok(match codec {
        Codec::H264 => {
            let of = |kind| units().filter(|unit| h264::unit_type(unit) == kind).collect::<Vec<_>>();
            h264::Config::from_parameter_sets(of(h264::SPS), of(h264::PPS)).map_err(broken)?.build()
        }
        Codec::Hevc => hevc::Config::from_units(units()).map_err(broken)?.build(),
        _ => av1::Config::from_packet(headers).map_err(broken)?.build(),
    })
}

/// A picture's packet, and whether decoding can start there. Parameter sets of H.264 and HEVC are in the
/// record alone; AV1 keeps its sequence headers.
pub(super) fn packet(codec: Codec, stream: Vec<u8>) -> Result<(Bytes, bool), String> {
    let broken = |error: sv_codec::Error| format!("the encoder's packet is broken: {error}");
    if codec == Codec::Av1 {
        let data = av1::without_delimiters(&stream.into()).map_err(broken)?;
        let key = av1::is_key(&data).map_err(broken)?;
        return Ok((data, key));
    }
    let wanted = |unit: &[u8]| match codec {
        Codec::H264 => !matches!(h264::unit_type(unit), h264::SPS | h264::PPS | h264::AUD | h264::FILLER),
        _ => !matches!(hevc::unit_type(unit), hevc::VPS | hevc::SPS | hevc::PPS | hevc::AUD | hevc::FILLER),
    };
    let units: Vec<&[u8]> = nal::annex_b(&stream).map(|unit| unit.data).filter(|unit| wanted(unit)).collect();
    let slice = |unit: &&[u8]| if codec == Codec::H264 { h264::is_slice(unit) } else { hevc::is_slice(unit) };
    if !units.iter().any(slice) {
        return Err("the encoder's packet holds no picture".into());
    }
    let key = match codec {
        Codec::H264 => h264::is_idr(units.iter().copied()),
        _ => hevc::is_random_access(units.iter().copied()),
    };
    Ok((nal::length_prefixed(units), key))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Headers and access units of a stream that FFmpeg's program makes, in the form that NVENC has too.
    fn made(codec: Codec, arguments: &[&str]) -> Option<Vec<u8>> {
        let (ffmpeg, format) =
            (sv_testkit::tool("ffmpeg")?, if codec == Codec::Av1 { "obu" } else { codec.name() });
        let out = Command::new(ffmpeg)
            .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=160x96:r=25:d=0.4"])
            .args(["-pix_fmt", "yuv420p", "-g", "5"])
            .args(arguments)
            .args(["-f", format, "-"])
            .output()
            .unwrap();
        if !out.status.success() {
            println!("skipped: {}", String::from_utf8_lossy(&out.stderr));
            return None;
        }
        Some(out.stdout)
    }

    /// Cuts a stream where a unit begins that opens an access unit.
    fn cut(stream: &[u8], codec: Codec) -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = Vec::new();
        if codec == Codec::Av1 {
            for obu in av1::obus(stream).map(Result::unwrap) {
                if obu.kind == av1::Obu::TEMPORAL_DELIMITER {
                    all.push(Vec::new());
                }
                all.last_mut().unwrap().extend_from_slice(obu.whole);
            }
            return all;
        }
        for unit in nal::annex_b(stream) {
            let opens = match codec {
                Codec::H264 => h264::unit_type(unit.data) == h264::AUD,
                _ => hevc::unit_type(unit.data) == hevc::AUD,
            };
            if opens {
                all.push(Vec::new());
            }
            let last = all.last_mut().unwrap();
            last.extend_from_slice(&[0, 0, 0, 1]);
            last.extend_from_slice(unit.data);
        }
        all
    }

    #[test]
    fn real_streams_become_records_and_packets() {
        let cells: [(Codec, &[&str]); 3] = [
            (Codec::H264, &["-c:v", "libx264", "-bf", "0", "-x264-params", "scenecut=0:aud=1"]),
            (
                Codec::Hevc,
                &[
                    "-c:v",
                    "libx265",
                    "-x265-params",
                    "log-level=0:bframes=0:keyint=5:open-gop=0:scenecut=0:aud=1",
                ],
            ),
            (Codec::Av1, &["-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "pred-struct=1:scd=0"]),
        ];
        for (codec, arguments) in cells {
            let Some(stream) = made(codec, arguments) else { continue };
            let units = cut(&stream, codec);
            assert_eq!(units.len(), 10, "{codec}");
            let record = record(codec, &units[0]).unwrap();
            match codec {
                Codec::H264 => {
                    let config = h264::Config::parse(&record).unwrap();
                    assert_eq!((config.sps.len(), config.pps.len(), config.length_size), (1, 1, 4));
                }
                Codec::Hevc => {
                    let config = hevc::Config::parse(&record).unwrap();
                    let sets = config.units().filter(|unit| (32..35).contains(&hevc::unit_type(unit)));
                    assert_eq!((sets.count(), config.length_size), (3, 4));
                }
                _ => assert!(av1::Config::parse(&record).unwrap().sequence().is_ok()),
            }
            for (n, unit) in units.into_iter().enumerate() {
                let (data, key) = packet(codec, unit).unwrap();
                assert_eq!(key, n % 5 == 0, "{codec}: {n}");
                if codec == Codec::Av1 {
                    let kinds: Vec<u8> = av1::obus(&data).map(|obu| obu.unwrap().kind).collect();
                    assert!(!kinds.contains(&av1::Obu::TEMPORAL_DELIMITER), "{kinds:?}");
                    assert_eq!(kinds.contains(&av1::Obu::SEQUENCE_HEADER), key);
                } else {
                    let whole: usize = nal::units(&data, 4).map(|unit| unit.unwrap().data.len() + 4).sum();
                    assert_eq!(whole, data.len());
                }
            }
        }
    }

    #[test]
    fn what_holds_no_picture_is_an_error() {
        for codec in [Codec::H264, Codec::Hevc, Codec::Av1] {
            for stream in [&[][..], &[0, 0, 0, 1], &[0, 0, 1, 0x67, 1, 2], &[0x12, 0], &[0xFF; 40]] {
                assert!(packet(codec, stream.to_vec()).is_err(), "{codec}: {stream:?}");
                assert!(record(codec, stream).is_err(), "{codec}: {stream:?}");
            }
        }
    }
}
