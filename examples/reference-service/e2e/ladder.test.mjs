// `sv gateway --ladder` in the players that browsers use: hls.js goes from rung to rung without a wait, and the players of DASH show
// a rung too.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { MEDIA, SKIP, SV, launch, synthesise, until } from './harness.mjs';
import { begun, look, open, serve } from './players.mjs';

const GOP = ['-c:v', 'libx264', '-preset', 'veryfast', '-g', '25', '-sc_threshold', '0', '-bf', '0', '-b:v', '3M', '-pix_fmt', 'yuv420p', '-c:a', 'aac'];
const clip = SKIP ? undefined : synthesise('ladder.mp4', GOP);
const skip = SKIP || (!SV && 'skipped: sv is not built') || (!clip && 'skipped: there is no ffmpeg to make a clip');
if (skip) console.log(skip);

const wait = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

describe('gateway --ladder', { skip, timeout: 600_000 }, () => {
  let browser, players, gateway, sender, url;
  const out = mkdtempSync(join(tmpdir(), 'streamverse-ladder-'));
  const events = [];

  before(async () => {
    browser = await launch();
    players = await serve();
    const args = ['gateway', '--json', '--out', out, '--rtmp', '127.0.0.1:0', '--listen', '127.0.0.1:0', '--segment', '1s', '--part', '250ms', '--ladder'];
    gateway = spawn(SV, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    createInterface(gateway.stdout).on('line', (line) => events.push(JSON.parse(line)));
    const ready = await until(async () => events.find((e) => e.event === 'live.ready'), 'the gateway');
    url = `http://${ready.http}/`;
    const to = `rtmp://${ready.rtmp}/live/studio`;
    sender = spawn('ffmpeg', ['-v', 'error', '-re', '-stream_loop', '-1', '-i', clip, '-c', 'copy', '-f', 'flv', to], { stdio: 'ignore' });
    await until(async () => (await (await fetch(`${url}studio/240p-h264.m3u8`)).text()).includes('240p-h264/4.m4s'), 'segments');
  });

  after(async () => {
    await browser?.close();
    players?.close();
    sender?.kill('SIGKILL');
    gateway?.kill('SIGKILL');
    rmSync(out, { recursive: true, force: true });
  });

  test('hls.js goes down and up again', async () => {
    const page = await open(browser, players, 'hls', `${url}studio/master.m3u8`, { low: true });
    await begun(page, 'hls.js');
    for (const [height, size] of [[240, '426x240'], [360, '640x360'], [240, '426x240']]) {
      await page.evaluate((height) => {
        window.player.nextLevel = window.player.levels.findIndex((level) => level.height === height);
      }, height);
      await until(async () => (await look(page)).size === size, size, 20_000);
      await wait(3);
    }
    const seen = await look(page);
    console.log(`hls.js: ${seen.latency.toFixed(2)} s behind, waits ${JSON.stringify(seen.waits)}`);
    assert.deepEqual(seen.errors, []);
    assert.deepEqual(seen.waits.filter(({ ms }) => !(ms < 500)), []);
    await page.close();
  });

  test('Shaka Player and dash.js show the smallest rung', async () => {
    for (const player of ['shaka', 'dash']) {
      const page = await open(browser, players, player, `${url}studio/manifest.mpd`);
      await begun(page, player);
      await page.evaluate((player) => {
        if (player === 'shaka') {
          window.player.configure({ abr: { enabled: false } });
          window.player.selectVariantTrack(window.player.getVariantTracks().find((track) => track.height === 240), true);
        } else {
          window.player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: false } } } });
          const smallest = window.player.getRepresentationsByType('video').find((one) => one.height === 240);
          window.player.setRepresentationForTypeById('video', smallest.id, true);
        }
      }, player);
      await until(async () => (await look(page)).size === '426x240', `${player} to show 240 lines`, 30_000);
      const then = await look(page);
      await wait(4);
      const now = await look(page);
      assert.deepEqual(now.errors, [], player);
      assert.ok(now.frames > then.frames + 60, `${player} showed ${now.frames - then.frames} pictures`);
      await page.close();
    }
  });
});

