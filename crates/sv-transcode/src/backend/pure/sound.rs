//! AAC, MP3, FLAC, Vorbis and PCM by Symphonia.

use std::collections::VecDeque;

use sv_core::{AudioFrame, Codec, Frame, Packet, Track};
use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::well_known as id;
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::packet::PacketRef;
use symphonia::core::units;

use crate::Error;
use crate::backend::Decode;

pub(super) struct Decoder {
    decoder: Box<dyn AudioDecoder>,
    codec: Codec,
    ready: VecDeque<AudioFrame>,
}

fn codec_id(codec: Codec) -> Option<AudioCodecId> {
    Some(match codec {
        Codec::Aac => id::CODEC_ID_AAC,
        Codec::Mp3 => id::CODEC_ID_MP3,
        Codec::Flac => id::CODEC_ID_FLAC,
        Codec::Vorbis => id::CODEC_ID_VORBIS,
        Codec::Other("pcm_s16le") => id::CODEC_ID_PCM_S16LE,
        Codec::Other("pcm_s16be") => id::CODEC_ID_PCM_S16BE,
        Codec::Other("pcm_s24le") => id::CODEC_ID_PCM_S24LE,
        Codec::Other("pcm_s24be") => id::CODEC_ID_PCM_S24BE,
        Codec::Other("pcm_s32le") => id::CODEC_ID_PCM_S32LE,
        Codec::Other("pcm_f32le") => id::CODEC_ID_PCM_F32LE,
        _ => return None,
    })
}

impl Decoder {
    /// `None` when Symphonia has nothing for the codec, or not for this flavour of it.
    pub(super) fn open(track: &Track) -> Result<Option<Self>, Error> {
        let (Some(codec), Some(info)) = (codec_id(track.codec), track.audio()) else { return Ok(None) };
        let mut parameters = AudioCodecParameters::new();
        parameters.for_codec(codec).with_sample_rate(info.sample_rate);
        parameters.with_channels(Channels::Discrete(info.channels));
        let config = match track.codec {
            // The decoder wants STREAMINFO without the header of its block.
            Codec::Flac => track.config.get(4..38).unwrap_or(&track.config),
            _ => &track.config,
        };
        if !config.is_empty() {
            parameters.with_extra_data(config.into());
        }
        let options = AudioDecoderOptions::default().gapless(false);
        match symphonia::default::get_codecs().make_audio_decoder(&parameters, &options) {
            Ok(decoder) => Ok(Some(Self { decoder, codec: track.codec, ready: VecDeque::new() })),
            Err(error) => {
                tracing::debug!("symphonia: {error}");
                Ok(None)
            }
        }
    }
}

impl Decode for Decoder {
    fn push(&mut self, packet: &Packet) -> Result<(), Error> {
        let time = units::Timestamp::new(packet.pts.ticks());
        let length = units::Duration::new(packet.duration.ticks());
        let raw = PacketRef::new(packet.track.0, time, length, &packet.data);
        let decoded = self
            .decoder
            .decode_ref(&raw)
            .map_err(|error| Error::Damaged { codec: self.codec, reason: error.to_string() })?;
        let mut samples: Vec<f32> = Vec::new();
        decoded.copy_to_vec_interleaved(&mut samples);
        let channels = u16::try_from(decoded.spec().channels().count()).unwrap_or(0);
        if channels > 0 && !samples.is_empty() {
            let sample_rate = decoded.spec().rate();
            let samples = samples.into();
            self.ready.push_back(AudioFrame { pts: packet.pts, sample_rate, channels, samples });
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn pull(&mut self) -> Result<Option<Frame>, Error> {
        Ok(self.ready.pop_front().map(Frame::Audio))
    }
}
