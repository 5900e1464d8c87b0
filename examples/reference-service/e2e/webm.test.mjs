// WebM of `sv package` in the players that know it: from the beginning to the end, and to another place, without an error.
// SECONDS says for how long each watches before it goes there.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { MEDIA, SKIP, SV, each, launch, synthesise, until } from './harness.mjs';
import { look, open, serve } from './players.mjs';

const SECONDS = Number(process.env.SECONDS ?? 0);
const LENGTH = SECONDS ? SECONDS + 8 : 7;
const KINDS = {
  vp8: ['-c:v', 'libvpx', '-deadline', 'realtime', '-cpu-used', '8', '-c:a', 'libvorbis'],
  vp9: ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-c:a', 'libopus'],
  av1: ['-c:v', 'libsvtav1', '-preset', '12', '-c:a', 'libopus'],
};
const [KID, KEY] = ['31323334353637383930313233343536', '32333435363738393021323334353637'];
const skip = SKIP || (!SV && 'skipped: sv is not built');
if (skip) console.log(skip);

/** `sv serve` on a folder: its address, and how to end it. */
async function serving(folder) {
  const child = spawn(SV, ['serve', folder, '--listen', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const address = await new Promise((done, fail) => {
    child.once('exit', (code) => fail(new Error(`sv serve ended with ${code}`)));
    createInterface(child.stdout).on('line', (line) => {
      const found = /http:[^ ]*/.exec(line);
      if (found) done(found[0]);
    });
  });
  return { address, stop: () => { child.removeAllListeners('exit'); child.kill(); } };
}

describe('WebM', { skip, timeout: 1_800_000 }, () => {
  let browser;
  let players;

  before(async () => {
    browser = await launch();
    players = await serve();
  });

  after(async () => {
    await browser?.close();
    players?.close();
  });

  const cases = Object.entries(KINDS).flatMap(([kind, how]) => [true, false].map((single) => ({ kind, how, single })));
  cases.push({ kind: 'vp8', how: KINDS.vp8, single: true, encrypted: true }, { kind: 'vp9', how: KINDS.vp9, encrypted: true });
  cases.push({ kind: 'av1', how: KINDS.av1, single: true, encrypted: true });
  for (const { kind, how, single, encrypted } of cases) {
      test(`${kind}, ${single ? 'files with an index' : 'segments'}${encrypted ? ', encrypted' : ''}`, async (t) => {
        const clip = synthesise(`${kind}.webm`, ['-g', '50', '-pix_fmt', 'yuv420p', ...how], LENGTH);
        if (!clip) return t.skip(`skipped: ffmpeg makes no ${kind} here`);
        const folder = join(MEDIA, `${kind}-${single}-${encrypted}`);
        if (encrypted) process.env.SV_KEYS = `${KID}:${KEY}`;
        const args = ['package', clip, '--format', 'webm', '--segment', '2s', '--out', folder, ...(single ? ['--single-file'] : []), ...(encrypted ? ['--encrypt', 'cenc'] : [])];
        const made = spawnSync(SV, args);
        assert.equal(made.status, 0, String(made.stderr));
        const origin = await serving(folder);
        try {
          const keys = encrypted ? { [KID]: KEY } : {};
          // What dash.js makes of encrypted WebM isn't tried.
          await each(encrypted ? ['shaka'] : ['dash', 'shaka'], SECONDS, async (player) => {
            const page = await open(browser, players, player, `${origin.address}manifest.mpd`, { keys });
            const seen = async (what, when) =>
              until(async () => {
                const now = await look(page);
                return now.errors.length || when(now) ? now : undefined;
              }, `${player}: ${what}`, 60_000);
            let now = await seen('to begin', (s) => s.time > 1 && s.frames > 10);
            assert.deepEqual(now.errors, [], player);
            assert.equal(now.size, '640x360', player);
            await new Promise((done) => setTimeout(done, SECONDS * 1000));
            const later = await look(page);
            assert.deepEqual(later.errors, [], player);
            if (SECONDS) assert.deepEqual(later.waits, [], `${player} stalled`);
            assert.ok(later.time > now.time + SECONDS * 0.95 - 0.85, `${player} went from ${now.time} to ${later.time}`);
            await page.evaluate((to) => { video.currentTime = to; }, LENGTH - 1.5);
            now = await seen('to end', (s) => s.time > LENGTH - 0.5);
            assert.deepEqual(now.errors, [], player);
            const { ended, length, sound } = await page.evaluate(() => ({
              ended: video.ended,
              length: video.duration,
              sound: video.webkitAudioDecodedByteCount,
            }));
            assert.ok(Math.abs(length - LENGTH) < 0.1, `${player}: ${length} s, ended: ${ended}`);
            assert.ok(sound > 0, `${player}: no sound was decoded`);
            await page.close();
          });
        } finally {
          origin.stop();
        }
      });
  }
});
