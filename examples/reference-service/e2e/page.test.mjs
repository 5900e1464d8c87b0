// The page, from a stranger's first upload to the last delete, in a real browser.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CLIP, CORPUS, LOAD, SKIP, Service, launch, open, picture, plays, sha256, slow, synthesise, turned, until } from './harness.mjs';

const MINUTES = 60_000;

describe('the page', { skip: SKIP, timeout: 12 * MINUTES }, () => {
  let service;
  let browser;

  before(async () => {
    service = await new Service().start();
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    await service?.stop();
  });

  /** Uploads through the page and returns the video once it can be watched. */
  async function upload(page, protect, file = CLIP) {
    const known = new Set((await service.get('/v1/videos')).videos.map((v) => v.id));
    await page.locator(`input[name=protect][value=${protect}]`).check({ force: true });
    await page.locator('#file').setInputFiles(file);
    const video = await until(async () => {
      const fresh = (await service.get('/v1/videos')).videos.find((v) => !known.has(v.id));
      return fresh && ['ready', 'failed'].includes(fresh.state) && fresh;
    }, 'the transcode');
    assert.equal(video.state, 'ready', video.error?.detail);
    return video;
  }

  async function watch(page, id) {
    await page.goto(`${service.url}/#/watch/${id}`);
    await page.locator('video').waitFor();
  }

  test('a first visit: upload, progress, playback, in light and dark, wide and narrow', async () => {
    const page = await open(browser, service);
    await picture(page, 'empty-light');
    const network = await slow(page, CLIP, 9);
    await page.locator('#file').setInputFiles(CLIP);
    const meter = page.locator('.uploads progress');
    await page.waitForFunction(() => document.querySelector('.uploads progress')?.value > 40);
    await picture(page, 'upload-light');
    await page.emulateMedia({ colorScheme: 'dark' });
    await picture(page, 'upload-dark');
    await page.setViewportSize({ width: 375, height: 760 });
    await picture(page, 'upload-phone-dark');
    await network.full();
    await meter.waitFor({ state: 'detached', timeout: MINUTES });

    const card = page.locator('.card').first();
    await card.locator('.rungs li').first().waitFor({ timeout: MINUTES });
    await page.waitForFunction(() =>
      [...document.querySelectorAll('.rungs .figures')].some((f) => /\d+ % · .*× real time/.test(f.textContent)),
      undefined,
      { timeout: 2 * MINUTES },
    );
    await picture(page, 'progress-phone-dark', { fullPage: true });
    await page.emulateMedia({ colorScheme: 'light' });
    await page.setViewportSize({ width: 1280, height: 860 });
    await picture(page, 'progress-light');
    await page.locator('.card[data-state=ready]').waitFor({ timeout: 5 * MINUTES });
    await page.locator('.card .poster img').evaluate((img) => img.decode());
    await picture(page, 'library-light');

    await page.locator('.card .poster').first().click();
    const end = await plays(page, 'hls.js');
    assert.ok(end.time > 5 && !end.error && !end.problem, JSON.stringify(end));
    await page.getByRole('button', { name: 'Statistics' }).click();
    await page.waitForFunction(() => /\d+ × \d+/.test(document.querySelector('.stats')?.textContent ?? ''));
    for (const [scheme, width, height] of [['light', 1280, 1100], ['dark', 1280, 1100], ['light', 375, 900], ['dark', 375, 900]]) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.setViewportSize({ width, height });
      await picture(page, `watch-${width < 500 ? 'phone-' : ''}${scheme}`, { fullPage: true });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `the page is ${overflow} pixels too wide at ${width}`);
    }
    const choices = await page.locator('#quality option').allTextContents();
    assert.ok(choices.length >= 2 && choices[0] === 'Automatic', choices.join());
    assert.ok((await page.locator('.reasons li').count()) > 0, 'the page does not say why');
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });

  const engines = ['hls.js', 'dash.js', 'shaka-dash', 'shaka-hls'];
  for (const protect of ['none', 'cenc', 'cbcs']) {
    describe(protect === 'none' ? 'in the clear' : `protected by ${protect}`, () => {
      let video;

      test('is uploaded and transcoded', { timeout: 6 * MINUTES }, async () => {
        const page = await open(browser, service);
        // The first visit left one in the clear.
        const { videos } = await service.get('/v1/videos');
        video = videos.find((v) => v.state === 'ready' && v.options.protect === protect) ?? (await upload(page, protect));
        assert.equal(video.protection, protect === 'none' ? null : protect);
        await page.context().close();
      });

      for (const engine of engines) {
        test(`plays in ${engine}`, { timeout: MINUTES }, async () => {
          const page = await open(browser, service);
          await watch(page, video.id);
          const end = await plays(page, engine);
          assert.equal(end.error, null);
          assert.equal(end.problem, null);
          assert.ok(end.time > 5, `it stopped at ${end.time} s`);
          assert.ok(end.frames > 50, `${end.frames} frames`);
          assert.deepEqual(page.problems, []);
          await page.context().close();
        });

        if (protect === 'none') continue;
        test(`does not play in ${engine} with a wrong key`, { timeout: MINUTES }, async () => {
          const page = await open(browser, service);
          let asked = 0;
          await page.route('**/v1/license/clearkey*', async (route) => {
            asked += 1;
            const answer = await route.fetch();
            const license = await answer.json();
            for (const key of license.keys) key.k = 'AAAAAAAAAAAAAAAAAAAAAA';
            await route.fulfill({ response: answer, json: license });
          });
          await watch(page, video.id);
          const end = await plays(page, engine);
          assert.ok(asked > 0, 'it never asked for a licence');
          assert.ok(end.error ?? end.problem, `it plays: ${JSON.stringify(end)}`);
          await page.context().close();
        });
      }
    });
  }

  describe('of every kind', () => {
    const h264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-c:a', 'aac'];
    const hdr10 =
      'colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:hdr10=1:max-cll=1000,400:' +
      'master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):log-level=error';
    const hevc = ['-c:v', 'libx265', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p10le', '-x265-params', hdr10];
    const kinds = {
      'interlaced MPEG-2': () => synthesise('tape.mpg', ['-vf', 'tinterlace=interleave_top', '-c:v', 'mpeg2video', '-flags', '+ilme+ildct', '-b:v', '4M', '-c:a', 'mp2']),
      'a telephone held upright': () => turned(synthesise('phone.mp4', h264)),
      'HEVC with HDR10': () => synthesise('hdr.mp4', [...hevc, '-tag:v', 'hvc1', '-c:a', 'aac']),
      'Matroska without sound': () => synthesise('mute.mkv', ['-an', ...h264.slice(0, -2)]),
      'an AVI': () => CORPUS && join(CORPUS, 'clips/pedestrians_576p10.avi'),
      'an MPEG program stream': () => CORPUS && join(CORPUS, 'clips/city_405p25.mpg'),
    };
    for (const [kind, make] of Object.entries(kinds)) {
      test(`${kind} plays`, { timeout: 4 * MINUTES }, async (t) => {
        const file = make();
        if (!file) return t.skip('skipped: no ffmpeg that makes such a file, or no STREAMVERSE_CORPUS');
        const page = await open(browser, service);
        const video = await upload(page, 'none', file);
        const { width, height } = video.renditions[0];
        assert.equal(height > width, kind.includes('upright'), `${width} × ${height}`);
        await watch(page, video.id);
        const end = await plays(page, 'hls.js');
        assert.ok(end.time > 5 && !end.error && !end.problem, JSON.stringify(end));
        assert.deepEqual(page.problems, []);
        await picture(page, `kind-${kind.replace(/[^a-z0-9]+/gi, '-')}`);
        await page.context().close();
        await discard(video.id);
      });
    }
  });

  test('an upload goes on after a kill -9 of the service', { timeout: 2 * MINUTES }, async () => {
    const page = await open(browser, service);
    const before = (await service.get('/v1/videos')).videos.length;
    const network = await slow(page, LOAD, 5);
    await page.locator('#file').setInputFiles(LOAD);
    await page.waitForFunction(() => document.querySelector('.uploads progress')?.value > 30);
    await service.kill();
    await page.getByText('the connection broke').waitFor();
    await service.start();
    await network.full();
    await page.locator('.uploads li').waitFor({ state: 'detached', timeout: MINUTES });
    const { videos } = await service.get('/v1/videos');
    assert.equal(videos.length, before + 1);
    await sameBytes();
    await discard(videos[0].id);
    await page.context().close();
  });

  test('an upload goes on after its tab was closed', { timeout: 2 * MINUTES }, async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(service.url);
    await slow(page, LOAD, 5);
    await page.locator('#file').setInputFiles(LOAD);
    await page.waitForFunction(() => document.querySelector('.uploads progress')?.value > 30);
    await page.close();

    const again = await context.newPage();
    await again.goto(service.url);
    await again.getByText('did not arrive whole').waitFor();
    await picture(again, 'resume-light');
    await slow(again, LOAD, 3);
    await again.locator('#file').setInputFiles(LOAD);
    await again.getByText('went on at').waitFor();
    await again.locator('.uploads li').waitFor({ state: 'detached', timeout: MINUTES });
    assert.equal(await again.getByText('did not arrive whole').count(), 0);
    await sameBytes();
    await discard((await service.get('/v1/videos')).videos[0].id);
    await context.close();
  });

  /** Nobody needs it transcoded. */
  async function discard(id) {
    assert.equal((await fetch(`${service.url}/v1/videos/${id}`, { method: 'DELETE' })).status, 204);
  }

  /** The newest original that the service holds is what was sent, byte for byte. */
  async function sameBytes() {
    const folder = join(service.data, 'uploads');
    const newest = readdirSync(folder).sort().pop();
    assert.equal(await sha256(join(folder, newest)), await sha256(LOAD));
  }

  test('what is no video is one sentence', { timeout: 2 * MINUTES }, async () => {
    const page = await open(browser, service);
    await page.locator('#file').setInputFiles({ name: 'letter.mp4', mimeType: 'video/mp4', buffer: Buffer.from('Dear Sir, '.repeat(500)) });
    const card = page.locator('.card[data-state=failed]').first();
    await card.waitFor({ timeout: 2 * MINUTES });
    const said = await card.locator('.state').textContent();
    assert.match(said, /^letter\.mp4 .{20,}\.$/);
    assert.ok(!said.includes(service.data), 'it tells where files lie');
    await picture(page, 'failed-light');
    await page.context().close();
  });

  test('works by keyboard, and deletes only when asked twice', { timeout: MINUTES }, async () => {
    const page = await open(browser, service, { colorScheme: 'dark' });
    await page.locator('.card').first().waitFor();
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to content');
    // Everything that can be used can be reached, and shows that it is.
    const seen = new Set();
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press('Tab');
      const name = await page.evaluate(() => {
        const e = document.activeElement;
        return e === document.body ? null : (e.getAttribute('aria-label') ?? e.id ?? '') || e.textContent || e.name;
      });
      if (name) seen.add(name);
    }
    for (const needed of ['file', 'protect']) {
      assert.ok([...seen].some((s) => s.includes(needed)), `${needed} can't be reached: ${[...seen].join(', ')}`);
    }
    assert.ok([...seen].some((s) => s.startsWith('Watch ') || s.startsWith('Show ')), 'no video can be reached');
    await picture(page, 'keyboard-dark');

    const id = await page.locator('.card').first().getAttribute('data-video');
    await page.goto(`${service.url}/#/watch/${id}`);
    await page.getByRole('button', { name: 'Delete …' }).click();
    await picture(page, 'delete-dark');
    await page.keyboard.press('Escape');
    assert.equal((await service.get(`/v1/videos/${id}`)).id, id);
    await page.getByRole('button', { name: 'Delete …' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await page.locator('.card').first().waitFor();
    assert.equal(await page.locator(`[data-video="${id}"]`).count(), 0);
    assert.equal((await service.get(`/v1/videos/${id}`)).code, 'not_found');
    await page.context().close();
  });
});
