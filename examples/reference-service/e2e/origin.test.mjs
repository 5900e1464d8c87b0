// `sv origin` in the players that browsers use: what is packaged when they ask for it plays to its end, as CMAF and as
// transport streams, clear and encrypted, whole, a stretch of it, and live later than it happens.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { SKIP, SV, launch, synthesise, until } from './harness.mjs';
import { look, open, serve } from './players.mjs';

const GOP = ['-c:v', 'libx264', '-preset', 'veryfast', '-g', '50', '-sc_threshold', '0', '-bf', '2', '-pix_fmt', 'yuv420p', '-c:a', 'aac'];
const clip = SKIP ? undefined : synthesise('origin.mp4', GOP);
const skip = SKIP || (!SV && 'skipped: sv is not built') || (!clip && 'skipped: there is no ffmpeg to make a clip');
if (skip) console.log(skip);

const [KID, KEY] = ['31323334353637383930313233343536', '32333435363738393021323334353637'];

/** Waits that somebody sees: longer than a picture of these clips, or not over yet. */
const stalls = (seen) => seen.waits.filter(({ ms }) => ms === null || ms > 40);

/** A command of `sv` that serves; gives its address and how to end it. */
async function command(...args) {
  const child = spawn(SV, [...args, '--listen', '127.0.0.1:0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, SV_KEYS: `${KID}:${KEY}` },
  });
  const url = await new Promise((done, fail) => {
    child.once('exit', (code) => fail(new Error(`sv ended with ${code}`)));
    createInterface(child.stdout).on('line', (line) => {
      const found = /^(serving|live) on (http:\S+)/.exec(line);
      if (found) done(found[2]);
    });
  });
  child.removeAllListeners('exit');
  return { url, stop: () => child.kill('SIGKILL') };
}

describe('origin', { skip, timeout: 600_000 }, () => {
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

  const watch = (url, player, keys) => open(browser, players, player, url, { keys });

  /** Plays to the end, and says how it went. */
  async function play(url, player, seconds, keys) {
    const page = await watch(url, player, keys);
    const name = `${player} ${url}`;
    try {
      const ended = async () => {
        const seen = await look(page);
        // dash.js does not always say that it has ended when it has shown the last picture.
        const over = await page.evaluate(() => video.ended || video.currentTime > video.duration - 0.05);
        return seen.errors.length || over ? seen : undefined;
      };
      const seen = await until(ended, `${name} to end`, 60_000).catch(async (error) => {
        throw new Error(`${error.message}: ${JSON.stringify(await look(page))}`);
      });
      assert.deepEqual(seen.errors, [], name);
      assert.deepEqual(stalls(seen), [], `${name} stalled`);
      const length = await page.evaluate(() => video.duration);
      assert.ok(Math.abs(length - seconds) < 0.3, `${name} lasts ${length}`);
      assert.ok(seen.frames > seconds * 20, `${name} showed ${seen.frames} pictures`);
      console.log(`${name}: ${seen.frames} pictures`);
    } finally {
      await page.close();
    }
  }

  test('clear, whole and a stretch', async () => {
    const origin = await command('origin', clip, '--segment', '2s');
    try {
      const length = await (async () => {
        const text = await (await fetch(`${origin.url}origin/dash.mpd`)).text();
        return Number(/mediaPresentationDuration="PT([\d.]+)S"/.exec(text)[1]);
      })();
      const all = [['hls', 'hls.m3u8'], ['hls', 'ts.m3u8'], ['dash', 'dash.mpd'], ['shaka', 'dash.mpd'], ['shaka', 'hls.m3u8']];
      // One after the other: they share the machine.
      for (const [player, manifest] of all) await play(`${origin.url}origin/${manifest}`, player, length);
      // In DASH from the beginning of a segment to the picture.
      await play(`${origin.url}origin/dash.mpd?start=3&end=7`, 'dash', 5);
      await play(`${origin.url}origin/dash.mpd?start=3&end=7`, 'shaka', 5);
    } finally {
      origin.stop();
    }
  });

  test('encrypted on the way out', async () => {
    for (const scheme of ['cbcs', 'cenc']) {
      const origin = await command('origin', clip, '--segment', '2s', '--encrypt', scheme);
      try {
        const text = await (await fetch(`${origin.url}origin/dash.mpd`)).text();
        const length = Number(/mediaPresentationDuration="PT([\d.]+)S"/.exec(text)[1]);
        await play(`${origin.url}origin/dash.mpd`, 'shaka', length, { [KID]: KEY });
      } finally {
        origin.stop();
      }
    }
  });

  test('live, later than it happens', async () => {
    const out = mkdtempSync(join(tmpdir(), 'streamverse-origin-'));
    const live = await command('live', clip, '--out', join(out, 'live'), '--loop', '--segment', '1s');
    let origin;
    try {
      const there = async () => (await (await fetch(`${live.url}360p-h264.m3u8`)).text()).includes('360p-h264/16.m4s');
      await until(there, 'segments', 60_000);
      origin = await command('origin', join(out, 'live'));
      for (const [player, manifest] of [['hls', 'hls.m3u8'], ['hls', 'ts.m3u8'], ['dash', 'dash.mpd'], ['shaka', 'dash.mpd']]) {
        const page = await watch(`${origin.url}live/${manifest}?delay=6`, player);
        const name = `${player} ${manifest}`;
        const begun = async () => {
          const seen = await look(page);
          return seen.errors.length || (seen.started && seen.frames > 10) ? seen : undefined;
        };
        const before = await until(begun, `${name} to begin`, 60_000);
        await new Promise((done) => setTimeout(done, 8000));
        const now = await look(page);
        assert.deepEqual(now.errors, [], name);
        assert.deepEqual(stalls(now), [], `${name} stalled`);
        // A player may go a little slower to keep its distance.
        assert.ok(now.time > before.time + 6, `${name} went from ${before.time} to ${now.time}`);
        console.log(`${name}, live: ${now.frames} pictures, ${now.latency} s behind`);
        await page.close();
      }
    } finally {
      origin?.stop();
      live.stop();
      rmSync(out, { recursive: true, force: true });
    }
  });
});
