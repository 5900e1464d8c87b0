/** The page of one live stream: what it shows, how well it comes, and how to send it. */

import { deleteLive, getLive, renewLiveKey, stopLive, Refusal, type Live } from './api';
import { Camera } from './camera';
import { chart } from './chart';
import { h, setText } from './dom';
import { bitrate, date } from './format';
import type { Library } from './library';
import { describe } from './live';
import { Player } from './player';
import { recordings } from './recordings';

/** How often the service is asked, in milliseconds. */
const PAUSE = 1000;

/** What is seen of a key. */
const HIDDEN = '••••••••';

/** Keys of streams that were made in this tab: the service tells each once. */
const keys = new Map<string, string>();

/** Keeps the key of a new stream for as long as the tab is open. */
export function remember(live: Live): void {
  if (live.ingest.key) keys.set(live.id, live.ingest.key);
}

/** Shows the page; returns what ends it. */
export function studio(main: HTMLElement, library: Library, id: string): () => void {
  const title = h('h1', {}, ' ');
  const badge = h('p', { class: 'fine state' });
  const stage = h('div', { class: 'stage' });
  const send = h('section', { class: 'panel', 'aria-labelledby': 'send' });
  const camera = new Camera();
  const recorded = recordings(id);
  const charts = {
    bits: chart('Bits', bitrate),
    rate: chart('Pictures', (v) => `${v.toFixed(1)} /s`),
    keys: chart('Key pictures', (v) => `every ${v.toFixed(1)} s`),
    drift: chart('Sound and pictures apart', (v) => `${Math.round(v)} ms`),
  };
  const verdict = h('ul', { class: 'reasons' });
  const tracks = h('p', { class: 'fine' });
  const health = h(
    'section',
    { class: 'panel ladder', 'aria-labelledby': 'health' },
    h('h2', { id: 'health' }, 'How well it comes'),
    verdict,
    h('div', { class: 'charts' }, ...Object.values(charts).map((c) => c.element)),
    tracks,
  );
  const problem = h('p', { class: 'problem still', role: 'alert', hidden: true });
  const actions = h('section', { class: 'panel actions', 'aria-label': 'Actions' });
  main.replaceChildren(h('a', { class: 'back', href: '#/' }, '← Library'), title, badge, stage, h('div', { class: 'about' }, health, send), recorded.element, actions, problem);

  let player: Player | null = null;
  let drawn = '';
  let over = false;
  let timer = 0;

  const refused = (error: unknown) => {
    problem.textContent = error instanceof Error ? error.message : String(error);
    problem.hidden = false;
  };

  const draw = (live: Live) => {
    setText(title, live.title);
    document.title = `${live.title} · StreamVerse`;
    setText(badge, describe(live));
    badge.dataset['state'] = live.state;
    if (live.playback && !player) {
      const { hls, dash, picture } = live.playback;
      player = new Player(live.title, { hls, dash, poster: live.state === 'live' ? picture : null, plots: [], license: null, expires_at: '' });
      stage.replaceChildren(player.element);
    }
    const report = live.health;
    const pictures = report?.tracks.find((t) => t.key_interval_s !== null) ?? report?.tracks[0];
    charts.bits.push(report ? report.tracks.reduce((sum, t) => sum + t.bitrate, 0) : null);
    charts.rate.push(pictures?.rate ?? null);
    charts.keys.push(pictures?.key_interval_s ?? null);
    charts.drift.push(report && report.drift_ms !== null ? Math.abs(report.drift_ms) : null);
    const wrong = report ? (report.good ? ['all is well'] : report.wrong) : [live.state === 'ended' ? 'it has ended' : 'nobody sends it at the moment'];
    if (wrong.join() !== [...verdict.children].map((c) => c.textContent).join()) {
      verdict.replaceChildren(...wrong.map((w) => h('li', { 'data-wrong': report?.good === false }, w)));
    }
    setText(tracks, (report?.tracks ?? []).map((t) => `${t.codec} ${bitrate(t.bitrate)}`).join(' · '));
    camera.update(live.ingest.whip, keys.get(id), live.state === 'waiting');
    const now = `${live.state === 'ended'} ${live.state === 'live'} ${keys.get(id) ?? ''}`;
    if (now !== drawn) {
      drawn = now;
      send.replaceChildren(...sending(live, camera));
      actions.replaceChildren(...deeds(live));
    }
  };

  const deeds = (live: Live): HTMLElement[] => {
    if (live.state === 'ended') {
      const gone = () => {
        // Nothing here asks for what is about to go.
        over = true;
        deleteLive(id).then(
          () => (location.hash = '#/'),
          (error: unknown) => {
            over = false;
            refused(error);
            void ask();
          },
        );
      };
      return [h('span', { class: 'fine' }, live.stopped_at ? `Ended ${date(live.stopped_at)}` : ''), h('button', { class: 'quiet danger', onclick: gone }, 'Delete')];
    }
    const renew = () =>
      renewLiveKey(id).then((l) => {
        remember(l);
        draw(l);
      }, refused);
    return [
      h('button', { class: 'quiet', onclick: renew, title: 'Whoever sends with the old key is sent away' }, 'New key'),
      h('button', { class: 'quiet danger', onclick: () => stopLive(id).then(draw, refused) }, 'End stream'),
    ];
  };

  const ask = async () => {
    clearTimeout(timer);
    if (over) return;
    try {
      const live = await getLive(id);
      if (!over) draw(live);
      if (!over) await recorded.draw(live);
    } catch (error) {
      if (!over && error instanceof Refusal && error.code === 'not_found') {
        player?.destroy();
        player = null;
        main.replaceChildren(h('a', { class: 'back', href: '#/' }, '← Library'), h('p', { class: 'notice', role: 'alert' }, 'There is no such live stream.'));
        return;
      }
    }
    if (!over) timer = window.setTimeout(() => void ask(), PAUSE);
  };
  const now = () => void ask();
  library.addEventListener('live', now);
  void ask();
  return () => {
    over = true;
    clearTimeout(timer);
    library.removeEventListener('live', now);
    camera.destroy();
    player?.destroy();
  };
}

