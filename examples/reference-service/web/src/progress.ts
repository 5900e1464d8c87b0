/** Bars: for uploads, for a whole transcode, and for each of its rungs. */

import type { Progress, Rung } from './api';
import { h, keyed, setText } from './dom';
import { left, speed } from './format';

/** A bar from 0 to 100 with a name for those who can't see it. */
export function bar(label: string): HTMLProgressElement {
  return h('progress', { max: 100, value: 0, 'aria-label': label });
}

/** The rungs of a ladder, each with percentage, speed and time left. */
export function rungs(): HTMLUListElement {
  return h('ul', { class: 'rungs', 'aria-label': 'Progress of each rendition' });
}

export function updateRungs(list: HTMLElement, progress: Progress): void {
  keyed(
    list,
    progress.rungs,
    (rung) => rung.name,
    (rung) =>
      h('li', {}, h('span', { class: 'name' }, rung.name), bar(rung.name), h('span', { class: 'figures' })),
    (element, rung) => {
      const meter = element.querySelector('progress');
      if (meter) meter.value = rung.percent;
      const figures = element.querySelector('.figures');
      if (figures) setText(figures, figuresOf(rung));
      element.toggleAttribute('data-done', rung.percent >= 100);
    },
  );
}

function figuresOf(rung: Rung): string {
  if (rung.percent >= 100) return 'done';
  if (rung.percent <= 0 && rung.speed <= 0) return 'waiting';
  return [`${Math.floor(rung.percent)} %`, speed(rung.speed), left(rung.left_ms)].filter(Boolean).join(' · ');
}
