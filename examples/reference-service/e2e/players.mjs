// The three players that browsers use, against any address: what they report, nothing else.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from './harness.mjs';

const web = fileURLToPath(new URL('../web/', import.meta.url));
const require = createRequire(join(web, 'package.json'));
const root = (name) => join(web, 'node_modules', name);

const SCRIPTS = {
  '/hls.js': () => join(root('hls.js'), 'dist/hls.min.js'),
  '/dash.js': () => join(root('dashjs'), 'dist/modern/umd/dash.all.min.js'),
  '/shaka.js': () => join(root('shaka-player'), 'dist/shaka-player.compiled.js'),
};

const PAGE = `<!doctype html><meta charset="utf-8"><title>players</title>
<video id="v" muted width="640"></video>
<script>
const video = document.getElementById('v');
const seen = { errors: [], waits: [], started: null, latency: null };
window.seen = seen;
const q = new URLSearchParams(location.search);
const url = q.get('url'), low = q.get('low') === '1';
const keys = JSON.parse(q.get('keys') || '{}'), license = q.get('license');
const fail = (what) => seen.errors.push(String(what).slice(0, 300));
const SPLICES = ['urn:scte:scte35:2014:xml+bin', 'urn:scte:scte35:2013:bin'];
const told = (scheme, at) => (seen.events ??= []).push({ scheme, at });
const script = (src) => new Promise((ok, no) => {
  const s = document.createElement('script');
  s.src = src; s.onload = ok; s.onerror = () => no(new Error(src));
  document.head.append(s);
});
video.addEventListener('playing', () => { seen.started ??= performance.now(); });
video.addEventListener('waiting', () => {
  if (seen.started === null || video.seeking) return;
  const from = performance.now();
  seen.waits.push({ at: video.currentTime, ms: null });
  video.addEventListener('playing', () => { seen.waits.at(-1).ms = performance.now() - from; }, { once: true });
});
video.addEventListener('error', () => fail('media ' + video.error?.message));
(async () => {
  const player = q.get('player');
  await script('/' + player + '.js');
  if (player === 'hls') {
    const drmSystems = { 'org.w3.clearkey': { licenseUrl: license } };
    const encrypted = license ? { emeEnabled: true, drmSystems } : {};
    // Captions in pictures are left alone: text is what playlists name.
    const hls = new Hls({ lowLatencyMode: low, enableWorker: false, enableCEA708Captions: false, ...encrypted });
    hls.on(Hls.Events.ERROR, (_, d) => {
      const text = [d.type, d.details, d.reason, d.error?.message, d.response?.code, d.url ?? d.frag?.url].join(' ');
      (d.fatal ? fail : (t) => (seen.notes ??= []).push(t))(text);
    });
    for (const name of Object.keys(Hls.Events).filter((name) => name.startsWith('INTERSTITIAL'))) {
      hls.on(Hls.Events[name], (_, d) => (seen.between ??= []).push(d.error ? name + ' ' + d.error.message : name));
    }
    hls.loadSource(url); hls.attachMedia(video);
    window.latency = () => hls.latency;
    window.player = hls;
  } else if (player === 'dash') {
    const dash = dashjs.MediaPlayer().create();
    dash.updateSettings({ debug: { logLevel: Number(q.get("log") || 0) }, streaming: { delay: low ? {} : { liveDelayFragmentCount: 3 } } });
    dash.on('error', (e) => fail(e.error?.code + ' ' + e.error?.message));
    const base64 = (hex) => btoa(String.fromCharCode(...hex.match(/../g).map((b) => parseInt(b, 16)))).replace(/\\+/g, '-').replace(/\\//g, '_').replace(/=+$/, '');
    const clearkeys = Object.fromEntries(Object.entries(keys).map((pair) => pair.map(base64)));
    if (Object.keys(keys).length) dash.setProtectionData({ 'org.w3.clearkey': { clearkeys } });
    if (license) dash.setProtectionData({ 'org.w3.clearkey': { serverURL: license } });
    for (const scheme of SPLICES) {
      dash.on(scheme, (e) => told(scheme, e.event.calculatedPresentationTime));
    }
    dash.initialize(video, url, true);
    window.latency = () => dash.getCurrentLiveLatency();
    window.player = dash;
  } else {
    shaka.polyfill.installAll();
    const s = new shaka.Player();
    await s.attach(video);
    if (Object.keys(keys).length) s.configure({ drm: { clearKeys: keys } });
    if (license) s.configure({ drm: { servers: { 'org.w3.clearkey': license } } });
    s.configure({ streaming: { lowLatencyMode: low } });
    s.addEventListener('error', (e) => fail(e.detail.code + ' ' + JSON.stringify(e.detail.data).slice(0, 200)));
    s.addEventListener('timelineregionenter', (e) => told(e.detail.schemeIdUri, e.detail.startTime));
    s.addEventListener('emsg', (e) => told(e.detail.schemeIdUri, e.detail.startTime));
    await s.load(url);
    window.latency = () => (Date.now() - s.getPlayheadTimeAsDate()) / 1000;
    window.player = s;
  }
  // dash.js must hear that it begins, or never asks for the manifest again.
  if (player !== 'dash') await video.play();
})().catch((e) => fail(e.code ? e.code + ' ' + JSON.stringify(e.data) : e.message));
</script>`;