/** How the stream is sent: from here, or by an encoder. */
function sending(live: Live, camera: Camera): HTMLElement[] {
  const heading = h('h2', { id: 'send' }, 'Send it');
  if (live.state === 'ended') return [heading, h('p', { class: 'fine' }, 'It was ended for good: nobody can send it any more.')];
  const { rtmp, srt, whip, rtsp } = live.ingest;
  // An address that means any of the machine's is reached as this page is.
  const reached = (url: string) => url.replace(/\/\/(0\.0\.0\.0|\[::\])/, `//${location.hostname}`);
  const key = keys.get(live.id);
  // Where encoders want one address, the key stands in it.
  const row = (name: string, server: string, between = '') =>
    [name, between && key ? copied(`${server}${between}${key}`, name, `${server}${between}${HIDDEN}`) : copied(server, name)] as const;
  const rows: (readonly [string, Node])[] = [
    ...(rtmp ? [row('RTMP', reached(rtmp))] : []),
    ...(srt ? [row('SRT', reached(srt), '?streamid=')] : []),
    row('WHIP', new URL(whip, location.href).href),
    ...(rtsp ? [row('RTSP', reached(rtsp), '/')] : []),
    ['Key', key ? copied(key, 'Key', HIDDEN, true) : h('span', { class: 'fine' }, 'It was told when the stream was made. “New key” makes another.')],
  ];
  return [
    heading,
    camera.element,
    h('dl', { class: 'details send' }, ...rows.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value)))),
    h('p', { class: 'fine' }, 'In OBS: Settings → Stream → Custom, or WHIP with the key as bearer token. Key pictures every 2 s make players start soon.'),
  ];
}

/** A text that can be copied; `looks` is what is seen of it, until it is asked for if it can be. */
function copied(text: string, what: string, looks = text, ask = false): HTMLElement {
  const shown = h('code', {}, looks);
  const copy = h(
    'button',
    {
      class: 'quiet small',
      'data-copies': what,
      onclick: async () => {
        await navigator.clipboard.writeText(text).catch(() => setText(shown, text));
        setText(copy, 'Copied');
        setTimeout(() => setText(copy, 'Copy'), 1500);
      },
    },
    'Copy',
  );
  const show = ask && h('button', { class: 'quiet small', onclick: () => setText(shown, text) }, 'Show');
  return h('span', { class: 'copied' }, shown, ' ', copy, show && ' ', show);
}
