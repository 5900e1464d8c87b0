// What `sv package` writes, in the players that browsers use: every codec that this Chromium decodes, clear and encrypted,
// without a stall or an error; thumbnails; content steering. SECONDS says for how long each watches.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createReadStream, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { SKIP, SV, each, launch, until } from './harness.mjs';
import { begun, licences, look, open, serve } from './players.mjs';

const SECONDS = Number(process.env.SECONDS ?? 3);
const LENGTH = Math.max(16, SECONDS + 8);
const work = mkdtempSync(join(tmpdir(), 'streamverse-packaged-'));
process.on('exit', () => rmSync(work, { recursive: true, force: true }));
const KEYS = { '31323334353637383930313233343536': '32333435363738393021323334353637' };
writeFileSync(join(work, 'keys'), Object.entries(KEYS)[0].join(':'));
for (const [kid, key] of Object.entries(KEYS)) writeFileSync(join(work, `${kid}.key`), Buffer.from(key, 'hex'));

const PICTURES = {
  h264: ['-c:v', 'libx264', '-preset', 'veryfast', '-bf', '2'],
  vp9: ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-b:v', '600k'],
  av1: ['-c:v', 'libsvtav1', '-preset', '12'],
};
const SOUND = { aac: ['-c:a', 'aac'], opus: ['-c:a', 'libopus'], flac: ['-c:a', 'flac', '-strict', '-2'] };
const FILMS = [['h264', 'aac'], ['vp9', 'opus'], ['av1', 'flac']];

function film(pictures, sound) {
  const path = join(work, `${pictures}-${sound}.mp4`);
  const source = ['-f', 'lavfi', '-i', `testsrc2=s=640x360:r=25:d=${LENGTH}`, '-f', 'lavfi', '-i', `sine=r=48000:d=${LENGTH}`];
  const codecs = [...PICTURES[pictures], '-g', '50', '-pix_fmt', 'yuv420p', ...SOUND[sound]];
  return spawnSync('ffmpeg', ['-v', 'error', '-y', ...source, ...codecs, path]).status === 0 ? path : undefined;
}

function packaged(input, name, ...more) {
  const out = join(work, name);
  const done = spawnSync(SV, ['package', input, '--out', out, '--segment', '2s', '--json', ...more], { encoding: 'utf8' });
  assert.equal(done.status, 0, done.stderr);
  return name;
}

const TYPES = { '.m3u8': 'application/vnd.apple.mpegurl', '.mpd': 'application/dash+xml', '.jpg': 'image/jpeg', '.json': 'application/json' };