/** Serves the page; give its address `?player=hls|dash|shaka&url=…&low=0|1`. */
export async function serve() {
  const server = createServer((request, response) => {
    const path = new URL(request.url, 'http://x').pathname;
    if (path === '/') return response.setHeader('content-type', 'text/html').end(PAGE);
    const file = SCRIPTS[path];
    if (!file) return response.writeHead(404).end();
    response.setHeader('content-type', 'text/javascript').end(readFileSync(file()));
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return { address: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}

/** A server of ClearKey licences for these keys of one film, names and keys in hexadecimal: whoever asks for one gets them all,
 * since dash.js and Shaka Player ask for the first alone. Notes which were asked for. */
export async function licences(keys) {
  const asked = [];
  const hex = (text) => Buffer.from(text, 'base64url').toString('hex');
  const base64 = (text) => Buffer.from(text, 'hex').toString('base64url');
  const server = createServer(async (request, response) => {
    response.setHeader('access-control-allow-origin', '*').setHeader('access-control-allow-headers', '*');
    if (request.method !== 'POST') return response.end();
    const parts = [];
    for await (const part of request) parts.push(part);
    const kids = JSON.parse(Buffer.concat(parts).toString()).kids.map(hex);
    asked.push(...kids);
    const all = Object.entries(keys).map(([kid, key]) => ({ kty: 'oct', kid: base64(kid), k: base64(key) }));
    const known = kids.some((kid) => keys[kid]);
    response.setHeader('content-type', 'application/json').writeHead(known ? 200 : 403);
    response.end(JSON.stringify({ keys: known ? all : [], type: 'temporary' }));
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return { asked, url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}

/** A page in which `player` plays `url`, with `keys` or with those that the server at `license` gives. `first` gets it before
 * it goes there. */
export async function open(browser, players, player, url, { low = false, keys = {}, license = '', first = () => {} } = {}) {
  const page = await browser.newPage();
  first(page);
  const query = new URLSearchParams({ player, low: low ? '1' : '0', keys: JSON.stringify(keys), license, url });
  await page.goto(`${players.address}?${query}`);
  return page;
}

/** What the page has seen when pictures move, or when something went wrong. */
export function begun(page, what) {
  const moving = async () => {
    const seen = await look(page);
    return seen.errors.length || (seen.started && seen.frames > 10) ? seen : undefined;
  };
  return until(moving, `${what} to begin`, 60_000);
}

/** What the page has seen so far. */
export const look = (page) =>
  page.evaluate(() => ({
    ...seen,
    time: video.currentTime,
    buffered: video.buffered.length ? video.buffered.end(video.buffered.length - 1) : 0,
    size: `${video.videoWidth}x${video.videoHeight}`,
    latency: window.latency?.() ?? null,
    frames: video.getVideoPlaybackQuality().totalVideoFrames,
  }));
