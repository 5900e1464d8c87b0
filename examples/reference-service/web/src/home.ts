/** The library page. */

import { sentence, type Video } from './api';
import { h, keyed, setText } from './dom';
import { clock, date, left } from './format';
import type { Library } from './library';
import { liveStreams } from './live';
import { bar, rungs, updateRungs } from './progress';
import type { Uploads } from './upload';
import { workers } from './workers';

/** Shows the page; returns what ends it. */
export function home(main: HTMLElement, library: Library, uploads: Uploads): () => void {
  const grid = h('div', { class: 'grid' });
  const empty = h('p', { class: 'empty', hidden: true }, 'Nothing here yet. The first video that you upload appears here.');
  const more = h('button', { class: 'quiet more', hidden: true, onclick: () => void library.more() }, 'Show older videos');
  const force = workers();
  const live = liveStreams(library);
  main.replaceChildren(uploads.element, live.element, h('section', { 'aria-labelledby': 'library' }, h('h2', { id: 'library' }, 'Library'), grid, empty, more), force.element);
  document.title = 'StreamVerse';
  const draw = () => {
    keyed(grid, library.sorted(), (v) => `${v.id} ${shape(v)}`, card, update);
    empty.hidden = !library.loaded || library.videos.size > 0;
    more.hidden = library.next === null;
  };
  draw();
  library.addEventListener('change', draw);
  return () => {
    library.removeEventListener('change', draw);
    force.leave();
    live.leave();
  };
}

/** What decides which parts a card has; a card of another shape is made anew. */
function shape(video: Video): string {
  return `${video.state === 'queued' ? 'processing' : video.state} ${video.playback ? 'playable' : ''} ${video.protection ?? ''}`;
}

function card(video: Video): HTMLElement {
  const poster = video.playback?.poster;
  const blank = h('span', { class: 'blank', 'aria-hidden': 'true' });
  // The links of a page that was open for hours have expired.
  const picture = poster
    ? h('img', { src: poster, alt: '', loading: 'lazy', width: 640, height: 360, onerror: () => picture.replaceWith(blank) })
    : blank;
  const working = video.state === 'processing' || video.state === 'queued';
  return h(
    'article',
    { class: 'card', 'data-state': video.state, 'data-video': video.id },
    h(
      'a',
      { class: 'poster', href: `#/watch/${video.id}`, 'aria-label': `${video.playback ? 'Watch' : 'Show'} ${video.title}` },
      picture,
      video.protection && h('span', { class: 'badge shield', title: 'Encrypted' }, video.protection.toUpperCase()),
      video.duration_ms !== null && h('span', { class: 'badge length' }, clock(video.duration_ms)),
    ),
    h('h3', {}, h('a', { href: `#/watch/${video.id}`, tabindex: -1 }, video.title)),
    h('p', { class: 'fine state' }),
    working && bar(`Transcode of ${video.title}`),
    working && rungs(),
  );
}

function update(element: HTMLElement, video: Video): void {
  const state = element.querySelector('.state');
  if (state) setText(state, describe(video));
  element.dataset['state'] = video.state;
  if (!video.progress) return;
  const meter = element.querySelector<HTMLProgressElement>(':scope > progress');
  if (meter) meter.value = video.progress.percent;
  const list = element.querySelector<HTMLElement>('.rungs');
  if (list) updateRungs(list, video.progress);
}

/** Where a video stands, in a few words. */
export function describe(video: Video): string {
  switch (video.state) {
    case 'uploaded':
      return 'Uploaded, not transcoded';
    case 'queued':
      return 'Waiting for its turn';
    case 'processing': {
      const percent = Math.floor(video.progress?.percent ?? 0);
      return [`Transcoding, ${percent} %`, left(video.progress?.left_ms ?? null)].filter(Boolean).join(' · ');
    }
    case 'failed':
      return sentence(video.error?.detail ?? 'the transcode failed');
    case 'ready':
      return date(video.created_at);
  }
}
