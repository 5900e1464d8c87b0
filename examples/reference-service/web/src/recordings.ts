/** What is recorded of a live stream: to download, whole or a stretch of it, and to make a video of. */

import { listRecordings, publishLive, type Live, type Recording } from './api';
import { h, keyed, setText } from './dom';
import { bytes, clock, date, seconds } from './format';

/** A panel that shows recordings of a stream; `draw` looks for them anew. */
export function recordings(id: string): { element: HTMLElement; draw: (live: Live) => Promise<void> } {
  const kept = h('p', { class: 'fine' });
  const list = h('ul', { class: 'recordings' });
  const problem = h('p', { class: 'problem still', role: 'alert', hidden: true });
  const element = h('section', { class: 'panel', 'aria-labelledby': 'recordings', hidden: true }, h('h2', { id: 'recordings' }, 'Recordings'), kept, list, problem);
  const say = (text: string) => {
    setText(problem, text);
    problem.hidden = !text;
  };
  const row = (recording: Recording): HTMLElement => {
    const at = (name: string, label: string, placeholder: string) =>
      h('input', { type: 'text', name, 'aria-label': label, placeholder, size: 6, autocomplete: 'off', inputmode: 'decimal' });
    const [from, to] = [at('from', 'From, in minutes and seconds', '0:00'), at('to', 'To, in minutes and seconds', 'end')];
    const stretch = (): { from?: number; to?: number } | null => {
      const [a, b] = [seconds(from.value), seconds(to.value)];
      if (a === null || b === null || (b !== undefined && (a ?? 0) >= b)) {
        say('From and to are times such as 1:05 or 65.2, the first one before the second.');
        return null;
      }
      say('');
      return { ...(a !== undefined && { from: a }), ...(b !== undefined && { to: b }) };
    };
    const download = () => {
      const wanted = stretch();
      if (!wanted) return;
      const query = new URLSearchParams(Object.entries(wanted).map(([name, value]) => [name, String(value)])).toString();
      h('a', { href: query ? `${recording.link}?${query}` : recording.link, download: '' }).click();
    };
    const publish = h(
      'button',
      {
        class: 'quiet',
        onclick: () => {
          const wanted = stretch();
          if (!wanted) return;
          publish.disabled = true;
          publishLive(id, { recording: recording.name, ...wanted }).then(
            (video) => (location.hash = `#/watch/${video.id}`),
            (error: unknown) => {
              publish.disabled = false;
              say(error instanceof Error ? error.message : String(error));
            },
          );
        },
      },
      'Make a video',
    );
    return h(
      'li',
      {},
      h('span', { class: 'name' }, date(recording.started_at)),
      h('span', { class: 'figures' }),
      h('span', { class: 'deeds' }, h('span', { class: 'stretch' }, from, ' – ', to), h('button', { class: 'quiet', onclick: download }, 'Download'), publish),
    );
  };
  const update = (li: HTMLElement, recording: Recording) => {
    const figures = li.querySelector('.figures');
    if (figures) setText(figures, `${clock(recording.duration_ms)} · ${bytes(recording.bytes)}${recording.on_air ? ' · on air' : ''}`);
  };
  const draw = async (live: Live) => {
    element.hidden = !live.recording;
    if (!live.recording) return;
    const all = await listRecordings(id);
    setText(kept, `${all.length ? 'Kept' : 'Nothing yet. What comes is kept'} for ${days(live.recording.keep_hours)}. Times cut a stretch out of one.`);
    keyed(list, all, (r) => r.name, row, update);
  };
  return { element, draw };
}

function days(hours: number): string {
  const [n, unit] = hours % 24 ? [hours, 'hour'] : [hours / 24, 'day'];
  return n === 1 ? `a${unit === 'hour' ? 'n' : ''} ${unit}` : `${n} ${unit}s`;
}
