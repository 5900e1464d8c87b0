/** Live streams on the library's page: what there is, and a way to begin one. */

import { listLive, startLive, type Live } from './api';
import { h, keyed, setText } from './dom';
import { bitrate } from './format';
import type { Library } from './library';
import { remember } from './studio';

/** How often the service is asked, in milliseconds. */
const PAUSE = 3000;

/** Shows the section and keeps it up to date; returns what ends it. */
export function liveStreams(library: Library): { element: HTMLElement; leave: () => void } {
  const grid = h('div', { class: 'grid' });
  const problem = h('p', { class: 'problem still', role: 'alert', hidden: true });
  const title = h('input', { id: 'live-title', type: 'text', maxlength: 200, placeholder: 'What is it called?', autocomplete: 'off' });
  const record = h('input', { type: 'checkbox' });
  const form = h(
    'form',
    {
      class: 'golive',
      onsubmit: (event: Event) => {
        event.preventDefault();
        startLive({ title: title.value, record: record.checked }).then(
          (live) => {
            remember(live);
            location.hash = `#/live/${live.id}`;
          },
          (error: unknown) => {
            problem.textContent = error instanceof Error ? error.message : String(error);
            problem.hidden = false;
          },
        );
      },
    },
    h('label', { class: 'sr', for: 'live-title' }, 'Title of the live stream'),
    title,
    h('label', { class: 'mark', title: 'What is sent is kept as it came: to download, to cut, and to make videos of' }, record, ' Record it'),
    h('button', { class: 'button', type: 'submit' }, 'Go live'),
  );
  const element = h('section', { 'aria-labelledby': 'livestreams' }, h('h2', { id: 'livestreams' }, 'Live'), form, problem, grid);
  let over = false;
  let timer = 0;
  const draw = (lives: Live[]) => keyed(grid, lives, (l) => `${l.id} ${l.state} ${l.playback ? 'playable' : ''}`, card, update);
  const ask = async () => {
    clearTimeout(timer);
    try {
      // A tab that nobody looks at asks nothing.
      if (!document.hidden) {
        const lives = await listLive();
        if (!over) draw(lives);
      }
    } catch {
      // The line at the top tells that the service is away.
    }
    if (!over) timer = window.setTimeout(() => void ask(), PAUSE);
  };
  const now = () => void ask();
  library.addEventListener('live', now);
  void ask();
  return {
    element,
    leave: () => {
      over = true;
      clearTimeout(timer);
      library.removeEventListener('live', now);
    },
  };
}

function card(live: Live): HTMLElement {
  const blank = h('span', { class: 'blank', 'aria-hidden': 'true' });
  const shows = live.state === 'live' && live.playback;
  const picture = shows
    ? h('img', { src: `${live.playback!.picture}?${Date.now()}`, alt: '', width: 640, height: 360, onerror: () => picture.replaceWith(blank) })
    : blank;
  return h(
    'article',
    { class: 'card', 'data-state': live.state, 'data-live': live.id },
    h('a', { class: 'poster', href: `#/live/${live.id}`, 'aria-label': `${live.playback ? 'Watch' : 'Show'} ${live.title}` }, picture, shows && h('span', { class: 'badge onair' }, 'LIVE')),
    h('h3', {}, h('a', { href: `#/live/${live.id}`, tabindex: -1 }, live.title)),
    h('p', { class: 'fine state' }),
  );
}

function update(element: HTMLElement, live: Live): void {
  const state = element.querySelector('.state');
  if (state) setText(state, describe(live));
  const picture = element.querySelector('img');
  // What it shows now comes with each look.
  if (picture?.complete && live.playback) picture.src = `${live.playback.picture}?${Date.now()}`;
}

/** Where a live stream stands, in a few words. */
export function describe(live: Live): string {
  if (live.state === 'waiting') return 'Nobody sends it at the moment';
  if (live.state === 'ended') return 'Ended';
  const { health } = live;
  if (!health) return 'Live';
  if (!health.good) return health.wrong[0] ?? 'Live';
  const bits = health.tracks.reduce((sum, t) => sum + t.bitrate, 0);
  return `${health.tracks.map((t) => t.codec).join(' + ')} · ${bitrate(bits)}`;
}
