/** A choice of a few, as radio buttons in a row. */

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
