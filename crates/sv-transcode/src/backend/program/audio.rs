//! Sound to packets.

use bytes::Bytes;
use sv_codec::{flac, opus};
use sv_core::{Codec, Duration, Packet, Timestamp, TrackId};

use super::child::{Child, Output, failed};
use super::matroska::Found;
use super::{PROGRAM, Program, quiet};
use crate::backend::EncodeAudio;
use crate::{Error, encode};

/// An encoder of a codec in a program.
pub(super) struct Encoder {
    codec: Codec,
    config: Bytes,
    delay: u32,
    channels: u16,
    child: Child,
    /// Samples of each channel that went in, and that came out with the encoder's delay.
    taken: i64,
    given: i64,
    ended: bool,
    /// A packet that waits to hear whether it is the last.
    held: Option<Vec<u8>>,
}

pub(super) fn open(
    program: &Program,
    name: &str,
    config: &encode::Audio,
    sample_rate: u32,
    channels: u16,
) -> Result<Encoder, Error> {
    let mut arguments = quiet();
    let mut add = |words: &[&str]| arguments.extend(words.iter().map(|w| (*w).to_owned()));
    add(&["-f", "f32le", "-ar", &sample_rate.to_string(), "-ac", &channels.to_string(), "-i", "pipe:0"]);
    add(&["-map", "0:a:0", "-c:a", name]);
    if config.codec != Codec::Flac {
        add(&["-b:a", &config.bitrate.to_string()]);
    }
    for (key, value) in config.options.iter().filter(|(key, _)| key != PROGRAM) {
        add(&[&format!("-{key}:a"), value]);
    }
    add(&["-f", "matroska", "-flush_packets", "1", "pipe:1"]);

    // Half a second of silence tells what the stream will be like.
    let mut trial = Child::start(&program.path, &arguments, Output::Matroska)?;
    feed(&mut trial, &vec![0.0; sample_rate as usize / 2 * usize::from(channels)])?;
    trial.close();
    let mut said = None;
    while let Some(found) = trial.read()? {
        if let Found::Track { private, delay } = found {
            said = Some((private, delay));
        }
    }
    let Some((private, delay)) = said else {
        return Err(failed(format!("it doesn't say what its {} is like", config.codec)));
    };
    let record: Bytes = match config.codec {
        Codec::Opus => opus::Config::parse_head(&private).map_err(|e| failed(e.to_string()))?.build(),
        Codec::Flac => match private.strip_prefix(b"fLaC") {
            Some(blocks) => unnumbered(blocks).into(),
            None => return Err(failed("it doesn't say what its FLAC is like".into())),
        },
        _ => private.into(),
    };
    let samples = (delay as f64 * f64::from(sample_rate) / 1e9).round() as u32;
    let delay = match config.codec {
        Codec::Opus => opus::Config::parse(&record).map_or(samples, |c| c.pre_skip.into()),
        // FFmpeg's own encoder begins with one frame of silence, and Matroska doesn't say so for AAC.
        Codec::Aac if samples == 0 => 1024,
        _ => samples,
    };
    let child = Child::start(&program.path, &arguments, Output::Matroska)?;
    Ok(Encoder {
        codec: config.codec,
        config: record,
        delay,
        channels,
        child,
        taken: 0,
        given: 0,
        ended: false,
        held: None,
    })
}

/// FLAC's blocks without what only the end of a stream tells: how many samples it has, and their MD5.
fn unnumbered(blocks: &[u8]) -> Vec<u8> {
    // The stream's own block alone: 4 bytes of header, 34 of information.
    let mut out = blocks.get(..38).unwrap_or(blocks).to_vec();
    if let Some(first) = out.first_mut() {
        *first |= 0x80;
    }
    if let Some(low) = out.get_mut(4 + 13) {
        *low &= 0xf0;
    }
    out.iter_mut().skip(4 + 14).for_each(|byte| *byte = 0);
    // Frame sizes of silence are not those of the sound.
    out.iter_mut().skip(4 + 4).take(6).for_each(|byte| *byte = 0);
    out
}

fn feed(child: &mut Child, samples: &[f32]) -> Result<(), Error> {
    let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    child.write(Box::new(move |pipe| std::io::Write::write_all(pipe, &bytes)))
}

impl Encoder {
    /// Samples in a packet.
    fn length(&self, data: &[u8]) -> i64 {
        match self.codec {
            Codec::Opus => opus::samples(data).unwrap_or(960).into(),
            Codec::Flac => flac::StreamInfo::parse(&self.config).map_or(4096, |info| info.max_block).into(),
            Codec::Ac3 | Codec::Eac3 => 1536,
            _ => 1024,
        }
    }
}

impl EncodeAudio for Encoder {
    fn config(&self) -> Bytes {
        self.config.clone()
    }

    fn delay(&self) -> u32 {
        self.delay
    }

    fn push(&mut self, samples: &[f32]) -> Result<(), Error> {
        self.taken += (samples.len() / usize::from(self.channels).max(1)) as i64;
        feed(&mut self.child, samples)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.ended = true;
        self.child.close();
        Ok(())
    }

    fn pull(&mut self, id: TrackId) -> Result<Option<Packet>, Error> {
        loop {
            let next = match self.child.read()? {
                Some(Found::Track { .. }) => continue,
                Some(Found::Packet { data, .. }) => Some(data),
                None if self.ended => None,
                None => return Ok(None),
            };
            let last = next.is_none();
            let Some(data) = std::mem::replace(&mut self.held, next) else {
                if last {
                    return Ok(None);
                }
                continue;
            };
            // The last one ends with the last sample, and what lies behind that is not heard.
            let whole = self.length(&data);
            let left = if self.ended { self.taken + i64::from(self.delay) - self.given } else { whole };
            let duration = if last { left } else { left.min(whole) };
            if duration <= 0 {
                continue;
            }
            let pts = Timestamp::new(self.given - i64::from(self.delay));
            self.given += duration;
            return Ok(Some(Packet {
                track: id,
                pts,
                dts: pts,
                duration: Duration::new(duration.unsigned_abs()),
                key: true,
                data: data.into(),
                protection: None,
            }));
        }
    }
}
