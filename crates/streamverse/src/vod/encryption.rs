//! What is encrypted, when, and with which keys.

use std::time::Duration;

use sv_core::{Bytes, Grid, KeyId, Scheme, Track};
use sv_drm::cenc::{Config, Encryptor};
use sv_drm::pssh::Pssh;
use sv_drm::{Later, Rotation, Schedule};

use crate::Result;

/// Encryption of every rendition.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Encryption {
    /// How: `cenc`, `cens`, `cbc1` or `cbcs` in CMAF, SAMPLE-AES or AES-128 in transport streams.
    pub scheme: Scheme,
    /// One key for all, or one for each class of renditions; never shown by `Debug`.
    pub keys: sv_drm::Keys,
    /// Segments that begin before this on their grid stay clear, so that playing starts without a key.
    pub clear_lead: Duration,
    /// Take the next key after each such time; the keys say which.
    pub crypto_period: Option<Duration>,
    /// Where players get a key's 16 bytes (HLS, `KEYFORMAT="identity"`); `{kid}` in it stands for the key's name in
    /// hexadecimal. Transport streams need it.
    pub key_url: Option<String>,
    /// Whole `pssh` boxes to announce the keys with, instead of the W3C common header of each key.
    pub pssh: Option<Vec<Bytes>>,
    /// Whether `pssh` boxes stand in the stream too, and not only in the DASH manifest.
    pub pssh_in_stream: bool,
}

impl Encryption {
    /// Everything, all the time.
    #[must_use]
    pub fn new(scheme: Scheme, keys: sv_drm::Keys) -> Self {
        Self {
            scheme,
            keys,
            clear_lead: Duration::ZERO,
            crypto_period: None,
            key_url: None,
            pssh: None,
            pssh_in_stream: true,
        }
    }

    /// Refuses at once a track for which a key will be missing.
    pub(crate) fn check(&self, track: &Track) -> Result<()> {
        self.keys.of(track)?;
        let (Some(period), Some(length)) = (self.crypto_period, track.duration) else { return Ok(()) };
        let periods = length.to_std(track.time_base).as_nanos().div_ceil(period.as_nanos().max(1));
        let periods = usize::try_from(periods).unwrap_or(usize::MAX);
        match (0..periods).find(|n| self.keys.of_period(track, *n).is_none()) {
            Some(period) => Err(sv_drm::Error::NoPeriod { track: track.id, period }.into()),
            None => Ok(()),
        }
    }

    /// Which segments of a track are clear, and under which key the others are: from when on, in order. A segment counts by
    /// where its cell of the grid begins. Empty where all are under one key.
    #[cfg(feature = "live")]
    pub(crate) fn turns(&self, track: &Track) -> Vec<(Duration, Option<KeyId>)> {
        if self.clear_lead.is_zero() && self.crypto_period.is_none() {
            return Vec::new();
        }
        let lead = self.clear_lead;
        let mut out = if lead.is_zero() { Vec::new() } else { vec![(Duration::ZERO, None)] };
        let keys = (0..).map_while(|period| self.keys.of_period(track, period));
        let mut begin = Duration::ZERO;
        for (kid, _) in keys {
            let end = self.crypto_period.and_then(|period| begin.checked_add(period));
            if end.is_none_or(|end| end > lead) {
                out.push((begin.max(lead), Some(kid)));
            }
            let Some(end) = end else { break };
            begin = end;
        }
        out
    }

    fn pssh(&self, kid: KeyId) -> Vec<Bytes> {
        self.pssh.clone().unwrap_or_else(|| vec![Pssh::common(&[kid]).to_bytes()])
    }

    /// For a track that is cut on this grid.
    pub(crate) fn encryptor(
        &self,
        track: &Track,
        grid: Grid,
        iv: [u8; 16],
        first_sample: u64,
    ) -> Result<Encryptor> {
        let (kid, key) = self.keys.of(track)?;
        let (scheme, key, pssh) = (self.scheme, key.clone(), self.pssh(kid));
        let encryptor = Encryptor::new(Config { scheme, kid, key, iv, first_sample, pssh });
        if self.clear_lead.is_zero() && self.crypto_period.is_none() {
            return Ok(encryptor);
        }
        // Boxes that were given say of all keys what there is to say, once.
        let announced = self.pssh_in_stream && self.pssh.is_none();
        let later = |n| {
            let (kid, key) = self.keys.of_period(track, n)?;
            let pssh = if announced { self.pssh(kid) } else { Vec::new() };
            Some(Later { kid, key: key.clone(), pssh })
        };
        let rotation =
            self.crypto_period.map(|period| Rotation { period, later: (1..).map_while(later).collect() });
        let clear_lead = self.clear_lead;
        Ok(encryptor.schedule(Schedule { grid, clear_lead, rotation }))
    }
}
