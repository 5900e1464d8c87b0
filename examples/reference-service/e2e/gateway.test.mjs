// `sv gateway` in the players that browsers use: an encoder sends by RTMP, goes for a second, and comes again with a clock
// that begins at 0; once with nothing to show meanwhile, and once with its last picture, where nobody may wait or be later for it.
// SECONDS says for how long each watches.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { SKIP, SV, launch, synthesise, until } from './harness.mjs';
import { begun, look, open, serve } from './players.mjs';

const SECONDS = Number(process.env.SECONDS ?? 8);
const GOP = ['-c:v', 'libx264', '-preset', 'veryfast', '-g', '25', '-sc_threshold', '0', '-bf', '0', '-pix_fmt', 'yuv420p', '-c:a', 'aac'];
const clip = SKIP ? undefined : synthesise('gateway.mp4', GOP);
const skip = SKIP || (!SV && 'skipped: sv is not built') || (!clip && 'skipped: there is no ffmpeg to make a clip');
if (skip) console.log(skip);

const wait = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

for (const fill of ['0s', '']) describe(fill ? `gateway --fill ${fill}` : 'gateway', { skip, timeout: 600_000 }, () => {
  let browser, players, gateway, rtmp, url;
  const out = mkdtempSync(join(tmpdir(), 'streamverse-gateway-'));
  const events = [];

  before(async () => {
    browser = await launch();
    players = await serve();
    const args = ['gateway', '--json', '--out', out, '--rtmp', '127.0.0.1:0', '--listen', '127.0.0.1:0', '--segment', '1s', '--part', '250ms', ...(fill && ['--fill', fill])];
    gateway = spawn(SV, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    createInterface(gateway.stdout).on('line', (line) => events.push(JSON.parse(line)));
    const ready = await until(async () => events.find((e) => e.event === 'live.ready'), 'the gateway');
    rtmp = `rtmp://${ready.rtmp}/live/`;
    url = `http://${ready.http}/`;
  });

  after(async () => {
    await browser?.close();
    players?.close();
    gateway?.kill('SIGKILL');
    rmSync(out, { recursive: true, force: true });
  });

  /** An encoder that sends the clip again and again. */
  const send = (name) =>
    spawn('ffmpeg', ['-v', 'error', '-re', '-stream_loop', '-1', '-i', clip, '-c', 'copy', '-f', 'flv', rtmp + name], { stdio: 'ignore' });

  async function stop(sender) {
    const gone = new Promise((done) => sender.once('exit', done));
    sender.kill('SIGKILL');
    await gone;
  }

  test('who watches goes on when the encoder comes again', async () => {
    let sender = send('studio');
    try {
      await until(async () => (await (await fetch(`${url}studio/360p-h264.m3u8`)).text()).includes('360p-h264/4.m4s'), 'segments');
      const pages = [];
      for (const [player, low] of [['hls', true], ['dash', true], ['shaka', false]]) {
        const manifest = player === 'hls' ? 'master.m3u8' : 'manifest.mpd';
        const page = await open(browser, players, player, `${url}studio/${manifest}`, { low });
        pages.push([player, page, await begun(page, player)]);
      }
      await wait(SECONDS);
      const settled = await Promise.all(pages.map(([, page]) => look(page)));
      await stop(sender);
      await wait(1);
      sender = send('studio');
      await wait(SECONDS);
      const ends = await Promise.all(pages.map(([, page]) => look(page)));
      for (const [n, [player]] of pages.entries()) {
        const [then, now] = [settled[n], ends[n]];
        console.log(`${player}: ${then.latency.toFixed(2)} s behind, ${now.latency.toFixed(2)} s after it came again, waits ${JSON.stringify(now.waits)}`);
        assert.deepEqual(now.errors, [], player);
        assert.ok(now.frames > then.frames + (SECONDS - 3) * 25, `${player} showed ${now.frames - then.frames} pictures more`);
      }
      if (!fill) {
        // A player that takes up other parameters may stop for a picture or two, and longer on a busy machine: what is missing is a second.
        for (const [n, [player]] of pages.entries()) {
          const stalls = ends[n].waits.slice(settled[n].waits.length).filter(({ ms }) => !(ms < 300));
          assert.deepEqual(stalls, [], `${player} waited`);
          assert.ok(ends[n].latency < settled[n].latency + 0.5, `${player} is later than before`);
        }
      }
      const started = events.filter((e) => e.event === 'live.presentation.started');
      assert.equal(started.length, 1);
    } finally {
      await stop(sender);
    }
  });

  test('the list of streams names it', async () => {
    const page = await browser.newPage();
    await page.goto(url);
    await page.getByRole('link', { name: 'studio' }).click();
    await page.waitForURL(`${url}studio/`);
    await page.close();
  });
});
