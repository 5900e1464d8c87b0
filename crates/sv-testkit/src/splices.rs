//! Splice information put into a transport stream that somebody else wrote: a stream more in its program map, and packets
//! with sections, as a multiplexer of a broadcaster puts them there.

/// The packet identifier of the splice information.
pub const PID: u16 = 0x1F5;

/// Bytes of `stream` with a stream of type 0x86, and each of `sections` in front of the first picture or sound whose time
/// stamp, in seconds of the stream's own clock, is not before its own. The stream's maps must each fit into a packet.
#[must_use]
pub fn insert(stream: &[u8], sections: &[(f64, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut left: Vec<&(f64, Vec<u8>)> = sections.iter().collect();
    let mut map = None;
    let mut counter = 0;
    for packet in stream.chunks_exact(188) {
        let pid = u16::from_be_bytes([packet[1] & 0x1F, packet[2]]);
        let start = packet[1] & 0x40 != 0;
        let begin = if packet[3] & 0x20 != 0 { 5 + usize::from(packet[4]) } else { 4 };
        if pid == 0 && start {
            let table = begin + 1 + usize::from(packet[begin]);
            map = Some(u16::from_be_bytes([packet[table + 10] & 0x1F, packet[table + 11]]));
        }
        if Some(pid) == map && start {
            // The programme is registered as one with splice information (ANSI/SCTE 35, 8.1).
            let [high, low] = PID.to_be_bytes();
            out.extend(mapped(packet, begin, b"\x05\x04CUEI", &[0x86, 0xE0 | high, low, 0xF0, 0]));
            continue;
        }
        if start
            && packet[3] & 0x10 != 0
            && packet[begin..].starts_with(&[0, 0, 1])
            && packet[begin + 7] & 0x80 != 0
        {
            let b = &packet[begin + 9..begin + 14];
            let pts = u64::from(b[0] >> 1 & 7) << 30
                | u64::from(b[1]) << 22
                | u64::from(b[2] >> 1) << 15
                | u64::from(b[3]) << 7
                | u64::from(b[4] >> 1);
            let now = pts as f64 / 90_000.0;
            while let Some((_, section)) = left.first().filter(|(at, _)| *at <= now) {
                out.extend(packets(section, &mut counter));
                left.remove(0);
            }
        }
        out.extend(packet);
    }
    out
}

/// Bytes of `stream` with `descriptors` of its programme. The stream's maps must each fit into a packet.
#[must_use]
pub fn describe(stream: &[u8], descriptors: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut map = None;
    for packet in stream.chunks_exact(188) {
        let pid = u16::from_be_bytes([packet[1] & 0x1F, packet[2]]);
        let start = packet[1] & 0x40 != 0;
        let begin = if packet[3] & 0x20 != 0 { 5 + usize::from(packet[4]) } else { 4 };
        if pid == 0 && start {
            let table = begin + 1 + usize::from(packet[begin]);
            map = Some(u16::from_be_bytes([packet[table + 10] & 0x1F, packet[table + 11]]));
        }
        match Some(pid) == map && start {
            true => out.extend(mapped(packet, begin, descriptors, &[])),
            false => out.extend(packet),
        }
    }
    out
}

/// The program map with descriptors of the programme, and a stream, in it.
fn mapped(packet: &[u8], begin: usize, descriptors: &[u8], stream: &[u8]) -> Vec<u8> {
    let table = begin + 1 + usize::from(packet[begin]);
    let length = usize::from(u16::from_be_bytes([packet[table + 1] & 15, packet[table + 2]]));
    let mut section = packet[table..table + 3 + length - 4].to_vec();
    let info = u16::from_be_bytes([section[10] & 15, section[11]]);
    section.splice(12..12, descriptors.iter().copied());
    let more = u16::try_from(descriptors.len()).unwrap();
    section[10..12].copy_from_slice(&(0xF000 | (info + more)).to_be_bytes());
    section.extend(stream);
    let length = u16::try_from(section.len() + 4 - 3).unwrap();
    section[1] = section[1] & 0xF0 | (length >> 8) as u8;
    section[2] = length as u8;
    section.extend(crc(&section).to_be_bytes());
    let mut out = packet[..table].to_vec();
    out.extend(section);
    assert!(out.len() <= 188, "the program map doesn't fit into its packet");
    out.resize(188, 0xFF);
    out
}

/// A section in packets.
fn packets(section: &[u8], counter: &mut u8) -> Vec<u8> {
    let mut out = Vec::new();
    let [high, low] = PID.to_be_bytes();
    let mut bytes = vec![0];
    bytes.extend(section);
    for (n, piece) in bytes.chunks(184).enumerate() {
        let start = if n == 0 { 0x40 } else { 0 };
        out.extend([0x47, start | high, low, 0x10 | *counter & 15]);
        *counter = counter.wrapping_add(1);
        out.extend(piece);
        out.resize(out.len().next_multiple_of(188), 0xFF);
    }
    out
}

/// The checksum of sections (ISO/IEC 13818-1, annex A).
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |mut crc, byte| {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            crc = crc << 1 ^ if crc >> 31 == 1 { 0x04C1_1DB7 } else { 0 };
        }
        crc
    })
}
