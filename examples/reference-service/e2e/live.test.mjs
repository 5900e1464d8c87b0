// `sv live` in the players that browsers use: they go on, near the edge, without a stall or an error, also when
// the origin is killed and started again. SECONDS says for how long each watches.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { captioned, popped } from './captions.mjs';
import { MEDIA, SKIP, SV, each, launch, picture, synthesise, until } from './harness.mjs';
import { begun, licences, look, open, serve } from './players.mjs';
import { spliced } from './splices.mjs';

const SECONDS = Number(process.env.SECONDS ?? 7);
const GOP = ['-c:v', 'libx264', '-preset', 'veryfast', '-g', '50', '-sc_threshold', '0', '-bf', '2', '-pix_fmt', 'yuv420p', '-c:a', 'aac'];
const clip = SKIP ? undefined : synthesise('live.mp4', GOP);
const skip = SKIP || (!SV && 'skipped: sv is not built') || (!clip && 'skipped: there is no ffmpeg to make a clip');
if (skip) console.log(skip);

/** `sv live` as a process that can be killed and started again on the same folder and port. */
class Live {
  out = mkdtempSync(join(tmpdir(), 'streamverse-live-'));
  port = 0;
  source = clip;
  constructor(...more) {
    this.more = more;
  }
  /** Shows another source. */
  of(source) {
    this.source = source;
    return this;
  }
  async start() {
    const args = ['live', this.source, '--out', join(this.out, 'live'), '--loop', '--listen', `127.0.0.1:${this.port}`, ...this.more];
    this.child = spawn(SV, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.port = await new Promise((done, fail) => {
      this.child.once('exit', (code) => fail(new Error(`sv live ended with ${code}`)));
      createInterface(this.child.stdout).on('line', (line) => {
        const port = /http:\/\/[^:]*:(\d+)/.exec(line);
        if (port) done(Number(port[1]));
      });
    });
    return this;
  }
  get url() {
    return `http://127.0.0.1:${this.port}/`;
  }
  async kill() {
    this.child.removeAllListeners('exit');
    const gone = new Promise((done) => this.child.once('exit', done));
    this.child.kill('SIGKILL');
    await gone;
  }
  async stop() {
    await this.kill();
    rmSync(this.out, { recursive: true, force: true });
  }
}

/** A clip of pictures that say a word in each second. */
function spoken(words) {
  const [rate, raw] = [25, join(MEDIA, 'spoken.h264')];
  const plain = synthesise('plain.h264', [...GOP, '-an', '-bf', '0', '-t', String(words.length), '-x264-params', 'slices=1:sliced-threads=0', '-bsf:v', 'filter_units=remove_types=6', '-f', 'h264']);
  writeFileSync(raw, captioned(readFileSync(plain), popped(words, rate)));
  const path = join(MEDIA, 'spoken.mp4');
  assert.equal(spawnSync('ffmpeg', ['-v', 'error', '-y', '-r', String(rate), '-i', raw, '-c', 'copy', path]).status, 0);
  return path;
}

/** Runs in the page: asks the player for its first text, and notes what stands on the picture at which moment of the programme. */
async function readAloud({ player, began }) {
  const own = window.player;
  const time = {
    hls: () => (own.playingDate?.getTime() - began) / 1000,
    dash: () => video.currentTime,
    shaka: () => (own.getPlayheadTimeAsDate()?.getTime() - began) / 1000,
  }[player];
  if (player === 'hls') {
    own.subtitleDisplay = true;
    own.subtitleTrack = 0;
  } else if (player === 'dash') {
    own.setTextTrack(own.getTracksFor('text').findIndex((track) => !track.isEmbedded));
  } else {
    const text = own.getTextTracks().find((track) => !track.mimeType?.includes('cea'));
    await own.selectTextTrack(text);
    await own.setTextTrackVisibility?.(true);
  }
  window.said = [];
  setInterval(() => {
    const showing = [...video.textTracks].filter((track) => track.mode === 'showing' && track.activeCues?.length);
    const text = showing.map((track) => [...track.activeCues].map((cue) => cue.text.replace(/<[^>]*>/g, '').trim()).join('|')).join('/');
    window.said.push({ at: time(), text });
  }, 50);
}

describe('live', { skip, timeout: 600_000 }, () => {
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

  /** Opens a player; it has begun when this returns. */
  async function watch(live, player, low, { license = '', address } = {}) {
    const first = (page) => {
      page.requests = [];
      page.on('response', (response) => page.requests.push(`${response.status()} ${response.url()}`));
    };
    const manifest = address ?? (player === 'hls' ? 'master.m3u8' : 'manifest.mpd');
    const page = await open(browser, players, player, live.url + manifest, { low, license, first });
    page.begun = await begun(page, player);
    return page;
  }

  function well(name, before, now, seconds) {
    assert.deepEqual(now.errors, [], name);
    // A machine that others share stands still for a moment. Whoever watches for a minute (make players) sees none.
    const stalls = now.waits.filter(({ ms }) => SECONDS >= 60 || !(ms < 500));
    assert.deepEqual(stalls, [], `${name} stalled`);
    assert.ok(now.waits.length <= 1, `${name} waited ${now.waits.length} times`);
    assert.ok(now.time > before.time + seconds * 0.9, `${name} went from ${before.time} to ${now.time}`);
    assert.ok(now.frames > before.frames + seconds * 20, `${name} showed ${now.frames - before.frames} pictures`);
  }

  const wait = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

  test('low latency and ordinary players side by side', async () => {
    const live = await new Live().start();
    try {
      await until(async () => (await (await fetch(`${live.url}360p-h264.m3u8`)).text()).includes('360p-h264/4.m4s'), 'segments');
      for (const [player, low, most] of [['hls', true, 4], ['dash', true, 4], ['shaka', true, 6], ['hls', false, 12], ['dash', false, 12], ['shaka', false, 12]]) {
        const name = `${player}${low ? ', low latency' : ''}`;
        const page = await watch(live, player, low);
        await wait(SECONDS);
        const now = await look(page);
        well(name, page.begun, now, SECONDS);
        assert.ok(now.latency > 0 && now.latency < most, `${name} is ${now.latency} s behind`);
        // What is new comes as a patch, and the whole manifest once.
        if (player !== 'hls') {
          const asked = (what) => page.requests.filter((r) => r.startsWith(`200 ${live.url}${what}`));
          assert.ok(asked('manifest.mpp').length > 0, `${name} asked for no patch`);
          assert.equal(asked('manifest.mpd').length, 1, `${name} could not use a patch`);
        }
        console.log(`${name}: ${now.latency.toFixed(2)} s behind, ${now.frames} pictures`);
        await page.close();
      }
    } finally {
      await live.stop();
    }
  });

  test('a source that tells of breaks', async () => {
    const plain = synthesise('cues.ts', [...GOP, '-force_key_frames', '3', '-f', 'mpegts']);
    const source = plain.replace('cues.ts', 'told.ts');
    const cues = [
      { event: 7, out: true, at: 3, length: 2, heard: 1 },
      { event: 7, out: false, at: 5, heard: 2.5 },
    ];
    writeFileSync(source, spliced(readFileSync(plain), cues));
    const live = await new Live('--emsg').of(source).start();
    try {
      const playlist = async () => (await fetch(`${live.url}360p-h264.m3u8`)).text();
      await until(async () => (await playlist()).includes('360p-h264/5.m4s'), 'segments');
      const said = await playlist();
      assert.match(said, /#EXT-X-DATERANGE:ID="splice-\d+",START-DATE="[^"]*",PLANNED-DURATION=2.000,SCTE35-OUT=0xFC/);
      assert.match(said, /#EXT-X-DATERANGE:ID="splice-\d+",START-DATE="[^"]*",DURATION=[12].\d*,SCTE35-IN=0xFC/);
      for (const [player, low] of [['hls', true], ['dash', true], ['shaka', false]]) {
        const page = await watch(live, player, low);
        // A lap of the clip, and so two cues at least.
        await wait(Math.max(SECONDS, 9));
        const now = await look(page);
        well(`${player} at cues`, page.begun, now, Math.max(SECONDS, 9));
        if (player === 'dash') assert.ok(now.events.some((e) => e.scheme.endsWith('xml+bin')), 'dash.js heard of no event');
        if (player !== 'hls') assert.ok(now.events.some((e) => e.scheme.endsWith('2013:bin')), `${player} heard of no emsg`);
        await page.close();
      }
    } finally {
      await live.stop();
    }
  });

  test('captions become text that is shown when they were meant to be', async () => {
    const words = ['alpha', 'bravo', 'charlie', 'delta', 'echo', 'foxtrot', 'golf'];
    const live = await new Live('--captions', 'extract').of(spoken(words)).start();
    try {
      const playlist = async () => (await fetch(`${live.url}text-cc1.m3u8`)).text();
      await until(async () => (await playlist()).includes('text-cc1/4.vtt'), 'segments of text');
      const manifest = await (await fetch(`${live.url}manifest.mpd`)).text();
      const began = Date.parse(/availabilityStartTime="([^"]*)"/.exec(manifest)[1]);
      for (const [player, low, address] of [['hls', true], ['dash', true], ['shaka', true], ['hls', false], ['dash', false], ['shaka', false], ['shaka', false, 'master.m3u8']]) {
        const name = `${player}${low ? ', low latency' : ''}${address ? `, ${address}` : ''}`;
        const page = await watch(live, player, low, { address });
        await page.evaluate(readAloud, { player, began });
        const seconds = SECONDS + (address ? 8 : 0);
        await wait(seconds);
        const now = await look(page);
        well(name, page.begun, now, seconds);
        const said = await page.evaluate(() => window.said);
        // Text is asked for while the programme goes on; of HLS, Shaka Player then takes the newest segment first.
        const from = address ? said.find(({ text }) => text)?.at ?? 0 : said[0].at + 2;
        // A word is there for its second: a moment before or behind is the player's business.
        const inside = said.filter(({ at }) => at > from && (at + 0.04) % 1 > 0.35 && (at + 0.04) % 1 < 0.9);
        const second = ({ at }) => Math.floor(at + 0.04);
        const wrong = inside.filter((seen) => seen.text !== '' && seen.text !== words[second(seen) % words.length]);
        assert.deepEqual(wrong.slice(0, 5), [], `${name}: ${wrong.length} of ${inside.length} are wrong`);
        // Whoever is nearer to the edge than a segment is long has its text when the segment is over: late, and never wrong.
        // Else no second that was looked at five times is without its word; of HLS, Shaka Player may come back to what it left out.
        const silent = [...new Set(inside.map(second))].filter((one) => {
          const seen = inside.filter((look) => second(look) === one);
          return !low && !address && seen.length >= 5 && seen.every(({ text }) => text === '');
        });
        assert.deepEqual(silent, [], `${name}: seconds without a word`);
        const heard = new Set(inside.map(({ text }) => text));
        assert.ok(heard.size >= Math.min(SECONDS - 4, words.length - 1), `${name} heard ${[...heard]}`);
        console.log(`${name}: ${heard.size} words, ${now.latency.toFixed(2)} s behind`);
        await page.close();
      }
    } finally {
      await live.stop();
    }
  });

  test('fast motion that comes late', async () => {
    const live = await new Live('--trick-play', '1,12').start();
    try {
      const manifest = async () => (await fetch(`${live.url}manifest.mpd`)).text();
      await until(async () => (await fetch(`${live.url}manifest.mpd`)).ok, 'a manifest');
      const early = await manifest();
      assert.equal(early.match(/id="[^"]*-trick\d*"/g).length, 1, early);
      await until(async () => (await (await fetch(`${live.url}360p-h264.m3u8`)).text()).includes('360p-h264/3.m4s'), 'segments');
      const pages = [];
      for (const player of ['dash', 'shaka']) pages.push([player, await watch(live, player, false)]);
      // The set is there from the twelfth key picture on.
      await until(async () => (await manifest()).includes('id="360p-h264-trick12"'), 'every twelfth');
      const before = await Promise.all(pages.map(([, page]) => look(page)));
      await wait(8);
      for (const [i, [player, page]] of pages.entries()) {
        const now = await look(page);
        assert.deepEqual(now.errors, [], player);
        assert.deepEqual(now.waits, [], `${player} stalled`);
        assert.ok(now.time > before[i].time + 6, `${player} went from ${before[i].time} to ${now.time}`);
        // Shaka Player knows it for the fast motion of the pictures. (At the edge it goes back to their speed.)
        if (player === 'shaka') {
          const fast = await page.evaluate(() => window.player.getManifest().variants.map((v) => v.video.trickModeVideo?.originalId));
          assert.match(String(fast), /-trick/);
        }
        await page.close();
      }
    } finally {
      await live.stop();
    }
  });

  test('encrypted', async (t) => {
    const [kid, key] = ['31323334353637383930313233343536', '32333435363738393021323334353637'];
    process.env.SV_KEYS = `${kid}:${key}`;
    const license = await licences({ [kid]: key });
    // Also where this fails: a server that listens keeps the whole file from ending.
    t.after(() => license.close());
    for (const scheme of ['cbcs', 'cenc']) {
      const live = await new Live('--encrypt', scheme).start();
      try {
        await until(async () => (await (await fetch(`${live.url}360p-h264.m3u8`)).text()).includes('360p-h264/2.m4s'), 'segments');
        await each(['shaka', 'dash', 'hls'], SECONDS, async (player) => {
          const page = await watch(live, player, true, { license: license.url });
          const seconds = Math.max(SECONDS / 2, 5);
          await wait(seconds);
          well(`${player}, ${scheme}`, page.begun, await look(page), seconds);
          await page.close();
        });
      } finally {
        await live.stop();
      }
    }
  });

  test('an origin that is killed and started again', async () => {
    const live = await new Live().start();
    try {
      await until(async () => (await (await fetch(`${live.url}360p-h264.m3u8`)).text()).includes('360p-h264/6.m4s'), 'segments');
      const pages = [];
      for (const player of ['hls', 'dash', 'shaka']) pages.push([player, await watch(live, player, false)]);
      await wait(2);
      const before = await Promise.all(pages.map(([, page]) => look(page)));
      const kills = Number(process.env.KILLS ?? 2);
      for (let kill = 0; kill < kills; kill++) {
        await live.kill();
        await live.start();
        await wait(1 + ((kill * 37) % 23) / 7);
      }
      await wait(4);
      for (const [i, [player, page]] of pages.entries()) {
        const now = await look(page);
        assert.deepEqual(now.errors, [], player);
        assert.deepEqual(now.waits, [], `${player} stalled`);
        assert.ok(now.time > before[i].time + 4 + kills, `${player} went from ${before[i].time} to ${now.time}`);
        await page.close();
      }
    } finally {
      await live.stop();
    }
  });

  test('the page of the command', async () => {
    const live = await new Live('--window', '30s').start();
    try {
      const page = await browser.newPage();
      await page.goto(live.url);
      await page.evaluate(() => {
        const video = document.querySelector('video');
        video.muted = true;
        void video.play();
      });
      await page.waitForFunction(() => document.querySelector('video').currentTime > 3, null, { timeout: 60_000 });
      assert.equal(await page.locator('#error').textContent(), '');
      await picture(page, 'live');
      await page.close();
    } finally {
      await live.stop();
    }
  });
});
