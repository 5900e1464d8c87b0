/** Uploads that survive a broken connection, a closed tab and a restart of the service: tus. */

import * as tus from 'tus-js-client';
import { sentence, type Protect } from './api';
import { choice } from './choice';
import { announce, h, setText } from './dom';
import { bytes, left } from './format';
import { bar } from './progress';

/** The place where files are dropped, and the list of those on their way. */
export class Uploads {
  private protect: Protect = 'none';
  private readonly running = h('ul', { class: 'uploads', 'aria-label': 'Uploads' });
  private readonly unfinished = h('div', { class: 'unfinished' });
  readonly element: HTMLElement;

  constructor() {
    const input = h('input', {
      type: 'file',
      id: 'file',
      class: 'sr',
      accept: 'video/*,.mkv,.ts,.mts,.avi,.mxf,.vob',
      multiple: true,
      onchange: () => {
        this.add([...(input.files ?? [])]);
        input.value = '';
      },
    });
    const zone = h(
      'div',
      { class: 'drop' },
      input,
      h('p', { class: 'lead' }, 'Drop a video here'),
      h('p', {}, 'or ', h('label', { for: 'file', class: 'button' }, 'choose a file')),
      h('p', { class: 'fine' }, 'Any size. If the connection breaks or the tab is closed, choose the file again and it goes on.'),
    );
    const over = (on: boolean) => (event: DragEvent) => {
      event.preventDefault();
      zone.toggleAttribute('data-over', on);
    };
    zone.addEventListener('dragenter', over(true));
    zone.addEventListener('dragover', over(true));
    zone.addEventListener('dragleave', over(false));
    zone.addEventListener('drop', (event) => {
      over(false)(event);
      this.add([...(event.dataTransfer?.files ?? [])]);
    });
    const protection = choice(
      'Protection',
      'protect',
      [
        { value: 'none', label: 'None', hint: 'Anybody with the link can watch and copy' },
        { value: 'cenc', label: 'CENC', hint: 'Encrypted with AES-CTR: most devices' },
        { value: 'cbcs', label: 'CBCS', hint: 'Encrypted with AES-CBC and a pattern: also Apple’s devices' },
      ],
      this.protect,
      (value) => (this.protect = value as Protect),
    );
    this.element = h(
      'section',
      { class: 'upload', 'aria-label': 'Upload' },
      zone,
      protection,
      this.unfinished,
      this.running,
    );
    void this.showUnfinished();
  }

  /** Tells of uploads that a closed tab left behind: the browser may not open the files by itself. */
  private async showUnfinished(): Promise<void> {
    const storage = tus.defaultOptions.urlStorage;
    const found = (await storage?.findAllUploads()) ?? [];
    this.unfinished.replaceChildren(
      ...found.map((upload) => {
        const name = upload.metadata['filename'] ?? 'a file';
        const forget = async () => {
          await storage?.removeUpload(upload.urlStorageKey);
          if (upload.uploadUrl) await tus.Upload.terminate(upload.uploadUrl).catch(() => undefined);
          await this.showUnfinished();
        };
        return h(
          'p',
          { class: 'notice' },
          h('span', {}, h('b', {}, name), ' did not arrive whole. Choose it again to go on where it stopped.'),
          h('button', { class: 'quiet', onclick: forget }, 'Forget it'),
        );
      }),
    );
  }

  private add(files: File[]): void {
    for (const file of files) this.running.append(this.start(file));
  }

  private start(file: File): HTMLLIElement {
    const meter = bar(`Upload of ${file.name}`);
    const figures = h('span', { class: 'figures', role: 'status' }, 'starting');
    const pause = h('button', { class: 'quiet' }, 'Pause');
    const cancel = h('button', { class: 'quiet' }, 'Cancel');
    const row = h(
      'li',
      {},
      h('span', { class: 'name' }, file.name),
      meter,
      figures,
      h('span', { class: 'actions' }, pause, cancel),
    );
    // Speed is that of the last seconds, as that is what somebody who waits wants to know.
    const marks: { at: number; sent: number }[] = [];
    let resumedAt = 0;
    const upload = new tus.Upload(file, {
      endpoint: '/v1/uploads',
      retryDelays: [0, 500, 1000, 2000, 4000, 8000, 8000, 8000, 8000, 8000],
      metadata: { filename: file.name, protect: this.protect },
      removeFingerprintOnSuccess: true,
      onProgress: (sent, total) => {
        const at = performance.now();
        marks.push({ at, sent });
        while (marks.length > 2 && at - (marks[0]?.at ?? 0) > 4000) marks.shift();
        const first = marks[0] ?? { at, sent };
        const rate = at > first.at ? ((sent - first.sent) / (at - first.at)) * 1000 : 0;
        meter.value = total ? (sent / total) * 100 : 100;
        const resumed = resumedAt > 0 ? `went on at ${bytes(resumedAt)} · ` : '';
        const wait = rate > 0 ? ` · ${bytes(rate)}/s · ${left(((total - sent) / rate) * 1000)}` : '';
        setText(figures, `${resumed}${bytes(sent)} of ${bytes(total)}${wait}`.replace(/ · $/, ''));
      },
      onShouldRetry: (error) => {
        const status = error.originalResponse?.getStatus() ?? 0;
        const again = status === 0 || status === 409 || status === 423 || status >= 500 && status !== 507;
        if (again) setText(figures, 'the connection broke; trying again');
        return again;
      },
      onSuccess: () => {
        announce(`${file.name} is uploaded.`);
        row.remove();
      },
      onError: (error) => {
        pause.hidden = true;
        setText(cancel, 'Dismiss');
        row.dataset['failed'] = '';
        setText(figures, reason(error));
        void this.showUnfinished();
      },
    });
    let paused = false;
    pause.addEventListener('click', () => {
      paused = !paused;
      setText(pause, paused ? 'Go on' : 'Pause');
      if (paused) void upload.abort().then(() => setText(figures, `paused at ${Math.floor(meter.value)} %`));
      else upload.start();
    });
    cancel.addEventListener('click', () => {
      row.remove();
      if (!('failed' in row.dataset)) void upload.abort(true).catch(() => undefined);
    });
    void upload.findPreviousUploads().then((previous) => {
      const last = previous.sort((a, b) => b.creationTime.localeCompare(a.creationTime))[0];
      if (last) {
        upload.resumeFromPreviousUpload(last);
        upload.options.onAfterResponse = (request, response) => {
          if (request.getMethod() === 'HEAD') resumedAt = Number(response.getHeader('upload-offset') ?? 0);
        };
        this.unfinished.replaceChildren();
        announce(`The upload of ${file.name} goes on where it stopped.`);
      }
      upload.start();
    });
    return row;
  }
}

/** What the service said, or what a broken connection means. */
function reason(error: Error | tus.DetailedError): string {
  const body = 'originalResponse' in error ? error.originalResponse?.getBody() : null;
  try {
    const problem = JSON.parse(body ?? '') as { detail?: string };
    if (problem.detail) return sentence(problem.detail);
  } catch {
    // No problem document: the connection is gone.
  }
  return 'The service does not answer. What has arrived is kept: choose the file again later.';
}
