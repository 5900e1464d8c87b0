// Splice information (ANSI/SCTE 35) put into a transport stream that FFmpeg wrote: a stream more in its program map, and a
// packet in front of the picture at which each cue is to be heard of.

const PID = 0x1f5;

function crc(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte << 24;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
  }
  const out = Buffer.alloc(4);
  out.writeUInt32BE(crc >>> 0);
  return out;
}

function sealed(section) {
  section.writeUInt16BE((section.readUInt16BE(1) & 0xf000) | (section.length + 1), 1);
  return Buffer.concat([section, crc(section)]);
}

/** A `splice_insert` at `at` seconds of the stream's clock. */
function insert(event, out, at, length) {
  const time = (seconds, flags) => {
    const bytes = Buffer.alloc(5);
    bytes.writeUInt8(flags | 0x7e);
    bytes.writeUInt32BE(Math.round(seconds * 90_000), 1);
    return bytes;
  };
  const id = Buffer.alloc(4);
  id.writeUInt32BE(event);
  const command = Buffer.concat([
    id,
    Buffer.from([0x7f, (out ? 0x80 : 0) | 0x40 | (length ? 0x20 : 0) | 0x0f]),
    time(at, 0x80),
    length ? time(length, 0) : Buffer.alloc(0),
    Buffer.from([0, 1, 0, 0]),
  ]);
  const head = Buffer.from([0xfc, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xf0, command.length, 5]);
  return sealed(Buffer.concat([head, command, Buffer.alloc(2)]));
}

/** `stream` with cues: `{ event, out, at, length, heard }`, times in seconds from its first picture or sound. */
export function spliced(stream, cues) {
  const out = [];
  let first;
  let map;
  let counter = 0;
  const left = [...cues];
  for (let at = 0; at + 188 <= stream.length; at += 188) {
    const packet = stream.subarray(at, at + 188);
    const pid = packet.readUInt16BE(1) & 0x1fff;
    const start = packet[1] & 0x40;
    const begin = packet[3] & 0x20 ? 5 + packet[4] : 4;
    const table = begin + 1 + packet[begin];
    if (start && pid === 0) map = packet.readUInt16BE(table + 10) & 0x1fff;
    if (start && pid === map) {
      const end = table + 3 + (packet.readUInt16BE(table + 1) & 0xfff) - 4;
      const section = sealed(Buffer.concat([packet.subarray(table, end), Buffer.from([0x86, 0xe0 | (PID >> 8), PID & 0xff, 0xf0, 0])]));
      out.push(packet.subarray(0, table), section, Buffer.alloc(188 - table - section.length, 0xff));
      continue;
    }
    if (start && packet.readUIntBE(begin, 3) === 1 && packet[begin + 7] & 0x80) {
      const b = packet.subarray(begin + 9);
      const now = ((b[0] & 14) * 2 ** 29 + (b[1] << 22) + ((b[2] & 254) << 14) + (b[3] << 7) + (b[4] >> 1)) / 90_000;
      first ??= now;
      for (; left.length && first + left[0].heard <= now; left.shift()) {
        const { event, out: leaves, at, length } = left[0];
        const section = insert(event, leaves, first + at, length);
        const head = Buffer.from([0x47, 0x40 | (PID >> 8), PID & 0xff, 0x10 | (counter++ & 15), 0]);
        out.push(head, section, Buffer.alloc(188 - head.length - section.length, 0xff));
      }
    }
    out.push(packet);
  }
  return Buffer.concat(out);
}