/** The work folder, below `/a/` and `/b/` too; with the requests that came. */
async function files() {
  const asked = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://x');
    asked.push(pathname);
    response.setHeader('access-control-allow-origin', '*');
    const path = join(work, normalize(pathname.replace(/^\/[ab]\//, '/')));
    let size;
    try {
      size = statSync(path).size;
    } catch {
      return response.writeHead(404).end();
    }
    response.setHeader('content-type', TYPES[extname(path)] ?? 'video/mp4');
    const range = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '');
    if (!range) return createReadStream(path).pipe(response.writeHead(200, { 'content-length': size }));
    const [start, end] = [Number(range[1]), range[2] ? Math.min(Number(range[2]), size - 1) : size - 1];
    response.writeHead(206, { 'content-range': `bytes ${start}-${end}/${size}`, 'content-length': end - start + 1 });
    return createReadStream(path, { start, end }).pipe(response);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return { asked, url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}

const skip = SKIP || (!SV && 'skipped: sv is not built');
if (skip) console.log(skip);

describe('packaged', { skip, timeout: 1_800_000 }, () => {
  let browser;
  let players;
  let server;
  let license;

  before(async () => {
    browser = await launch();
    [players, server, license] = [await serve(), await files(), await licences(KEYS)];
  });

  after(async () => {
    await browser?.close();
    players?.close();
    server?.close();
    license?.close();
  });

  async function start(player, manifest, how) {
    const page = await open(browser, players, player, server.url + manifest, how);
    page.begun = await begun(page, `${player} ${manifest}`);
    return page;
  }

  async function watch(player, manifest, how, seconds = SECONDS) {
    const name = `${player} ${manifest}`;
    const page = await start(player, manifest, how);
    await new Promise((done) => setTimeout(done, seconds * 1000));
    const now = await look(page);
    assert.deepEqual(now.errors, [], name);
    assert.deepEqual(now.waits, [], `${name} stalled`);
    // A busy machine takes its time between two looks; what a player lost it would have called a wait.
    assert.ok(now.time > page.begun.time + seconds * 0.95 - 0.85, `${name} went from ${page.begun.time} to ${now.time}`);
    assert.equal(now.size, '640x360', name);
    await page.close();
    console.log(`${name}: ${now.time.toFixed(1)} s, ${now.frames} pictures`);
  }

  for (const [pictures, sound] of FILMS) {
    test(`${pictures} and ${sound}`, async (t) => {
      const input = film(pictures, sound);
      if (!input) return t.skip(`skipped: this ffmpeg makes no ${pictures} with ${sound}`);
      for (const scheme of [undefined, 'cenc', 'cbcs']) {
        // HLS names the key, DASH leaves it to the page.
        const key = ['--keys', join(work, 'keys')];
        const more = scheme ? ['--encrypt', scheme, ...key, '--key-url', `${server.url}{kid}.key`, '--clear-lead', '2s'] : [];
        const name = packaged(input, `${pictures}-${sound}-${scheme ?? 'clear'}`, ...more);
        // hls.js takes keys for fragments of MP4 from a licence server alone, and asks when an initialisation tells of one:
        // behind a clear lead it never does.
        const whole = scheme ? packaged(input, `${name}-whole`, '--encrypt', scheme, ...key) : name;
        const cases = [
          ['shaka', `${name}/master.m3u8`],
          ['shaka', `${name}/manifest.mpd`, { keys: KEYS }],
          ['dash', `${name}/manifest.mpd`, { keys: KEYS }],
          ['hls', `${whole}/master.m3u8`, { license: license.url }],
        ];
        await each(cases, SECONDS, ([player, manifest, how]) => watch(player, manifest, scheme ? how : {}));
      }
    });
  }

  // The lead is clear, then the key changes every 4 s; a licence server has the keys.
  for (const scheme of ['cenc', 'cbcs']) {
    test(`keys that change, ${scheme}`, async (t) => {
      const input = film('h264', 'aac');
      if (!input) return t.skip('skipped: there is no ffmpeg to make a film');
      const pairs = Array.from({ length: Math.ceil(LENGTH / 4) + 1 }, () => [randomBytes(16).toString('hex'), randomBytes(16).toString('hex')]);
      writeFileSync(join(work, 'rotated'), pairs.map((pair, n) => `${n ? `@${n} ` : ''}${pair.join(':')}`).join('\n'));
      const options = ['--encrypt', scheme, '--keys', join(work, 'rotated'), '--crypto-period', '4s'];
      const name = packaged(input, `rotated-${scheme}`, ...options, '--clear-lead', '2s');
      const whole = packaged(input, `rotated-${scheme}-whole`, ...options);
      const all = await licences(Object.fromEntries(pairs));
      try {
        const seconds = Math.max(SECONDS, 10);
        const cases = [['shaka', `${name}/manifest.mpd`], ['dash', `${name}/manifest.mpd`], ['hls', `${whole}/master.m3u8`]];
        await each(cases, SECONDS, ([player, manifest]) => watch(player, manifest, { license: all.url }, seconds));
      } finally {
        all.close();
      }
    });
  }

  test('thumbnails', async () => {
    const input = film('h264', 'aac');
    const name = packaged(input, 'thumbnails', '--thumbnails', '2,160,3x2');
    for (const manifest of ['master.m3u8', 'manifest.mpd']) {
      const page = await start('shaka', `${name}/${manifest}`);
      const found = await page.evaluate(async () => {
        const [track] = window.player.getImageTracks();
        const at = await window.player.getThumbnails(track.id, 7);
        return { uri: at.uris[0], left: at.positionX, top: at.positionY, width: at.width, height: at.height };
      });
      assert.ok(found.uri.endsWith(`${name}/thumbnails/0.jpg`), JSON.stringify(found));
      assert.deepEqual([found.left, found.top, found.width, found.height], [0, 90, 160, 90], manifest);
      await page.close();
    }
    const page = await start('dash', `${name}/manifest.mpd`);
    const found = await page.evaluate(() => new Promise((done) => window.player.provideThumbnail(15, done)));
    assert.ok(found.url.endsWith(`${name}/thumbnails/1.jpg`), JSON.stringify(found));
    assert.deepEqual([found.x, found.y, found.width, found.height], [160, 0, 160, 90]);
    await page.close();
  });

  test('content steering', async () => {
    const input = film('h264', 'aac');
    const ways = ['a', 'b'].flatMap((way) => ['--pathway', `${way}=${server.url}${way}/steered/`]);
    // dash.js takes a relative address for one beside its own page.
    const name = packaged(input, 'steered', ...ways, '--steering', `${server.url}steered/steering.json`);
    // Players begin with `a`; the file says that `b` is better.
    writeFileSync(join(work, name, 'steering.json'), JSON.stringify({ VERSION: 1, TTL: 60, 'PATHWAY-PRIORITY': ['b', 'a'] }));
    for (const [player, manifest] of [['hls', 'master.m3u8'], ['shaka', 'master.m3u8'], ['dash', 'manifest.mpd'], ['shaka', 'manifest.mpd']]) {
      server.asked.length = 0;
      const page = await start(player, `${name}/${manifest}`);
      const media = (way) => server.asked.filter((path) => path.startsWith(`/${way}/${name}/`) && path.endsWith('.m4s'));
      await until(async () => media('b').length > 0, `${player} to go to b for ${manifest}`, 30_000);
      assert.ok(server.asked.some((path) => path.endsWith('steering.json')), `${player} asked nobody`);
      const seen = await look(page);
      assert.deepEqual(seen.errors, [], `${player} ${manifest}`);
      await page.close();
    }
  });
});
