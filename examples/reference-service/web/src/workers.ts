/** Who works on what: shown while anything is in the queue. */

import type { Workforce } from './api';
import { h, keyed, setText } from './dom';

/** How often the service is asked, in milliseconds. */
const PAUSE = 2000;

/** Shows the section and keeps it up to date; returns what ends it. */
export function workers(): { element: HTMLElement; leave: () => void } {
  const line = h('p', { class: 'fine' });
  const list = h('ul', { class: 'workers' });
  const element = h('section', { 'aria-labelledby': 'workers', hidden: true }, h('h2', { id: 'workers' }, 'Workers'), line, list);
  let over = false;
  let timer = 0;
  const draw = (force: Workforce) => {
    const chunks = force.chunks.reduce((sum, c) => sum + c.waiting + c.running, 0);
    element.hidden = force.queued + force.running === 0 && force.workers.length === 0;
    const retries = force.retries + force.chunks.reduce((sum, c) => sum + c.retries, 0);
    setText(
      line,
      [
        `${count(force.running, 'video')} in work, ${force.queued} waiting`,
        force.chunks.length > 0 && `${count(chunks, 'chunk')} to go`,
        retries > 0 && count(retries, 'retry', 'retries'),
      ]
        .filter(Boolean)
        .join(' · '),
    );
    keyed(
      list,
      force.workers,
      (w) => w.name,
      () => h('li', {}, h('span', { class: 'name' }), h('span', { class: 'figures' })),
      (item, worker) => {
        item.dataset['busy'] = String(worker.busy);
        setText(item.children[0]!, worker.remote ? `${worker.name} (far)` : worker.name);
        const silent = worker.silent_ms > 15_000 ? `silent for ${Math.round(worker.silent_ms / 1000)} s` : worker.busy ? 'at work' : 'idle';
        setText(item.children[1]!, `${silent}, ${count(worker.finished, 'chunk')} done`);
      },
    );
  };
  const ask = async () => {
    try {
      // A tab that nobody looks at asks nothing.
      if (!document.hidden) {
        const answer = await fetch('/v1/workers');
        if (answer.ok && !over) draw((await answer.json()) as Workforce);
      }
    } catch {
      // The line at the top tells that the service is away.
    }
    if (!over) timer = window.setTimeout(() => void ask(), PAUSE);
  };
  void ask();
  return {
    element,
    leave: () => {
      over = true;
      clearTimeout(timer);
    },
  };
}

function count(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}
