/** Players behind one face. Each is a chunk of its own that comes when somebody chooses it. */

import type { Playback } from '../api';

/** One quality that can be chosen. */
export interface Level {
  id: number;
  height: number;
  bitrate: number;
}

/** What an engine tells while it plays. */
export interface Stats {
  /** Bits per second of the quality that plays. */
  bitrate: number | null;
  /** Bits per second that the network seems to carry. */
  bandwidth: number | null;
  /** Seconds behind what is live. */
  behind: number | null;
}

/** A player that is loaded. */
export interface Engine {
  levels(): Level[];
  /** `null` lets the engine choose. */
  choose(id: number | null): void;
  stats(): Stats;
  destroy(): Promise<void> | void;
}

/** What an engine calls back. */
export interface Listener {
  /** The list of qualities is known, or changed. */
  levels(): void;
  /** It can't go on: one sentence. */
  failed(sentence: string): void;
}

export interface Source {
  url: string;
  /** Where ClearKey licences are to be had, if the video is protected. */
  license: string | null;
}

type Load = (video: HTMLVideoElement, source: Source, listener: Listener) => Promise<Engine>;

/** An engine that a viewer may choose. */
export interface Choosable {
  id: string;
  label: string;
  url(playback: Playback): string | null;
  load: Load;
}

export const ENGINES: Choosable[] = [
  { id: 'hls.js', label: 'HLS · hls.js', url: (p) => p.hls, load: async (...a) => (await import('./hls')).load(...a) },
  { id: 'dash.js', label: 'DASH · dash.js', url: (p) => p.dash, load: async (...a) => (await import('./dash')).load(...a) },
  { id: 'shaka-dash', label: 'DASH · Shaka', url: (p) => p.dash, load: async (...a) => (await import('./shaka')).load(...a) },
  { id: 'shaka-hls', label: 'HLS · Shaka', url: (p) => p.hls, load: async (...a) => (await import('./shaka')).load(...a) },
];
