/** The player: an engine of the viewer's choice, qualities, and what happens inside. */

import type { Playback } from './api';
import { choice } from './choice';
import { announce, h, setText } from './dom';
import { ENGINES, type Choosable, type Engine } from './engines';
import { bitrate } from './format';

const REMEMBERED = 'streamverse.engine';

export class Player {
  readonly element: HTMLElement;
  private readonly video: HTMLVideoElement;
  private readonly quality: HTMLSelectElement;
  private readonly overlay = h('dl', { class: 'stats', hidden: true, 'aria-label': 'Statistics' });
  private readonly problem = h('p', { class: 'problem', role: 'alert', hidden: true });
  private engine: Engine | null = null;
  private label = '';
  /** Counts loads, so that a slow one that was given up does not come back. */
  private turn = 0;
  private began = 0;
  private firstFrame: number | null = null;
  private readonly timer: number;

  constructor(
    title: string,
    private readonly playback: Playback,
  ) {
    this.video = h('video', {
      controls: true,
      playsinline: true,
      preload: 'auto',
      poster: playback.poster,
      'aria-label': title,
    });
    this.video.addEventListener('loadeddata', () => {
      this.firstFrame ??= performance.now() - this.began;
    });
    this.video.addEventListener('error', () => {
      this.fail(`The browser can't play this: ${this.video.error?.message || 'it does not say why'}.`);
    });
    this.quality = h('select', {
      id: 'quality',
      onchange: () => this.engine?.choose(this.quality.value === '' ? null : Number(this.quality.value)),
    });
    const possible = ENGINES.filter((e) => e.url(playback) !== null);
    const wanted = localStorage.getItem(REMEMBERED);
    const first = possible.find((e) => e.id === wanted) ?? possible[0];
    const engines = choice(
      'Engine',
      'engine',
      possible.map((e) => ({ value: e.id, label: e.label })),
      first?.id ?? '',
      (id) => {
        localStorage.setItem(REMEMBERED, id);
        const chosen = possible.find((e) => e.id === id);
        if (chosen) void this.load(chosen);
      },
    );
    const stats = h('button', { class: 'quiet', 'aria-pressed': 'false', onclick: () => this.toggle(stats) }, 'Statistics');
    this.element = h(
      'section',
      { class: 'player', 'aria-label': 'Player' },
      h('div', { class: 'screen' }, this.video, this.overlay, this.problem),
      h(
        'div',
        { class: 'controls' },
        engines,
        h('div', { class: 'field' }, h('label', { for: 'quality' }, 'Quality'), this.quality),
        stats,
      ),
    );
    this.timer = window.setInterval(() => this.draw(), 500);
    if (first) void this.load(first);
    else this.fail('This video has no stream that a browser can play.');
  }

  private async load(choosable: Choosable): Promise<void> {
    const turn = ++this.turn;
    const at = this.video.currentTime;
    const playing = !this.video.paused;
    await this.unload();
    if (turn !== this.turn) return;
    this.element.dataset['engine'] = choosable.id;
    this.label = choosable.label;
    this.problem.hidden = true;
    this.began = performance.now();
    this.firstFrame = null;
    this.video.addEventListener(
      'loadedmetadata',
      () => {
        if (at > 0) this.video.currentTime = at;
        if (playing) void this.video.play().catch(() => undefined);
      },
      { once: true },
    );
    const source = { url: choosable.url(this.playback) ?? '', license: this.playback.license };
    const current = () => turn === this.turn;
    try {
      const engine = await choosable.load(this.video, source, {
        levels: () => current() && queueMicrotask(() => this.fillQualities()),
        failed: (sentence) => current() && this.fail(sentence),
      });
      if (current()) this.engine = engine;
      else await engine.destroy();
      this.fillQualities();
    } catch (error) {
      if (current()) this.fail(`The player could not be loaded: ${String(error)}.`);
    }
  }

  private async unload(): Promise<void> {
    const engine = this.engine;
    this.engine = null;
    await engine?.destroy();
    this.fillQualities();
  }

  private fillQualities(): void {
    const levels = (this.engine?.levels() ?? []).sort((a, b) => b.bitrate - a.bitrate);
    const chosen = this.quality.value;
    this.quality.replaceChildren(
      h('option', { value: '' }, 'Automatic'),
      ...levels.map((l) => h('option', { value: l.id }, `${l.height}p · ${bitrate(l.bitrate)}`)),
    );
    this.quality.value = levels.some((l) => String(l.id) === chosen) ? chosen : '';
    this.quality.disabled = levels.length < 2;
  }

  private fail(sentence: string): void {
    this.element.dataset['failed'] = '';
    this.problem.textContent = sentence;
    this.problem.hidden = false;
    announce(sentence);
  }

  private toggle(button: HTMLButtonElement): void {
    this.overlay.hidden = !this.overlay.hidden;
    button.setAttribute('aria-pressed', String(!this.overlay.hidden));
    this.draw();
  }

  private draw(): void {
    if (this.overlay.hidden) return;
    const { video } = this;
    const { bitrate: rate = null, bandwidth = null, behind = null } = this.engine?.stats() ?? {};
    const frames = video.getVideoPlaybackQuality();
    const rows: [string, string][] = [
      ['Engine', this.label],
      ['Resolution', video.videoWidth ? `${video.videoWidth} × ${video.videoHeight}` : '–'],
      ['Bitrate', rate ? bitrate(rate) : '–'],
      ['Network', bandwidth ? bitrate(bandwidth) : '–'],
      ['Buffer', `${bufferAhead(video).toFixed(1)} s`],
      ['Dropped', `${frames.droppedVideoFrames} of ${frames.totalVideoFrames} frames`],
      ['Latency', this.firstFrame === null ? '–' : `${Math.round(this.firstFrame)} ms to the first frame`],
    ];
    if (behind !== null) rows.push(['Behind', `${behind.toFixed(1)} s behind live`]);
    if (this.overlay.childElementCount !== rows.length) {
      this.overlay.replaceChildren(...rows.map(([name]) => h('div', {}, h('dt', {}, name), h('dd'))));
    }
    rows.forEach(([, value], i) => {
      const cell = this.overlay.children[i]?.lastElementChild;
      if (cell) setText(cell, value);
    });
  }

  destroy(): void {
    this.turn += 1;
    clearInterval(this.timer);
    void this.unload();
  }
}

function bufferAhead(video: HTMLVideoElement): number {
  for (let i = 0; i < video.buffered.length; i++) {
    if (video.buffered.start(i) <= video.currentTime + 0.1 && video.currentTime <= video.buffered.end(i)) {
      return video.buffered.end(i) - video.currentTime;
    }
  }
  return 0;
}
