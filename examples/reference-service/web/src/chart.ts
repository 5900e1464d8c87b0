/** A line of numbers over time. */

import { h, setText } from './dom';

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 240;
const HEIGHT = 56;
/** Numbers that are shown: one a second, so two minutes. */
const SHOWN = 120;

export interface Chart {
  element: HTMLElement;
  push(value: number | null): void;
}

/** A chart that grows to the right; `say` makes a text of a number. */
export function chart(label: string, say: (value: number) => string): Chart {
  const values: (number | null)[] = [];
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('role', 'img');
  const line = document.createElementNS(SVG, 'path');
  line.setAttribute('vector-effect', 'non-scaling-stroke');
  svg.append(line);
  const now = h('span', { class: 'figures' }, '–');
  const top = h('span', { class: 'top' });
  const element = h('figure', { class: 'chart' }, h('figcaption', {}, h('span', {}, label), now), h('div', {}, svg, top));
  return {
    element,
    push(value) {
      values.push(value);
      if (values.length > SHOWN) values.shift();
      const most = Math.max(...values.map((v) => v ?? 0));
      setText(now, value === null ? '–' : say(value));
      setText(top, most > 0 ? say(most) : '');
      svg.setAttribute('aria-label', `${label}: ${value === null ? 'nothing' : say(value)} now, ${say(most)} at most`);
      // A little air above the highest, and the newest at the right.
      const x = (i: number) => WIDTH - ((values.length - 1 - i) * WIDTH) / (SHOWN - 1);
      const y = (v: number) => HEIGHT - 2 - (most > 0 ? (v / most) * (HEIGHT - 10) : 0);
      let path = '';
      let pen = 'M';
      values.forEach((v, i) => {
        if (v === null) pen = 'M';
        else {
          path += `${pen}${x(i).toFixed(1)} ${y(v).toFixed(1)}`;
          pen = 'L';
        }
      });
      line.setAttribute('d', path);
    },
  };
}
