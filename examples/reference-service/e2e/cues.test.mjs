// What players do at cues: hls.js shows an interstitial and goes on with the film, and players of DASH go through the
// periods that cues make, told of each.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { SKIP, SV, launch, synthesise, until } from './harness.mjs';
import { look, open, serve } from './players.mjs';

const GOP = ['-c:v', 'libx264', '-preset', 'veryfast', '-g', '50', '-sc_threshold', '0', '-bf', '2', '-pix_fmt', 'yuv420p', '-c:a', 'aac'];
const clip = SKIP ? undefined : synthesise('film.mp4', GOP);
// The advertisement has pictures of another size, so that nobody takes it for the film.
const ad = SKIP ? undefined : synthesise('ad.mp4', [...GOP, '-vf', 'scale=320:180', '-t', '3']);
const skip = SKIP || (!SV && 'skipped: sv is not built') || (!(clip && ad) && 'skipped: there is no ffmpeg to make a clip');
if (skip) console.log(skip);

describe('cues', { skip, timeout: 300_000 }, () => {
  const root = mkdtempSync(join(tmpdir(), 'streamverse-cues-'));
  let browser;
  let players;
  let server;
  let url;

  before(async () => {
    const pack = (args) => {
      const made = spawnSync(SV, ['package', ...args], { encoding: 'utf8' });
      assert.equal(made.status, 0, made.stderr);
    };
    server = spawn(SV, ['serve', root, '--listen', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'inherit'] });
    url = await new Promise((done, fail) => {
      server.once('exit', (code) => fail(new Error(`sv serve ended with ${code}`)));
      createInterface(server.stdout).on('line', (line) => {
        const found = /http:\/\/[^ ]*\//.exec(line);
        if (found) done(found[0]);
      });
    });
    // hls.js wants to know all of the address.
    pack([ad, '--segment', '2s', '--out', join(root, 'ad')]);
    pack([clip, '--segment', '2s', '--ad-cues', '2+2', '--emsg', '--interstitial', `4=${url}ad/master.m3u8,resume=0,snap=out;in`, '--out', join(root, 'film')]);
    browser = await launch();
    players = await serve();
  });

  after(async () => {
    await browser?.close();
    players?.close();
    server?.removeAllListeners('exit');
    server?.kill();
    rmSync(root, { recursive: true, force: true });
  });

  const watch = (player, manifest) => open(browser, players, player, url + manifest);

  test('hls.js shows an interstitial, and then the rest of the film', async () => {
    const page = await watch('hls', 'film/master.m3u8');
    const done = async () => {
      const seen = await look(page);
      return seen.errors.length || (seen.between ?? []).includes('INTERSTITIALS_PRIMARY_RESUMED') ? seen : undefined;
    };
    const sizes = new Set();
    const seen = await until(async () => {
      sizes.add((await look(page)).size);
      return done();
    }, 'the film to go on', 60_000);
    assert.deepEqual(seen.errors, []);
    const order = ['INTERSTITIAL_STARTED', 'INTERSTITIAL_ASSET_STARTED', 'INTERSTITIAL_ASSET_ENDED', 'INTERSTITIAL_ENDED', 'INTERSTITIALS_PRIMARY_RESUMED'];
    assert.deepEqual(seen.between.filter((event) => order.includes(event)), order);
    assert.ok(sizes.has('320x180') && sizes.has('640x360'), `pictures of ${[...sizes]} were shown`);
    // Nothing of the film is left out: it goes on where it was left, and to its end.
    const resumed = await page.evaluate(() => window.player.interstitialsManager.primary.currentTime);
    assert.ok(resumed >= 3.9 && resumed < 5, `it went on at ${resumed}`);
    await until(() => page.evaluate(() => window.player.interstitialsManager.primary.currentTime > 6.5), 'the end', 30_000);
    assert.deepEqual((await look(page)).errors, []);
    await page.close();
  });

  for (const player of ['dash', 'shaka']) {
    test(`${player} goes through the periods, and hears of the break`, async () => {
      const page = await watch(player, 'film/manifest.mpd');
      const seen = await until(async () => {
        const seen = await look(page);
        return seen.errors.length || seen.time > 6.3 ? seen : undefined;
      }, 'the end', 60_000);
      assert.deepEqual(seen.errors, []);
      assert.equal(seen.size, '640x360');
      assert.ok(seen.frames > 140, `${seen.frames} pictures`);
      const of = (scheme) => (seen.events ?? []).filter((event) => event.scheme === scheme).map((event) => Math.round(event.at));
      assert.deepEqual(of('urn:scte:scte35:2014:xml+bin'), [2, 4]);
      assert.deepEqual([...new Set(of('urn:scte:scte35:2013:bin'))], [2, 4], 'emsg');
      await page.close();
    });
  }
});
