// Going live on the page: a title, a key, an encoder or the browser's own camera, viewers, charts, recordings, the end.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { SKIP, Service, launch, open, picture, plays, until } from './harness.mjs';

const skip = SKIP || (spawnSync('ffmpeg', ['-version']).status !== 0 && 'skipped: there is no ffmpeg to send with');
const MINUTES = 60_000;
/** Players may ask for what a stream that has ended or is deleted no longer has. */
const GONE = /status of 404.*\/live\/liv_/;

describe('going live', { skip, timeout: 6 * MINUTES }, () => {
  let service, browser, sender;

  before(async () => {
    service = await new Service().start();
    browser = await launch(['--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream']);
  });

  after(async () => {
    sender?.kill('SIGKILL');
    await browser?.close();
    await service?.stop();
  });

  const source = ['-re', '-f', 'lavfi', '-i', 'testsrc2=s=640x360:r=25', '-re', '-f', 'lavfi', '-i', 'sine=frequency=440'];
  const coding = ['-c:v', 'libx264', '-preset', 'ultrafast', '-b:v', '800k', '-g', '25', '-sc_threshold', '0', '-pix_fmt', 'yuv420p', '-c:a', 'aac'];
  const send = (url) => spawn('ffmpeg', ['-v', 'error', ...source, ...coding, '-f', 'flv', url], { stdio: 'ignore' });

  /** Pictures for people, light and dark, and on a phone. */
  async function pictures(page, name) {
    for (const [scheme, width] of [['light', 1280], ['dark', 1280], ['dark', 375]]) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.setViewportSize({ width, height: 1000 });
      await picture(page, `${name}-${width < 500 ? 'phone-' : ''}${scheme}`, { fullPage: true });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `the page is ${overflow} pixels too wide at ${width}`);
    }
    await page.emulateMedia({ colorScheme: 'light' });
    await page.setViewportSize({ width: 1280, height: 860 });
  }

  test('from a title to the last viewer', async () => {
    const page = await open(browser, service);
    await page.locator('#live-title').fill('The opening night');
    await page.getByRole('button', { name: 'Go live' }).click();
    await page.getByRole('heading', { name: 'The opening night' }).waitFor();
    const [rtmp, srt, whip, secret] = await page.locator('.details code').all();
    const server = await rtmp.textContent();
    assert.match(server, /^rtmp:\/\/127\.0\.0\.1:\d+\/live$/);
    assert.match(await srt.textContent(), /^srt:\/\/127\.0\.0\.1:\d+\?streamid=•+$/);
    assert.equal(await whip.textContent(), `${service.url}/whip`);
    assert.equal(await secret.textContent(), '••••••••');
    await picture(page, 'live-waiting-light', { fullPage: true });
    await page.getByRole('button', { name: 'Show' }).click();
    const key = await secret.textContent();
    sender = send(`${server}/${key}`);

    await page.locator('video').waitFor({ timeout: MINUTES });
    for (const engine of ['hls.js', 'dash.js', 'shaka-dash', 'shaka-hls']) {
      await page.locator(`input[name=engine][value="${engine}"]`).check({ force: true });
      await page.locator(`.player[data-engine="${engine}"]`).waitFor();
      await page.locator('video').evaluate((video) => {
        video.muted = true;
        return video.play().catch(() => undefined);
      });
      const shown = () => page.locator('video').evaluate((video) => video.getVideoPlaybackQuality().totalVideoFrames);
      await until(async () => (await shown()) > 50, `50 pictures by ${engine}`, MINUTES);
      assert.equal(await page.locator('.screen .problem').isVisible(), false, await page.locator('.screen .problem').textContent());
    }
    // A line of bits a second, a verdict, and what is behind it.
    await page.waitForFunction(() => document.querySelectorAll('.chart path[d*="L"]').length >= 3, undefined, { timeout: MINUTES });
    await until(async () => (await page.locator('.reasons').first().textContent()) === 'all is well', 'a good verdict');
    assert.match(await page.locator('.charts').textContent(), /kbit\/s|Mbit\/s/);
    await pictures(page, 'live');

    // The library shows what it shows now.
    const library = await open(browser, service);
    const card = library.locator('.card[data-state=live]');
    await card.locator('img').evaluate((img) => img.decode());
    await until(async () => /h264 \+ aac/.test(await card.locator('.state').textContent()), 'how it comes');
    await picture(library, 'live-library-light');

    assert.deepEqual(page.problems, []);
    await page.getByRole('button', { name: 'End stream' }).click();
    await library.locator('.card[data-state=ended]').waitFor({ timeout: MINUTES });
    await page.getByRole('button', { name: 'Delete' }).click();
    await library.locator('.card[data-live]').waitFor({ state: 'detached', timeout: MINUTES });
    assert.deepEqual(page.problems.filter((p) => !GONE.test(p)), []);
    assert.deepEqual(library.problems, []);
  });

  test('the page sends its own camera, and what was recorded of it becomes a video', async () => {
    const page = await open(browser, service);
    await page.locator('#live-title').fill('From this desk');
    await page.getByLabel('Record it').check();
    await page.getByRole('button', { name: 'Go live' }).click();
    await page.getByRole('button', { name: 'Send this camera' }).click();
    await page.getByText('It is on air.').waitFor({ timeout: MINUTES });
    await page.locator('video').waitFor({ timeout: MINUTES });
    await page.locator('video').evaluate((video) => {
      video.muted = true;
      return video.play().catch(() => undefined);
    });
    const shown = () => page.locator('video').evaluate((video) => video.getVideoPlaybackQuality().totalVideoFrames);
    await until(async () => (await shown()) > 30, '30 pictures', MINUTES);
    const figures = page.locator('.recordings .figures');
    await until(async () => /^0:(0[89]|[1-5]\d) .* on air$/.test(await figures.textContent()), 'eight seconds of a recording', MINUTES);
    await pictures(page, 'live-camera');

    await page.getByRole('button', { name: 'Stop the camera' }).click();
    await page.getByRole('button', { name: 'End stream' }).click();
    await page.getByRole('button', { name: 'Delete' }).waitFor();
    await until(async () => !/on air/.test(await figures.textContent()), 'the whole recording');
    await page.getByLabel('From, in minutes').fill('0:01');
    await page.getByLabel('To, in minutes').fill('7.5');
    const waits = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Download' }).click();
    assert.match((await waits).suggestedFilename(), /^\d{8}T\d{6}\.\d{3}Z\.mp4$/);
    await page.getByRole('button', { name: 'Make a video' }).click();
    await page.waitForURL(/#\/watch\//);
    await page.locator('.stage video').waitFor({ timeout: 2 * MINUTES });
    await page.getByRole('heading', { name: 'From this desk' }).waitFor();
    const played = await plays(page, 'hls.js', 3);
    assert.ok(played.time > 3 && !played.error && !played.problem, JSON.stringify(played));
    assert.match(await page.locator('.details').textContent(), /0:0[67]/);
    assert.deepEqual(page.problems.filter((p) => !GONE.test(p)), []);
  });
});
