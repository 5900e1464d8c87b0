/** The page of one video: the player, what was made and why, and what can be done with it. */

import { deleteVideo, getVideo, transcode, Refusal, type Protect, type Video } from './api';
import { choice, marks } from './choice';
import { h, setText } from './dom';
import { bitrate, bytes, clock, date } from './format';
import { describe } from './home';
import type { Library } from './library';
import { Player } from './player';
import { bar, rungs, updateRungs } from './progress';

/** Shows the page; returns what ends it. */
export function watch(main: HTMLElement, library: Library, id: string): () => void {
  const title = h('h1', {}, ' ');
  const stage = h('div', { class: 'stage' });
  const work = h('div');
  const about = h('div', { class: 'about' });
  main.replaceChildren(h('a', { class: 'back', href: '#/' }, '← Library'), title, stage, work, about);

  let player: Player | null = null;
  let playing = '';
  let drawn = '';
  let ended = false;

  const draw = (video: Video) => {
    setText(title, video.title);
    document.title = `${video.title} · StreamVerse`;
    // The folder of a transcode; tokens differ with every answer and mean nothing.
    const version = (video.playback?.hls ?? video.playback?.dash ?? '').replace(/\/play\/[^/]+/, '');
    if (video.playback && version !== playing) {
      playing = version;
      player?.destroy();
      player = new Player(video.title, video.playback);
      stage.replaceChildren(player.element);
    }
    drawWork(work, video);
    const now = `${video.state} ${version} ${video.error?.detail ?? ''}`;
    if (now !== drawn) {
      drawn = now;
      about.replaceChildren(...facts(video), actions(video));
    }
  };
  const gone = (sentence: string) => {
    player?.destroy();
    player = null;
    document.title = 'StreamVerse';
    main.replaceChildren(
      h('a', { class: 'back', href: '#/' }, '← Library'),
      h('p', { class: 'notice', role: 'alert' }, sentence),
    );
  };
  const changed = () => {
    const video = library.videos.get(id);
    if (video) draw(video);
    else if (playing || drawn) gone('This video was deleted.');
  };
  library.addEventListener('change', changed);
  // Links in the library may be old; those of a fresh answer are good for hours.
  getVideo(id).then(
    (video) => !ended && library.put(video),
    (error: unknown) => !ended && gone(error instanceof Refusal && error.code === 'not_found' ? 'There is no such video.' : String(error)),
  );
  return () => {
    ended = true;
    library.removeEventListener('change', changed);
    player?.destroy();
  };
}

/** Progress of the transcode that waits or runs. */
function drawWork(work: HTMLElement, video: Video): void {
  if (!video.progress) {
    work.replaceChildren();
    if (video.state === 'failed') work.replaceChildren(h('p', { class: 'problem still', role: 'alert' }, describe(video)));
    return;
  }
  if (!work.querySelector('.rungs')) {
    work.replaceChildren(
      h(
        'section',
        { class: 'panel work', 'aria-label': 'Transcode' },
        h('h2', {}, ''),
        bar(`Transcode of ${video.title}`),
        rungs(),
        h('ul', { class: 'reasons' }),
      ),
    );
  }
  const heading = work.querySelector('h2');
  if (heading) setText(heading, describe(video));
  const meter = work.querySelector<HTMLProgressElement>('.work > progress');
  if (meter) meter.value = video.progress.percent;
  const list = work.querySelector<HTMLElement>('.rungs');
  if (list) updateRungs(list, video.progress);
  const why = work.querySelector('.reasons');
  if (why && why.childElementCount !== video.progress.reasons.length) {
    why.replaceChildren(...video.progress.reasons.map((r) => h('li', {}, r)));
  }
}

function facts(video: Video): HTMLElement[] {
  const sections: HTMLElement[] = [];
  if (video.renditions.length > 0) {
    const rows = video.renditions.map((r) =>
      h(
        'tr',
        {},
        h('th', { scope: 'row' }, r.name),
        h('td', {}, r.width && r.height ? `${r.width} × ${r.height}` : (r.language ?? '–')),
        h('td', {}, h('code', {}, r.codec)),
        h('td', { class: 'number' }, bitrate(r.average_bandwidth)),
        h('td', { class: 'number' }, bytes(r.bytes)),
      ),
    );
    const head = ['Rendition', 'Picture', 'Codec', 'Average', 'Stored'].map((t, i) =>
      h('th', { scope: 'col', class: i > 2 ? 'number' : null }, t),
    );
    sections.push(
      h(
        'section',
        { class: 'panel ladder', 'aria-labelledby': 'ladder' },
        h('h2', { id: 'ladder' }, 'The ladder'),
        h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-labelledby': 'ladder' }, h('table', {}, h('thead', {}, h('tr', {}, ...head)), h('tbody', {}, ...rows))),
        ...(video.playback?.plots ?? []).map((plot) => h('img', { class: 'plot', src: plot, alt: 'Quality for bits of every size that was tried, their hull, and the rungs on it', width: 860, height: 520, loading: 'lazy' })),
        video.reasons.length > 0 && h('h3', {}, 'Why these'),
        video.reasons.length > 0 && h('ul', { class: 'reasons' }, ...video.reasons.map((r) => h('li', {}, r))),
        video.warnings.length > 0 && h('h3', {}, 'Worth knowing'),
        video.warnings.length > 0 && h('ul', { class: 'reasons' }, ...video.warnings.map((w) => h('li', {}, w))),
      ),
    );
  }
  const rows: [string, string | Node][] = [
    ['File', `${video.filename}, ${bytes(video.size)}`],
    ['Uploaded', date(video.created_at)],
  ];
  if (video.duration_ms !== null) rows.push(['Length', clock(video.duration_ms)]);
  if (video.playback) rows.push(['Protection', video.protection ? `${video.protection} with ClearKey licences` : 'none']);
  if (video.playback?.hls) rows.push(['HLS', link(video.playback.hls)]);
  if (video.playback?.dash) rows.push(['DASH', link(video.playback.dash)]);
  if (video.playback) rows.push(['Links expire', date(video.playback.expires_at)]);
  sections.push(
    h(
      'section',
      { class: 'panel', 'aria-labelledby': 'details' },
      h('h2', { id: 'details' }, 'Details'),
      h('dl', { class: 'details' }, ...rows.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value)))),
    ),
  );
  return sections;
}

