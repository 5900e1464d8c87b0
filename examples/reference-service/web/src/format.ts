/** Numbers as people read them. */

export function bytes(n: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) {
    n /= 1000;
    unit += 1;
  }
  return `${unit === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[unit] ?? ''}`;
}

export function bitrate(bitsPerSecond: number): string {
  return bitsPerSecond >= 1e6 ? `${(bitsPerSecond / 1e6).toFixed(1)} Mbit/s` : `${Math.round(bitsPerSecond / 1e3)} kbit/s`;
}

/** `1:02:03` or `2:03`. */
export function clock(ms: number): string {
  const s = Math.round(ms / 1000);
  const parts = [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60];
  if (parts[0] === 0) parts.shift();
  return parts.map((n, i) => (i === 0 ? String(n) : String(n).padStart(2, '0'))).join(':');
}

/** Seconds of `65.2`, `1:05` or `1:02:03`; nothing of nothing, and `null` of anything else. */
export function seconds(text: string): number | null | undefined {
  if (!text.trim()) return undefined;
  if (!/^\s*(\d+:){0,2}\d+([.,]\d+)?\s*$/.test(text)) return null;
  return text.replace(',', '.').split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
}

/** `12 s left`, `3 min left`. */
export function left(ms: number | null): string {
  if (ms === null) return '';
  const s = Math.ceil(ms / 1000);
  if (s < 1) return '';
  if (s < 90) return `${s} s left`;
  return s < 5400 ? `${Math.round(s / 60)} min left` : `${(s / 3600).toFixed(1)} h left`;
}

export function speed(times: number): string {
  return times > 0 ? `${times < 10 ? times.toFixed(1) : Math.round(times)}× real time` : '';
}

export function date(rfc3339: string): string {
  return new Date(rfc3339).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
}
