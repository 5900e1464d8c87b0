// CEA-608 captions (CTA-608-E) put into the pictures of an H.264 byte stream that FFmpeg wrote: a message in front of the
// slice of each picture.

const odd = (byte) => {
  let ones = 0;
  for (let bit = 0; bit < 7; bit++) ones += (byte >> bit) & 1;
  return ones % 2 ? byte : byte | 0x80;
};

/** Codes are sent twice. */
const code = (a, b) => [[a, b], [a, b]];

function text(words) {
  const bytes = [...words].map((c) => c.charCodeAt(0));
  if (bytes.length % 2) bytes.push(0);
  return Array.from({ length: bytes.length / 2 }, (_, i) => [bytes[2 * i], bytes[2 * i + 1]]);
}

/** What each picture carries so that each of `words` pops on with a second of its own; the last is on its way in the last one. */
export function popped(words, rate) {
  const pairs = [];
  for (const next of [...words.slice(1), words[0]]) {
    // Loaded while the one before is shown, and swapped with the last picture's pair of codes, which arrive with the next second.
    const second = [...code(0x14, 0x20), ...code(0x14, 0x2e), ...code(0x14, 0x60), ...text(next)];
    if (second.length > rate - 1) throw new Error(`${next} has no room in a second`);
    while (second.length < rate - 1) second.push([0, 0]);
    pairs.push(...second, [0x14, 0x2f]);
  }
  return pairs;
}

/** The stream with a pair of bytes in each picture. */
export function captioned(stream, pairs) {
  const out = [];
  let picture = 0;
  for (const unit of units(stream)) {
    const type = unit[0] & 0x1f;
    if (type === 1 || type === 5) {
      // Neither is 0, so no start code comes about.
      const [a, b] = (pairs[picture++] ?? [0, 0]).map(odd);
      const t35 = [0xb5, 0, 0x31, ...Buffer.from('GA94'), 3, 0x41, 0xff, 0xfc, a, b, 0xff];
      out.push(Buffer.from([0, 0, 0, 1, 6, 4, t35.length, ...t35, 0x80]));
    }
    out.push(Buffer.from([0, 0, 0, 1]), unit);
  }
  return Buffer.concat(out);
}

/** Units of a byte stream (H.264, annex B), without start codes. */
function units(stream) {
  const starts = [];
  for (let at = stream.indexOf('000001', 0, 'hex'); at >= 0; at = stream.indexOf('000001', at + 3, 'hex')) starts.push(at + 3);
  return starts.map((start, i) => {
    let end = i + 1 < starts.length ? starts[i + 1] - 3 : stream.length;
    while (end > start && stream[end - 1] === 0) end--;
    return stream.subarray(start, end);
  });
}
