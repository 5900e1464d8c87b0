//! Packetised elementary streams (2.4.3.6), and time stamps that wrap around.

use sv_codec::{BitReader, Reader};

/// The header of a PES packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) pts: Option<u64>,
    pub(super) dts: Option<u64>,
    /// Where its payload begins.
    pub(super) payload: usize,
    /// Bytes from the packet's first to behind its last, where it says.
    pub(super) end: Option<usize>,
}

impl Header {
    /// Reads a header; `None` where it is none, is not whole yet, or is of a stream without times.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut r = Reader::new("the PES header", bytes);
        if r.u24().ok()? != 1 {
            return None;
        }
        let stream = r.u8().ok()?;
        let length = usize::from(r.u16().ok()?);
        let end = (length > 0).then(|| length.saturating_add(6));
        // Padding, private stream 2, ECM, EMM, program maps and directories have no further header.
        if matches!(stream, 0xBC | 0xBE | 0xBF | 0xF0 | 0xF1 | 0xF2 | 0xF8 | 0xFF) {
            return Some(Self { pts: None, dts: None, payload: 6, end });
        }
        r.skip(1).ok()?;
        let flags = r.u8().ok()?;
        let size = usize::from(r.u8().ok()?);
        let fields = r.take(size).ok()?;
        let pts = (flags & 0x80 != 0).then(|| time_stamp(fields.get(..5)?)).flatten();
        let dts = (flags & 0xC0 == 0xC0).then(|| time_stamp(fields.get(5..10)?)).flatten();
        Some(Self { pts, dts, payload: r.pos(), end })
    }
}

/// 33 bits in three pieces with marker bits between.
fn time_stamp(bytes: &[u8]) -> Option<u64> {
    let mut r = BitReader::new("the time stamp", bytes);
    r.skip(4).ok()?;
    let mut value = 0;
    for bits in [3, 15, 15u32] {
        value = u64::wrapping_shl(value, bits) | r.bits64(bits).ok()?;
        r.skip(1).ok()?;
    }
    Some(value)
}

/// Turns 33-bit times into times that never wrap: each is taken to be the one nearest to the one
/// before it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    last: Option<i64>,
}

impl Clock {
    /// The last time.
    pub(super) const fn last(self) -> Option<i64> {
        self.last
    }

    pub(super) fn unwrap(&mut self, raw: u64) -> i64 {
        const WRAP: i64 = 1 << 33;
        let raw = i64::try_from(raw).unwrap_or(0);
        let value = match self.last {
            None => raw,
            Some(last) => {
                let ahead = raw.saturating_sub(last).rem_euclid(WRAP);
                let step = if ahead >= WRAP / 2 { ahead.saturating_sub(WRAP) } else { ahead };
                last.saturating_add(step)
            }
        };
        self.last = Some(value);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_wrap_both_ways() {
        let mut clock = Clock::default();
        let near_end = (1 << 33) - 100;
        assert_eq!(clock.unwrap(near_end), near_end as i64);
        assert_eq!(clock.unwrap(50), near_end as i64 + 150);
        assert_eq!(clock.unwrap(near_end), near_end as i64);
    }
}
