//! Protection system specific headers: the `pssh` box of ISO/IEC 23001-7, section 8.1.

use bytes::Bytes;
use sv_core::KeyId;

use crate::Error;

/// The [common system](https://www.w3.org/TR/eme-initdata-cenc/#common-system) of W3C: a list of
/// key ids that every browser's ClearKey reads.
pub const COMMON: [u8; 16] =
    [0x10, 0x77, 0xef, 0xec, 0xc0, 0xb2, 0x4d, 0x02, 0xac, 0xe3, 0x3c, 0x1e, 0x52, 0xe2, 0xfb, 0x4b];

/// ClearKey as DASH-IF names it; carries no data.
pub const CLEARKEY: [u8; 16] =
    [0xe2, 0x71, 0x9d, 0x58, 0xa9, 0x85, 0xb3, 0xc9, 0x78, 0x1a, 0xb0, 0x30, 0xaf, 0x78, 0xd3, 0x0e];

/// A `pssh` box, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pssh {
    /// Which key system it is for.
    pub system: [u8; 16],
    /// The keys it is about (version 1); empty in version 0.
    pub kids: Vec<KeyId>,
    /// What only the key system understands.
    pub data: Bytes,
}

impl Pssh {
    /// The W3C common header that lists `kids`: all that ClearKey needs.
    #[must_use]
    pub fn common(kids: &[KeyId]) -> Self {
        Self { system: COMMON, kids: kids.to_vec(), data: Bytes::new() }
    }

    /// The whole box: version 1 with key ids, version 0 without.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let kids =
            if self.kids.is_empty() { 0 } else { self.kids.len().saturating_mul(16).saturating_add(4) };
        let size = 32_usize.saturating_add(kids).saturating_add(self.data.len());
        let mut out = Vec::with_capacity(size);
        out.extend_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(b"pssh");
        out.extend_from_slice(&[u8::from(!self.kids.is_empty()), 0, 0, 0]);
        out.extend_from_slice(&self.system);
        if !self.kids.is_empty() {
            out.extend_from_slice(&u32::try_from(self.kids.len()).unwrap_or(u32::MAX).to_be_bytes());
            for kid in &self.kids {
                out.extend_from_slice(&kid.0);
            }
        }
        out.extend_from_slice(&u32::try_from(self.data.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(&self.data);
        Bytes::from(out)
    }

    /// Reads one whole box.
    ///
    /// # Errors
    /// [`Error::Pssh`] when a length does not fit or the version is unknown.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        const SHORT: Error = Error::Pssh("a length in it is larger than what remains");
        let (size, rest) = bytes.split_first_chunk::<4>().ok_or(SHORT)?;
        if usize::try_from(u32::from_be_bytes(*size)).ok() != Some(bytes.len()) {
            return Err(Error::Pssh("its size is not that of the data"));
        }
        let (name, rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        if name != b"pssh" {
            return Err(Error::Pssh("it is a box of another kind"));
        }
        let (head, rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        let (system, mut rest) = rest.split_first_chunk::<16>().ok_or(SHORT)?;
        let mut kids = Vec::new();
        match head.first() {
            Some(0) => {}
            Some(1) => {
                let (count, after) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
                let count = usize::try_from(u32::from_be_bytes(*count)).map_err(|_| SHORT)?;
                let bytes = count.checked_mul(16).ok_or(SHORT)?;
                let (list, after) = after.split_at_checked(bytes).ok_or(SHORT)?;
                kids.extend(list.chunks_exact(16).filter_map(|c| c.try_into().ok().map(KeyId)));
                rest = after;
            }
            _ => return Err(Error::Pssh("its version is unknown")),
        }
        let (len, data) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        if usize::try_from(u32::from_be_bytes(*len)).ok() != Some(data.len()) {
            return Err(SHORT);
        }
        Ok(Self { system: *system, kids, data: Bytes::copy_from_slice(data) })
    }
}

/// Takes apart whole boxes that stand one behind the other.
///
/// # Errors
/// [`Error::Pssh`] when there is none, or one of them is not valid.
pub fn split(bytes: &[u8]) -> Result<Vec<Bytes>, Error> {
    const SHORT: Error = Error::Pssh("a length in it is larger than what remains");
    let mut out = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() || out.is_empty() {
        let (size, _) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        let size = usize::try_from(u32::from_be_bytes(*size)).map_err(|_| SHORT)?;
        let (one, after) = rest.split_at_checked(size.max(8)).ok_or(SHORT)?;
        Pssh::parse(one)?;
        out.push(Bytes::copy_from_slice(one));
        rest = after;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn boxes_behind_each_other_are_split() {
        let one = Pssh { system: CLEARKEY, kids: Vec::new(), data: Bytes::new() }.to_bytes();
        let both = [&one[..], &Pssh::common(&[KeyId([1; 16])]).to_bytes()].concat();
        assert_eq!(split(&both).unwrap().concat(), both);
        for cut in [0, 3, 31, 40, both.len() - 1] {
            assert!(split(&both[..cut]).is_err());
        }
    }

    #[test]
    fn the_common_header_is_the_one_that_w3c_prints() {
        // The example of https://www.w3.org/TR/eme-initdata-cenc/#common-system, box by box.
        let kids = [
            KeyId::from_hex("30313233343536373839303132333435").unwrap(),
            KeyId::from_hex("41424344454647484940414243444546").unwrap(),
        ];
        let expected: Vec<u8> = [
            &[0u8, 0, 0, 0x44][..],
            b"pssh",
            &[1, 0, 0, 0],
            &[0x10, 0x77, 0xef, 0xec, 0xc0, 0xb2, 0x4d, 0x02, 0xac, 0xe3, 0x3c, 0x1e, 0x52, 0xe2, 0xfb, 0x4b],
            &[0, 0, 0, 2],
            b"0123456789012345",
            &kids[1].0,
            &[0, 0, 0, 0],
        ]
        .concat();
        assert_eq!(Pssh::common(&kids).to_bytes(), expected);
    }

    proptest! {
        #[test]
        fn round_trip(system: [u8; 16], kids: Vec<[u8; 16]>, data: Vec<u8>) {
            let pssh = Pssh { system, kids: kids.into_iter().map(KeyId).collect(), data: data.into() };
            prop_assert_eq!(Pssh::parse(&pssh.to_bytes()).unwrap(), pssh);
        }

        #[test]
        fn garbage_is_an_error(bytes: Vec<u8>) {
            let _ = Pssh::parse(&bytes);
        }
    }
}
