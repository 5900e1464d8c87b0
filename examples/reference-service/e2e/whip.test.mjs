// A browser sends its camera by WHIP: the pictures that it encoded are those that the gateway kept, and hls.js plays them
// meanwhile in the same browser.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { SKIP, SV, launch, until } from './harness.mjs';
import { begun, look, open, serve } from './players.mjs';

const skip = SKIP || (!SV && 'skipped: sv is not built');
if (skip) console.log(skip);

const FAKE = [
  '--use-fake-ui-for-media-stream',
  '--use-fake-device-for-media-stream',
  '--disable-features=WebRtcHideLocalIpsWithMdns',
];

describe('whip', { skip, timeout: 600_000 }, () => {
  let browser, players, gateway, url;
  const out = mkdtempSync(join(tmpdir(), 'streamverse-whip-'));
  const events = [];

  before(async () => {
    browser = await launch(FAKE);
    players = await serve();
    const args = ['gateway', '--json', '--out', out, '--rtmp', '127.0.0.1:0', '--listen', '127.0.0.1:0', '--whip', '0.0.0.0:0,0.0.0.0:0'];
    const shape = ['--segment', '2s', '--part', '500ms', '--event', '--linger', '2s'];
    gateway = spawn(SV, [...args, ...shape], { stdio: ['ignore', 'pipe', 'inherit'] });
    createInterface(gateway.stdout).on('line', (line) => events.push(JSON.parse(line)));
    const ready = await until(async () => events.find((e) => e.event === 'live.ready'), 'the gateway');
    url = `http://${ready.http}/`;
  });

  after(async () => {
    await browser?.close();
    players?.close();
    gateway?.kill('SIGKILL');
    rmSync(out, { recursive: true, force: true });
  });

  const told = (event, stream) => events.find((e) => e.event === event && e.stream === stream);

  /** A page that sends to a stream: `stop` ends its pictures and gives how many were sent; false where it can't encode so. */
  async function camera(name, codec, { way = 'udp', layers, width = 640, height = 480 } = {}) {
    const page = await browser.newPage();
    await page.goto(`${url}send`);
    const can = await page.evaluate(async ({ name, codec, way, layers, width, height }) => {
      const all = RTCRtpSender.getCapabilities('video').codecs;
      if (!all.some((c) => c.mimeType === `video/${codec}`)) return false;
      const media = await navigator.mediaDevices.getUserMedia({ video: { width, height, frameRate: 20 }, audio: true });
      const connection = new RTCPeerConnection();
      window.camera = { connection, media };
      for (const track of media.getTracks()) {
        const video = track.kind === 'video';
        const sendEncodings = video && layers ? layers : [{}];
        const transceiver = connection.addTransceiver(track, { direction: 'sendonly', streams: [media], sendEncodings });
        if (video && !layers) {
          // A browser that is busy sends smaller pictures else, which are another stream to whoever counts them.
          const parameters = transceiver.sender.getParameters();
          await transceiver.sender.setParameters({ ...parameters, degradationPreference: 'maintain-resolution' });
        }
        if (video) transceiver.setCodecPreferences(all.filter((c) => [`video/${codec}`, 'video/rtx'].includes(c.mimeType)));
      }
      await connection.setLocalDescription();
      const headers = { 'Content-Type': 'application/sdp' };
      const response = await fetch(`whip/${name}`, { method: 'POST', headers, body: connection.localDescription.sdp });
      if (response.status !== 201) throw new Error(await response.text());
      window.camera.session = response.headers.get('Location');
      const lines = (await response.text()).split('\r\n');
      const sdp = lines.filter((line) => !line.startsWith('a=candidate') || line.includes(` ${way} `)).join('\r\n');
      await connection.setRemoteDescription({ type: 'answer', sdp });
      return true;
    }, { name, codec, way, layers, width, height });
    const sent = () =>
      page.evaluate(async () => {
        const stats = [...(await camera.connection.getStats()).values()];
        return stats.filter((s) => s.type === 'outbound-rtp' && s.kind === 'video').map((s) => s.framesSent).reduce((a, b) => a + b, 0);
      });
    const stop = async () => {
      await page.evaluate(() => Promise.all(camera.connection.getSenders().filter((s) => s.track?.kind === 'video').map((s) => s.replaceTrack(null))));
      let before = -1;
      const count = await until(async () => {
        const now = await sent();
        const settled = now === before;
        before = now;
        return settled && now;
      }, 'the last picture');
      const status = await page.evaluate(async () => (await fetch(camera.session, { method: 'DELETE' })).status);
      assert.equal(status, 200);
      return count;
    };
    return can && { page, sent, stop };
  }

  /** Pictures of what was kept of a stream. */
  function kept(name) {
    const [folder] = readdirSync(join(out, name));
    const probe = spawnSync('ffprobe', ['-v', 'error', '-count_packets', '-select_streams', 'v', '-show_entries', 'stream=nb_read_packets,width', '-of', 'json',
      join(out, name, folder, 'master.m3u8')], { encoding: 'utf8' });
    assert.equal(probe.stderr, '', name);
    return JSON.parse(probe.stdout).streams[0];
  }

  for (const [codec, way] of [['H264', 'udp'], ['VP9', 'tcp'], ['AV1', 'udp']]) {
    test(`${codec} and Opus by ${way} are played while they come, and kept to the picture`, async (t) => {
      const name = `camera-${codec.toLowerCase()}`;
      const sender = await camera(name, codec, { way });
      if (!sender) return t.skip(`this browser can't encode ${codec}`);
      await until(async () => told('live.presentation.started', name), `the presentation of ${codec}`, 60_000);
      const page = await open(browser, players, 'hls', `${url}${name}/master.m3u8`, { low: true });
      await begun(page, codec);
      const first = await look(page);
      const later = await until(async () => {
        const seen = await look(page);
        return (seen.errors.length || seen.frames > first.frames + 60) && seen;
      }, `pictures of ${codec}`, 60_000);
      assert.deepEqual(later.errors, []);
      assert.equal(later.size, '640x480');
      console.log(`${codec} by ${way}: ${later.latency.toFixed(2)} s behind`);
      const count = await sender.stop();
      await page.close();
      await sender.page.close();
      await until(async () => told('live.presentation.ended', name), 'the end', 60_000);
      assert.equal(Number(kept(name).nb_read_packets), count);
    });
  }

  test('VP8 comes to the hub, whatever can be made of it', async (t) => {
    const sender = await camera('camera-vp8', 'VP8');
    if (!sender) return t.skip("this browser can't encode VP8");
    await until(async () => told('live.stream.track', 'camera-vp8'), 'the track', 60_000);
    const rates = async () => {
      const stream = (await (await fetch(`${url}streams`)).json()).find((s) => s.name === 'camera-vp8');
      return stream?.health?.tracks.find((track) => track.codec === 'vp8')?.rate > 10;
    };
    await until(rates, 'pictures', 60_000);
    assert.ok((await sender.stop()) > 0);
    await sender.page.close();
  });

  test('of several sizes the largest is taken', async (t) => {
    const layers = [
      { rid: 'a', scaleResolutionDownBy: 4 },
      { rid: 'b', scaleResolutionDownBy: 2 },
      { rid: 'c' },
    ];
    const sender = await camera('layers', 'H264', { layers, width: 1280, height: 720 });
    if (!sender) return t.skip("this browser can't encode H.264");
    await until(async () => told('live.presentation.started', 'layers'), 'the presentation', 60_000);
    const largest = async () => (await (await fetch(`${url}layers/master.m3u8`)).text()).includes('RESOLUTION=1280x720');
    await until(largest, 'the largest pictures', 60_000);
    assert.ok((await sender.stop()) > 0);
    await sender.page.close();
  });

  test('the page sends a camera', async () => {
    const page = await browser.newPage();
    await page.goto(`${url}send`);
    await page.getByLabel('Stream').fill('by-hand');
    await page.getByRole('button', { name: 'Start' }).click();
    await page.getByText('connected', { exact: true }).waitFor();
    await until(async () => told('live.stream.started', 'by-hand'), 'the stream', 60_000);
    await page.getByRole('button', { name: 'Stop' }).click();
    await until(async () => told('live.stream.ended', 'by-hand'), 'its end', 60_000);
    await page.close();
  });
});
