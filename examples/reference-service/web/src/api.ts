/** The service, as this page sees it. The shapes are those of `/v1/openapi.json`. */

export type State = 'uploaded' | 'queued' | 'processing' | 'ready' | 'failed';
export type Protect = 'none' | 'cenc' | 'cbcs';

export interface Rung {
  name: string;
  percent: number;
  speed: number;
  left_ms: number | null;
}

export interface Progress {
  percent: number;
  left_ms: number | null;
  rungs: Rung[];
  reasons: string[];
  resumed_segments: number;
}

export interface Rendition {
  name: string;
  kind: string;
  codec: string;
  width: number | null;
  height: number | null;
  frame_rate: number | null;
  bandwidth: number;
  average_bandwidth: number;
  language: string | null;
  bytes: number;
}

export interface Playback {
  hls: string | null;
  dash: string | null;
  poster: string | null;
  plots: string[];
  license: string | null;
  expires_at: string;
}

export interface Options {
  ladder: 'auto' | 'fixed' | 'title';
  codecs: string[];
  segment_ms: number;
  protect: Protect;
  preset: 'fastest' | 'faster' | 'fast' | 'balanced' | 'best';
  crop: boolean;
  loudness: number | null;
  keep_audio: ('ac3' | 'eac3')[];
  film_grain: boolean;
  core_seconds: number | null;
  strict: boolean;
}

export interface Video {
  id: string;
  title: string;
  filename: string;
  size: number;
  state: State;
  created_at: string;
  options: Options;
  progress: Progress | null;
  error: { code: string; detail: string } | null;
  duration_ms: number | null;
  renditions: Rendition[];
  reasons: string[];
  warnings: string[];
  protection: string | null;
  playback: Playback | null;
}

export interface Workforce {
  queued: number;
  running: number;
  retries: number;
  workers: { name: string; remote: boolean; busy: boolean; finished: number; silent_ms: number }[];
  chunks: { video_id: string; waiting: number; running: number; done: number; retries: number }[];
}

/** Where a live stream is sent to, by protocol. */
export interface Addresses {
  rtmp: string | null;
  srt: string | null;
  whip: string;
  rtsp: string | null;
}

export interface Recording {
  name: string;
  started_at: string;
  duration_ms: number;
  bytes: number;
  on_air: boolean;
  link: string;
  parts: { name: string; bytes: number; link: string }[];
}

export interface Live {
  id: string;
  title: string;
  state: 'waiting' | 'live' | 'ended';
  created_at: string;
  started_at: string | null;
  stopped_at: string | null;
  ingest: Addresses & { key?: string; with_key?: Addresses };
  recording: { keep_hours: number; part_minutes: number } | null;
  playback: { hls: string; dash: string; picture: string } | null;
  health: {
    good: boolean;
    wrong: string[];
    drift_ms: number | null;
    tracks: { codec: string; bitrate: number; rate: number; key_interval_s: number | null; jumps: number }[];
  } | null;
}

export type Happening =
  | { type: 'live.stream.started' | 'live.stream.changed'; data: Live }
  | { type: 'live.stream.ended'; data: Live & { reason: string } }
  | { type: 'live.health.changed'; data: { live_id: string; good: boolean; wrong: string[] } }
  | { type: 'live.recording.started' | 'live.recording.ended' | 'live.deleted'; data: { live_id: string } }
  | { type: 'live.recording.failed'; data: { live_id: string; reason: string } }
  | { type: 'video.uploaded' | 'video.transcoding.complete'; data: Video }
  | { type: 'video.transcoding.progress'; data: Progress & { video_id: string } }
  | { type: 'video.failed'; data: { video_id: string; error: { code: string; detail: string } } }
  | { type: 'video.deleted'; data: { video_id: string } };

/** What the service said no with: one sentence. */
export class Refusal extends Error {
  constructor(
    sentence: string,
    readonly code: string,
  ) {
    super(sentence);
  }
}

async function call(path: string, init?: RequestInit): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, init);
  } catch {
    throw new Refusal('The service does not answer. Is it running?', 'unreachable');
  }
  if (answer.ok) return answer;
  const problem = (await answer.json().catch(() => ({}))) as { detail?: string; code?: string };
  throw new Refusal(sentence(problem.detail ?? `The service answered ${answer.status}`), problem.code ?? 'unknown');
}

/** Problems come in lower case and without a full stop, so that they can stand anywhere. A name at the beginning stays as it is. */
export function sentence(text: string): string {
  const first = /^[a-z']+(?=[\s,])/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
  return first + (/[.!?]$/.test(text) ? '' : '.');
}

export async function listVideos(before?: string): Promise<{ videos: Video[]; next: string | null }> {
  return (await call(`/v1/videos${before ? `?before=${encodeURIComponent(before)}` : ''}`)).json();
}

export async function getVideo(id: string): Promise<Video> {
  return (await call(`/v1/videos/${encodeURIComponent(id)}`)).json();
}

export async function deleteVideo(id: string): Promise<void> {
  await call(`/v1/videos/${encodeURIComponent(id)}`, { method: 'DELETE' });
}

export async function transcode(id: string, options: Partial<Options>): Promise<Video> {
  const body = JSON.stringify(options);
  const headers = { 'content-type': 'application/json' };
  return (await call(`/v1/videos/${encodeURIComponent(id)}/transcode`, { method: 'POST', headers, body })).json();
}

export async function listLive(): Promise<Live[]> {
  return ((await (await call('/v1/live')).json()) as { lives: Live[] }).lives;
}

export async function getLive(id: string): Promise<Live> {
  return (await call(`/v1/live/${encodeURIComponent(id)}`)).json();
}

/** Makes a live stream. Its key is in this answer alone. */
export async function startLive(wanted: { title: string; record: boolean }): Promise<Live> {
  const headers = { 'content-type': 'application/json' };
  return (await call('/v1/live/start', { method: 'POST', headers, body: JSON.stringify(wanted) })).json();
}

export async function listRecordings(id: string): Promise<Recording[]> {
  const answer = await call(`/v1/live/${encodeURIComponent(id)}/recordings`);
  return ((await answer.json()) as { recordings: Recording[] }).recordings;
}

/** Makes a video of a recording; times are seconds of it. */
export async function publishLive(id: string, wanted: { recording?: string; from?: number; to?: number }): Promise<Video> {
  const headers = { 'content-type': 'application/json' };
  return (await call(`/v1/live/${encodeURIComponent(id)}/publish`, { method: 'POST', headers, body: JSON.stringify(wanted) })).json();
}

export async function stopLive(id: string): Promise<Live> {
  return (await call(`/v1/live/${encodeURIComponent(id)}/stop`, { method: 'POST' })).json();
}

export async function renewLiveKey(id: string): Promise<Live> {
  return (await call(`/v1/live/${encodeURIComponent(id)}/key`, { method: 'POST' })).json();
}

export async function deleteLive(id: string): Promise<void> {
  await call(`/v1/live/${encodeURIComponent(id)}`, { method: 'DELETE' });
}
