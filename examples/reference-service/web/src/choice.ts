/** Choices in a row: one of a few, or any of them. */

import { h } from './dom';

export interface Choice {
  value: string;
  label: string;
  hint?: string;
  disabled?: boolean;
}

/** A field set; `chosen` hears each change. */
export function choice(
  legend: string,
  name: string,
  choices: Choice[],
  value: string,
  chosen: (value: string) => void,
): HTMLFieldSetElement {
  const options = choices.map((c) =>
    h(
      'label',
      { title: c.hint },
      h('input', {
        type: 'radio',
        name,
        value: c.value,
        checked: c.value === value,
        disabled: c.disabled,
        onchange: () => chosen(c.value),
      }),
      h('span', {}, c.label),
    ),
  );
  return h('fieldset', { class: 'choice' }, h('legend', {}, legend), h('div', {}, ...options));
}

export interface Mark {
  label: string;
  hint: string;
  on: boolean;
  set: (on: boolean) => void;
}

/** A field set of which any may be chosen. */
export function marks(legend: string, all: Mark[]): HTMLFieldSetElement {
  const options = all.map((mark) => {
    const input = h('input', { type: 'checkbox', checked: mark.on });
    input.onchange = () => mark.set(input.checked);
    return h('label', { title: mark.hint }, input, h('span', {}, mark.label));
  });
  return h('fieldset', { class: 'choice' }, h('legend', {}, legend), h('div', {}, ...options));
}
