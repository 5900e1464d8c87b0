//! Which bytes of a sample are protected: ISO/IEC 23001-7, section 9.5, and the rules of each codec.

use sv_codec::{av1, h264, hevc, nal, sample_aes, vp9};
use sv_core::{Codec, Scheme, Subsample, Track};

use crate::Error;

/// Finds protected ranges in the samples of one track.
pub(super) enum Ranges {
    /// NAL units with length prefixes: headers stay clear so that players can parse them.
    Units {
        /// Bytes of each length.
        length_size: u8,
        /// Knows where slice headers end.
        slices: Slices,
    },
    /// Everything but the tiles stays clear.
    Av1(Box<av1::Tiles>),
    /// The uncompressed header of each frame stays clear, and the index of a superframe.
    Vp9(vp9::Headers),
    /// Sound, and VP8, for which the schemes have no rule: whole samples, no subsamples.
    Whole,
    /// What HLS's transport streams have of it; bytes of each unit's length.
    SampleAes(Codec, u8),
    /// Samples stay as they are: something else is encrypted.
    Nothing,
}

/// The parameter sets that say how long a slice's header is.
pub(super) enum Slices {
    H264(Box<h264::Slices>),
    Hevc(Box<hevc::Slices>),
}

impl Slices {
    /// Bytes of a slice's header, or `None` for a unit that is no slice; parameter sets are taken in.
    fn header_len(&mut self, unit: &[u8]) -> Result<Option<usize>, sv_codec::Error> {
        match self {
            Self::H264(slices) if h264::is_slice(unit) => slices.header_len(unit).map(Some),
            Self::Hevc(slices) if hevc::is_slice(unit) => slices.header_len(unit).map(Some),
            Self::H264(slices) => slices.parameter_set(unit).map(|()| None),
            Self::Hevc(slices) => slices.parameter_set(unit).map(|()| None),
        }
    }
}

pub(super) fn supports(codec: Codec, scheme: Scheme) -> bool {
    match scheme {
        Scheme::SampleAes => sample_aes::supports(codec),
        Scheme::Aes128 => true,
        _ => has_ranges(codec),
    }
}

fn has_ranges(codec: Codec) -> bool {
    matches!(
        codec,
        Codec::H264
            | Codec::Hevc
            | Codec::Av1
            | Codec::Vp8
            | Codec::Vp9
            | Codec::Aac
            | Codec::Opus
            | Codec::Ac3
            | Codec::Eac3
            | Codec::Ac4
            | Codec::DtsX
            | Codec::Flac
            | Codec::Alac
            | Codec::Iamf
            | Codec::Vorbis
            | Codec::Mp3
    )
}

impl Ranges {
    pub(super) fn new(track: &Track, scheme: Scheme) -> Result<Self, Error> {
        let bad = |reason| Error::Bitstream { track: track.id, dts: 0, reason };
        if !supports(track.codec, scheme) {
            return Err(Error::Codec { track: track.id, codec: track.codec });
        }
        match track.codec {
            _ if scheme == Scheme::Aes128 => Ok(Self::Nothing),
            codec if scheme == Scheme::SampleAes => {
                let length_size = match codec {
                    Codec::H264 => {
                        h264::Config::parse(&track.config)
                            .map_err(|_| bad("the track's avcC is not valid"))?
                            .length_size
                    }
                    _ => 0,
                };
                Ok(Self::SampleAes(codec, length_size))
            }
            Codec::H264 => {
                let config =
                    h264::Config::parse(&track.config).map_err(|_| bad("the track's avcC is not valid"))?;
                let slices = Slices::H264(Box::new(h264::Slices::new(&config)));
                Ok(Self::Units { length_size: config.length_size, slices })
            }
            Codec::Hevc => {
                let config =
                    hevc::Config::parse(&track.config).map_err(|_| bad("the track's hvcC is not valid"))?;
                let slices = Slices::Hevc(Box::new(hevc::Slices::new(&config)));
                Ok(Self::Units { length_size: config.length_size, slices })
            }
            Codec::Av1 => {
                let config =
                    av1::Config::parse(&track.config).map_err(|_| bad("the track's av1C is not valid"))?;
                Ok(Self::Av1(Box::new(av1::Tiles::new(&config))))
            }
            Codec::Vp9 => Ok(Self::Vp9(vp9::Headers::new())),
            _ => Ok(Self::Whole),
        }
    }

