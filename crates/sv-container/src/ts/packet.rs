//! Transport packets (2.4.3): finding them in a run of bytes, and reading their headers.

use sv_codec::Reader;

/// What one packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) pid: u16,
    /// Whether a PES packet or section begins in it.
    pub(super) start: bool,
    pub(super) scrambled: bool,
    pub(super) counter: u8,
    /// Whether the stream itself says that its counters or clock jump here.
    pub(super) discontinuity: bool,
    /// `None` where there is none, which does not advance the counter.
    pub(super) payload: Option<&'a [u8]>,
}

impl<'a> Packet<'a> {
    /// Reads 188 bytes; `None` where they are no packet or are marked as damaged.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new("the transport packet", bytes);
        if r.u8().ok()? != 0x47 {
            return None;
        }
        let word = r.u16().ok()?;
        let flags = r.u8().ok()?;
        if word & 0x8000 != 0 {
            return None;
        }
        let mut discontinuity = false;
        if flags & 0x20 != 0 {
            let length = usize::from(r.u8().ok()?);
            let field = r.take(length).ok()?;
            discontinuity = field.first().is_some_and(|b| b & 0x80 != 0);
        }
        Some(Self {
            pid: word & 0x1FFF,
            start: word & 0x4000 != 0,
            scrambled: flags & 0xC0 != 0,
            counter: flags & 15,
            discontinuity,
            payload: (flags & 0x10 != 0).then(|| r.rest()),
        })
    }
}

/// Cuts bytes that come in pieces of any size into packets.
#[derive(Debug, Default)]
pub(super) struct Framer {
    buffer: Vec<u8>,
    size: Option<usize>,
    /// How often the sync byte was not where it should be.
    pub(super) losses: u64,
}

impl Framer {
    /// Takes bytes in and hands every whole packet to `each`; `last` when no more bytes come.
    pub(super) fn push<E>(
        &mut self,
        bytes: &[u8],
        last: bool,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.extend_from_slice(bytes);
        let mut pos = 0usize;
        let mut result = Ok(());
        while result.is_ok() {
            let rest = buffer.get(pos..).unwrap_or_default();
            let Some(size) = self.size else {
                match self.search(rest, last) {
                    Some(skip) => pos = pos.saturating_add(skip),
                    None => break,
                }
                continue;
            };
            let lead = if size == 192 { 4usize } else { 0 };
            // What follows the 188 bytes of a packet may be missing at the very end.
            let needed = if last { lead.saturating_add(188) } else { size };
            if rest.len() < needed {
                break;
            }
            let packet = rest.get(lead..lead.saturating_add(188)).unwrap_or_default();
            if packet.first() == Some(&0x47) {
                result = each(packet);
                pos = pos.saturating_add(size.min(rest.len()));
            } else {
                self.size = None;
                self.losses = self.losses.saturating_add(1);
            }
        }
        buffer.drain(..pos.min(buffer.len()));
        self.buffer = buffer;
        result
    }

    /// Looks for packets, and says how many bytes to pass over; `None` when more are needed.
    fn search(&mut self, rest: &[u8], last: bool) -> Option<usize> {
        // Five packets of the longest form.
        const ENOUGH: usize = 1024;
        let starts = if last { rest.len() } else { rest.len().checked_sub(ENOUGH)?.saturating_add(1) };
        for at in 0..starts {
            if let Some(size) = super::packet_size(rest.get(at..).unwrap_or_default()) {
                self.size = Some(size);
                return Some(at);
            }
        }
        (!last).then_some(starts)
    }
}
