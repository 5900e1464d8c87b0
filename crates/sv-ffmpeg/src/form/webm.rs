//! Encryption of WebM ([WebM Encryption](https://www.webmproject.org/docs/webm-encryption/)), which FFmpeg leaves in its
//! packets: as Common Encryption's `cenc`, which covers the same bytes in the same way.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, Bytes};
use sv_core::{KeyId, Protection, SampleProtection, Scheme, Subsample};

/// What a track's key identifier, in FFmpeg's base64, says; `None` where it is none of ours.
pub(crate) fn protection(key_id: &str) -> Option<Protection> {
    let kid = STANDARD.decode(key_id).ok()?;
    Some(Protection {
        scheme: Scheme::Cenc,
        default_kid: KeyId(kid.try_into().ok()?),
        pattern: (0, 0),
        iv_size: 8,
        constant_iv: None,
        pssh: Vec::new(),
        clear_lead: false,
    })
}

/// A block's payload without what is said in front of it, and how it is encrypted; `None` where it breaks off.
pub(crate) fn split(mut block: Bytes) -> Option<(Bytes, Option<SampleProtection>)> {
    const ENCRYPTED: u8 = 1;
    const PARTITIONED: u8 = 2;
    let signal = block.try_get_u8().ok()?;
    if signal & ENCRYPTED == 0 {
        return Some((block, None));
    }
    let mut iv = [0; 16];
    block.try_copy_to_slice(&mut iv[..8]).ok()?;
    let mut subsamples = Vec::new();
    if signal & PARTITIONED != 0 {
        let count = block.try_get_u8().ok()?;
        let mut ends = Vec::with_capacity(count.into());
        for _ in 0..count {
            ends.push(block.try_get_u32().ok()?);
        }
        // Clear and encrypted by turns, beginning with clear; the last goes on to the end.
        let mut at = 0;
        let all = u32::try_from(block.len()).ok()?;
        for (n, end) in ends.into_iter().chain([all]).enumerate() {
            let length = end.checked_sub(at)?;
            at = end;
            run(&mut subsamples, length, n % 2 == 1);
        }
    }
    let subsamples: Arc<[Subsample]> = subsamples.into();
    Some((block, Some(SampleProtection { iv, subsamples, key: None })))
}

/// Adds bytes to the runs of a packet, whose clear parts have 16 bits.
fn run(out: &mut Vec<Subsample>, length: u32, encrypted: bool) {
    if encrypted {
        match out.last_mut() {
            Some(last) if last.protected == 0 => last.protected = length,
            _ => out.push(Subsample { clear: 0, protected: length }),
        }
        return;
    }
    let mut left = length;
    loop {
        let clear = u16::try_from(left).unwrap_or(u16::MAX);
        out.push(Subsample { clear, protected: 0 });
        left -= u32::from(clear);
        if left == 0 {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_the_specification() {
        assert_eq!(split(Bytes::from_static(&[0, 7, 8])), Some((Bytes::from_static(&[7, 8]), None)));
        let (data, how) = split(Bytes::from_static(&[1, 1, 2, 3, 4, 5, 6, 7, 8, 9])).unwrap();
        let how = how.unwrap();
        assert_eq!(
            (&data[..], &how.iv[..9], how.subsamples.len()),
            (&[9][..], &[1, 2, 3, 4, 5, 6, 7, 8, 0][..], 0)
        );
        // Two places: clear to 1, encrypted to 3, clear to the end.
        let parts = [3, 1, 2, 3, 4, 5, 6, 7, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 10, 11, 12, 13];
        let (data, how) = split(Bytes::copy_from_slice(&parts)).unwrap();
        let runs: Vec<_> = how.unwrap().subsamples.iter().map(|s| (s.clear, s.protected)).collect();
        assert_eq!((&data[..], runs), (&[10, 11, 12, 13][..], vec![(1, 2), (1, 0)]));
        assert_eq!(split(Bytes::from_static(&[1, 1, 2])), None);
        let beyond = [3, 1, 2, 3, 4, 5, 6, 7, 8, 1, 0, 0, 0, 9, 10];
        assert_eq!(split(Bytes::copy_from_slice(&beyond)), None);
    }
}
