// Going live on the page: a title, a key, an encoder, viewers, charts, the end.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { SKIP, Service, launch, open, picture, until } from './harness.mjs';

const skip = SKIP || (spawnSync('ffmpeg', ['-version']).status !== 0 && 'skipped: there is no ffmpeg to send with');
const MINUTES = 60_000;

describe('going live', { skip, timeout: 4 * MINUTES }, () => {
  let service, browser, sender;

  before(async () => {
    service = await new Service().start();
    browser = await launch();
  });

  after(async () => {
    sender?.kill('SIGKILL');
    await browser?.close();
    await service?.stop();
  });

  const source = ['-re', '-f', 'lavfi', '-i', 'testsrc2=s=640x360:r=25', '-re', '-f', 'lavfi', '-i', 'sine=frequency=440'];
  const coding = ['-c:v', 'libx264', '-preset', 'ultrafast', '-b:v', '800k', '-g', '25', '-sc_threshold', '0', '-pix_fmt', 'yuv420p', '-c:a', 'aac'];
  const send = (url) => spawn('ffmpeg', ['-v', 'error', ...source, ...coding, '-f', 'flv', url], { stdio: 'ignore' });

  test('from a title to the last viewer', async () => {
    const page = await open(browser, service);
    await page.locator('#live-title').fill('The opening night');
    await page.getByRole('button', { name: 'Go live' }).click();
    await page.getByRole('heading', { name: 'The opening night' }).waitFor();
    const codes = page.locator('.details code');
    const server = await codes.nth(0).textContent();
    assert.match(server, /^rtmp:\/\/127\.0\.0\.1:\d+\/live$/);
    assert.equal(await codes.nth(1).textContent(), '••••••••');
    await picture(page, 'live-waiting-light', { fullPage: true });
    await page.getByRole('button', { name: 'Show' }).click();
    const key = await codes.nth(1).textContent();
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
    for (const [scheme, width] of [['light', 1280], ['dark', 1280], ['dark', 375]]) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.setViewportSize({ width, height: 1000 });
      await picture(page, `live-${width < 500 ? 'phone-' : ''}${scheme}`, { fullPage: true });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `the page is ${overflow} pixels too wide at ${width}`);
    }
    await page.setViewportSize({ width: 1280, height: 860 });

    // The library shows what it shows now.
    const library = await open(browser, service);
    const card = library.locator('.card[data-state=live]');
    await card.locator('img').evaluate((img) => img.decode());
    await until(async () => /h264 \+ aac/.test(await card.locator('.state').textContent()), 'how it comes');
    await picture(library, 'live-library-light');

    await page.getByRole('button', { name: 'End stream' }).click();
    await library.locator('.card[data-state=ended]').waitFor({ timeout: MINUTES });
    await page.getByRole('button', { name: 'Delete' }).click();
    await library.locator('.card[data-live]').waitFor({ state: 'detached', timeout: MINUTES });
    assert.deepEqual(page.problems, []);
    assert.deepEqual(library.problems, []);
  });
});