    /// The clear and protected runs of `sample`; none when it is protected as a whole.
    pub(super) fn map(&mut self, sample: &[u8], scheme: Scheme) -> Result<Vec<Subsample>, &'static str> {
        match self {
            Self::Units { length_size, slices } => units(sample, *length_size, slices, scheme),
            Self::Av1(tiles) => {
                let tiles = tiles.next(sample).map_err(|_| "an open bitstream unit in it is not valid")?;
                let mut runs = Runs::default();
                let mut at = 0usize;
                for tile in tiles {
                    // Counter mode takes whole blocks, which end where the tile does.
                    let protected = match scheme {
                        _ if tile.len() < 16 => 0,
                        Scheme::Cbcs => tile.len(),
                        _ => tile.len() & !15,
                    };
                    runs.push(tile.end.saturating_sub(at).saturating_sub(protected), protected);
                    at = tile.end;
                }
                runs.push(sample.len().saturating_sub(at), 0);
                runs.finish()
            }
            Self::Vp9(headers) => {
                let mut runs = Runs::default();
                let mut rest = sample.len();
                for frame in vp9::frames(sample) {
                    let header =
                        headers.header_len(frame).map_err(|_| "a frame header in it is not valid")?;
                    let protected = frame.len().saturating_sub(header) & !15;
                    runs.push(frame.len().saturating_sub(protected), protected);
                    rest = rest.saturating_sub(frame.len());
                }
                runs.push(rest, 0);
                runs.finish()
            }
            Self::SampleAes(codec, length_size) => sample_aes::subsamples(*codec, *length_size, sample)
                .map_err(|_| "its NAL units do not fill it"),
            Self::Whole | Self::Nothing => Ok(Vec::new()),
        }
    }
}

/// The runs of a sample of NAL units.
fn units(
    sample: &[u8],
    length_size: u8,
    slices: &mut Slices,
    scheme: Scheme,
) -> Result<Vec<Subsample>, &'static str> {
    let mut runs = Runs::default();
    for unit in nal::units(sample, length_size) {
        let unit = unit.map_err(|_| "its NAL units do not fill it")?.data;
        let whole = unit.len().saturating_add(usize::from(length_size));
        let header =
            slices.header_len(unit).map_err(|_| "a slice header or parameter set in it is not valid")?;
        let Some(header) = header else {
            runs.push(whole, 0);
            continue;
        };
        let body = unit.len().saturating_sub(header);
        // Counter mode protects whole blocks only, and chained mode leaves a rest clear itself.
        let protected = match scheme {
            Scheme::Cbcs => body,
            _ => body & !15,
        };
        runs.push(whole.saturating_sub(protected), protected);
    }
    runs.finish()
}

/// Collects runs into subsamples, whose clear part has only 16 bits.
#[derive(Default)]
struct Runs {
    out: Vec<Subsample>,
    clear: usize,
    overflow: bool,
}

impl Runs {
    fn push(&mut self, clear: usize, protected: usize) {
        self.clear = self.clear.saturating_add(clear);
        if protected > 0 {
            match u32::try_from(protected) {
                Ok(protected) => self.emit(protected),
                Err(_) => self.overflow = true,
            }
        }
    }

    fn emit(&mut self, protected: u32) {
        while let Some(rest) = self.clear.checked_sub(usize::from(u16::MAX)).filter(|rest| *rest > 0) {
            self.out.push(Subsample { clear: u16::MAX, protected: 0 });
            self.clear = rest;
        }
        self.out.push(Subsample { clear: u16::try_from(self.clear).unwrap_or(u16::MAX), protected });
        self.clear = 0;
    }

    fn finish(mut self) -> Result<Vec<Subsample>, &'static str> {
        if self.clear > 0 {
            self.emit(0);
        }
        if self.overflow || self.out.len() > usize::from(u16::MAX) {
            return Err("it has more protected ranges than a senc box can hold");
        }
        Ok(self.out)
    }
}