// One that no machine of today encodes in time on one thread, for a source that is hardly larger.
const LADDER = `
[[rungs]]
name = "1068p"
width = 1900
height = 1068
codec = "h264"
bitrate = 5000000
max_bitrate = 7000000
crf = 16.0
effort = "best"

[[rungs]]
name = "240p"
width = 426
height = 240
codec = "h264"
bitrate = 300000
max_bitrate = 450000
crf = 24.0
effort = "fastest"
`;
const LARGE = ['-vf', 'scale=1920:1080', '-c:v', 'libx264', '-preset', 'ultrafast', '-g', '25', '-sc_threshold', '0', '-bf', '0', '-b:v', '8M', '-pix_fmt', 'yuv420p', '-c:a', 'aac'];
const large = SKIP || Number(process.env.SECONDS ?? 0) < 60 ? undefined : synthesise('large.mp4', LARGE);

const short = Number(process.env.SECONDS ?? 0) < 60 && 'skipped: it takes a minute and a half, and a machine with nothing else to do (make players)';
describe('gateway --ladder, on a machine that is too slow', { skip: skip || short || (!large && 'skipped: no clip'), timeout: 600_000 }, () => {
  let browser, players, gateway, sender, url, to;
  const out = mkdtempSync(join(tmpdir(), 'streamverse-ladder-'));
  const events = [];

  before(async () => {
    browser = await launch();
    players = await serve();
    const file = join(MEDIA, 'ladder.toml');
    writeFileSync(file, LADDER);
    const args = ['gateway', '--json', '--out', out, '--rtmp', '127.0.0.1:0', '--listen', '127.0.0.1:0', '--segment', '1s', '--part', '250ms', '--ladder', file];
    gateway = spawn(SV, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    createInterface(gateway.stdout).on('line', (line) => events.push(JSON.parse(line)));
    const ready = await until(async () => events.find((e) => e.event === 'live.ready'), 'the gateway');
    url = `http://${ready.http}/`;
    to = `rtmp://${ready.rtmp}/live/`;
  });

  after(async () => {
    await browser?.close();
    players?.close();
    sender?.kill('SIGKILL');
    gateway?.kill('SIGKILL');
    rmSync(out, { recursive: true, force: true });
  });

  for (const [player, manifest] of [['hls', 'master.m3u8'], ['shaka', 'manifest.mpd'], ['dash', 'manifest.mpd']]) {
    test(`${player} goes on where the rung that it shows is given up`, async () => {
      const stream = `for-${player}`;
      sender = spawn('ffmpeg', ['-v', 'error', '-re', '-stream_loop', '-1', '-i', large, '-c', 'copy', '-f', 'flv', to + stream], { stdio: 'ignore' });
      await until(async () => events.find((e) => e.event === 'live.presentation.started' && e.stream === stream), 'the presentation');
      const page = await open(browser, players, player, `${url}${stream}/${manifest}`);
      // Whoever comes may be there before the first segment is.
      await begun(page, player);
      const dropped = () => events.find((e) => e.event === 'live.ladder.dropped' && e.stream === stream);
      if (!dropped()) {
        await page.evaluate((player) => {
          if (player === 'hls') {
            window.player.nextAutoLevel = window.player.levels.findIndex((level) => level.height === 1068);
          } else if (player === 'shaka') {
            window.player.selectVariantTrack(window.player.getVariantTracks().find((track) => track.height === 1068), true);
          } else {
            const wanted = window.player.getRepresentationsByType('video').find((one) => one.height === 1068);
            if (wanted) window.player.setRepresentationForTypeById('video', wanted.id, true);
          }
        }, player);
      }
      assert.equal((await until(async () => dropped(), 'the rung to be given up', 60_000)).rung, '1068p-h264');
      await wait(6);
      const then = await look(page);
      await wait(5);
      const now = await look(page);
      console.log(`${player}: ${then.size} to ${now.size}, ${now.frames - then.frames} pictures in 5 s, waits ${JSON.stringify(now.waits)} ${JSON.stringify(now.notes ?? [])}`);
      assert.deepEqual(now.errors, []);
      assert.ok(now.frames > then.frames + 50, `${player} showed ${now.frames - then.frames} pictures`);
      await page.close();
      sender.kill('SIGKILL');
    });
  }
});
