//! A device for all of the work.

use crate::Error;

/// A device that decodes, scales and encodes. Clones are the same device.
///
/// Stages that are given the same one ([`decode::Options::device`](crate::decode::Options::device),
/// [`filter::Video::device`](crate::filter::Video::device),
/// [`encode::Video::device`](crate::encode::Video::device)) hand pictures on without copying them to
/// memory; a stage without it gets them in memory. What the device can't do, software does.
#[derive(Clone, Debug)]
pub struct Device {
    #[cfg(feature = "ffmpeg")]
    pub(crate) inner: sv_ffmpeg::Device,
    #[cfg(not(feature = "ffmpeg"))]
    nothing: std::convert::Infallible,
}

impl Device {
    /// Opens a device: `auto` for the first that encodes H.264, or a kind (`cuda`, `qsv`, `vaapi`,
    /// `videotoolbox`, `d3d11va`, `vulkan`), with a colon and its own name if it isn't the first of them:
    /// `vaapi:/dev/dri/renderD129`, `cuda:1`.
    ///
    /// # Errors
    /// [`Error::Incapable`], with the reason for each kind.
    #[cfg(feature = "ffmpeg")]
    pub fn open(name: &str) -> Result<Self, Error> {
        if name != "auto" {
            let (kind, own) = name.split_once(':').map_or((name, None), |(kind, own)| (kind, Some(own)));
            return match sv_ffmpeg::Device::open(kind, own) {
                Ok(inner) => Ok(Self { inner }),
                Err(error @ sv_ffmpeg::Error::Invalid(_)) => Err(error.into()),
                Err(error) => Err(cant(error.to_string())),
            };
        }
        let mut reasons = Vec::new();
        for kind in sv_ffmpeg::device::kinds() {
            match Self::open(kind) {
                Ok(device) if device.encoders().contains(&sv_core::Codec::H264) => return Ok(device),
                Ok(_) => reasons.push(format!("{kind} does not encode H.264")),
                Err(error) => reasons.push(error.to_string()),
            }
        }
        Err(cant(format!("no device encodes here: {}", reasons.join("; "))))
    }

    /// Opens a device.
    ///
    /// # Errors
    /// [`Error::Incapable`] always: this build has no devices.
    #[cfg(not(feature = "ffmpeg"))]
    pub fn open(name: &str) -> Result<Self, Error> {
        Err(Error::Incapable {
            what: format!("no device {name:?} can be used by this build"),
            hint: "build with the feature `ffmpeg`".into(),
        })
    }

    /// Its kind: `cuda`, `vaapi`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        #[cfg(feature = "ffmpeg")]
        return self.inner.kind();
        #[cfg(not(feature = "ffmpeg"))]
        match self.nothing {}
    }

    /// The codecs that it encodes, found by opening an encoder for each.
    #[must_use]
    pub fn encoders(&self) -> Vec<sv_core::Codec> {
        #[cfg(feature = "ffmpeg")]
        {
            use sv_core::Codec;
            let all = [Codec::H264, Codec::Hevc, Codec::Av1, Codec::Vp9];
            all.into_iter().filter(|codec| crate::backend::device::encodes(self, *codec)).collect()
        }
        #[cfg(not(feature = "ffmpeg"))]
        match self.nothing {}
    }
}

#[cfg(feature = "ffmpeg")]
fn cant(what: String) -> Error {
    Error::Incapable { what, hint: "see `sv doctor`, or let software do it".into() }
}