function link(path: string): HTMLElement {
  const url = new URL(path, location.href).href;
  const copy = h(
    'button',
    {
      class: 'quiet small',
      onclick: async () => {
        await navigator.clipboard.writeText(url);
        setText(copy, 'Copied');
        setTimeout(() => setText(copy, 'Copy link'), 1500);
      },
    },
    'Copy link',
  );
  return h('span', {}, h('code', {}, path.split('/').pop() ?? ''), ' ', copy);
}

function actions(video: Video): HTMLElement {
  const problem = h('p', { class: 'problem still', role: 'alert', hidden: true });
  const refused = (error: unknown) => {
    problem.textContent = error instanceof Error ? error.message : String(error);
    problem.hidden = false;
  };
  const wanted = { ...video.options };
  const again = h(
    'details',
    {},
    h('summary', {}, 'Transcode again'),
    h(
      'div',
      { class: 'again' },
      choice('Protection', 'again-protect', [{ value: 'none', label: 'None' }, { value: 'cenc', label: 'CENC' }, { value: 'cbcs', label: 'CBCS' }], wanted.protect, (v) => (wanted.protect = v as Protect)),
      choice('Ladder', 'again-ladder', [{ value: 'auto', label: 'For this video' }, { value: 'title', label: 'By trial (VMAF)' }, { value: 'fixed', label: 'Fixed' }], wanted.ladder, (v) => (wanted.ladder = v as typeof wanted.ladder)),
      choice('Effort', 'again-preset', [{ value: 'fast', label: 'Fast' }, { value: 'balanced', label: 'Balanced' }, { value: 'best', label: 'Best' }], wanted.preset, (v) => (wanted.preset = v as typeof wanted.preset)),
      choice('Loudness', 'again-loudness', [{ value: '', label: 'As it is' }, { value: '-23', label: '−23 LUFS', hint: 'Television (EBU R 128)' }, { value: '-16', label: '−16 LUFS', hint: 'Phones and podcasts' }], String(wanted.loudness ?? ''), (v) => (wanted.loudness = v ? Number(v) : null)),
      marks('Also', [
        { label: 'Cut black bars', hint: 'If there are any', on: wanted.crop, set: (on) => (wanted.crop = on) },
        { label: 'Keep Dolby sound', hint: 'AC-3 and E-AC-3 as they are, beside AAC', on: wanted.keep_audio.length > 0, set: (on) => (wanted.keep_audio = on ? ['ac3', 'eac3'] : []) },
        { label: 'Refuse damage', hint: 'Fail at the first damage in the original', on: wanted.strict, set: (on) => (wanted.strict = on) },
      ]),
      h(
        'button',
        { class: 'button', onclick: () => transcode(video.id, wanted).then(() => (again.open = false), refused) },
        'Transcode',
      ),
    ),
  );
  const sure = h(
    'dialog',
    { 'aria-labelledby': 'sure' },
    h('h2', { id: 'sure' }, 'Delete this video?'),
    h('p', {}, `“${video.title}” goes for good: the original, all renditions and keys.`),
    h(
      'div',
      { class: 'row' },
      h('button', { class: 'quiet', onclick: () => sure.close() }, 'Keep it'),
      h(
        'button',
        {
          class: 'button danger',
          onclick: () => {
            sure.close();
            deleteVideo(video.id).then(() => (location.hash = '#/'), refused);
          },
        },
        'Delete',
      ),
    ),
  );
  const busy = video.state === 'queued' || video.state === 'processing';
  return h(
    'section',
    { class: 'panel actions', 'aria-label': 'Actions' },
    !busy && again,
    h('button', { class: 'quiet danger', onclick: () => sure.showModal() }, 'Delete …'),
    sure,
    problem,
  );
}
