// What every test here needs: a browser, the service on a folder of its own, and patience that
// waits for conditions instead of counting seconds.

import { spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { accessSync, constants, createReadStream, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const here = fileURLToPath(new URL('.', import.meta.url));

/** Where pictures for people go. */
export const SCREENSHOTS = process.env.SCREENSHOTS ?? join(here, 'screenshots');
mkdirSync(SCREENSHOTS, { recursive: true });

function onPath(names) {
  for (const name of names) {
    for (const folder of (process.env.PATH ?? '').split(delimiter)) {
      try {
        accessSync(join(folder, name), constants.X_OK);
        return join(folder, name);
      } catch {
        // Not here.
      }
    }
  }
  return undefined;
}

const browserProgram = process.env.CHROMIUM ?? onPath(['chromium', 'chromium-browser', 'google-chrome']);

/** The newer of the two builds of one of our programs. */
function built(name) {
  const target = process.env.CARGO_TARGET_DIR ?? resolve(here, '../../../target');
  const found = ['debug', 'release'].map((p) => join(target, p, name)).filter(existsSync);
  return found.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0];
}

const program = process.env.STREAMVERSE_SERVICE ?? built('reference-service');

/** The command, if it is built. */
export const SV = process.env.STREAMVERSE_SV ?? built('sv');

/** A folder for media made here; gone when the tests are. */
export const MEDIA = mkdtempSync(join(tmpdir(), 'streamverse-media-'));
process.on('exit', () => rmSync(MEDIA, { recursive: true, force: true }));

/** The folder of real media, if there is one. */
export const CORPUS = process.env.STREAMVERSE_CORPUS;

function sample() {
  const path = join(MEDIA, 'sample.mp4');
  const maker = built('make-sample');
  return maker && spawnSync(maker, [path, '20']).status === 0 ? path : undefined;
}

/** A clip of at least 10 seconds. */
export const CLIP =
  process.env.STREAMVERSE_CLIP ?? (CORPUS ? join(CORPUS, 'clips/big_buck_bunny_trailer_720p24.mp4') : sample());

/** A file that takes its time on the way; nobody looks at what is in it. */
export const LOAD = join(MEDIA, 'load.mp4');
writeFileSync(LOAD, randomBytes(8_000_000));

/** Makes a clip with the ffmpeg on the PATH, or gives `undefined` where that can't. */
export function synthesise(name, args, seconds = 7) {
  const path = join(MEDIA, name);
  const source = ['-f', 'lavfi', '-i', `testsrc2=s=640x360:r=25:d=${seconds}`, '-f', 'lavfi', '-i', `sine=d=${seconds}`];
  const made = spawnSync('ffmpeg', ['-v', 'error', '-y', ...source, ...args, path]);
  return made.status === 0 ? path : undefined;
}

/** Why nothing can be tested here, or `false`. */
export const SKIP =
  (!browserProgram && 'skipped: there is no Chromium on the PATH (apt-get install chromium, or set CHROMIUM)') ||
  (!program && 'skipped: the service is not built (cargo build -p reference-service, or set STREAMVERSE_SERVICE)') ||
  (!CLIP && 'skipped: no clip (build make-sample, or set STREAMVERSE_CLIP to a video of 10 seconds or more)') ||
  false;
if (SKIP) console.log(SKIP);

/** The service as a process that can be killed and started again on the same folder and port. */
export class Service {
  data = mkdtempSync(join(tmpdir(), 'streamverse-e2e-'));
  #process;
  #port = 0;
  log = [];

  get url() {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Starts, and returns when it listens. */
  async start() {
    // The library is empty at first: no sample from whoever calls us.
    const { SAMPLE: _, ...env } = process.env;
    const child = spawn(program, ['--listen', `127.0.0.1:${this.#port}`, '--data', this.data, '--log', 'json'], {
      env: { ...env, RUST_LOG: 'info' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#process = child;
    const gone = new Promise((_, reject) => {
      child.once('exit', (code) => reject(new Error(`the service ended with ${code}:\n${this.log.join('\n')}`)));
      child.once('error', reject);
    });
    gone.catch(() => undefined);
    createInterface(child.stderr).on('line', (line) => this.log.push(line));
    const listening = new Promise((done) => {
      createInterface(child.stdout).on('line', (line) => {
        this.log.push(line);
        const url = /"url":"http:\/\/[^"]*:(\d+)"/.exec(line);
        if (url) done(Number(url[1]));
      });
    });
    this.#port = await Promise.race([listening, gone]);
    return this;
  }

  /** Ends it as a power failure would. */
  async kill() {
    const child = this.#process;
    const ended = new Promise((done) => child.once('exit', done));
    child.kill('SIGKILL');
    await ended;
  }

  async stop() {
    if (this.#process.exitCode === null && this.#process.signalCode === null) await this.kill();
    rmSync(this.data, { recursive: true, force: true });
  }

  async get(path) {
    const answer = await fetch(this.url + path);
    return answer.json();
  }
}

/** Waits until `look` gives something true, and gives that. */
export async function until(look, what, limit = 300_000) {
  for (const end = Date.now() + limit; Date.now() < end; await new Promise((next) => setTimeout(next, 250))) {
    const found = await look();
    if (found) return found;
  }
  throw new Error(`waited in vain for ${what}`);
}

/** Does something for each of several players: side by side where each takes long, and else one after the other. */
export async function each(players, seconds, run) {
  if (seconds > 10) return Promise.all(players.map(run));
  for (const player of players) await run(player);
}

/** A browser that lets videos play without a click and keeps to itself; `more` are arguments beyond that. */
export function launch(more = []) {
  return chromium.launch({
    executablePath: browserProgram,
    args: [
      '--no-sandbox',
      '--disable-dev-shm-usage',
      '--disable-gpu',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--autoplay-policy=no-user-gesture-required',
      ...more,
    ],
  });
}

/** A page that remembers what went wrong in it. */
export async function open(browser, service, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, colorScheme: 'light', reducedMotion: 'reduce', ...options });
  const page = await context.newPage();
  page.problems = [];
  page.on('pageerror', (error) => page.problems.push(`page error: ${error.message}`));
  page.on('requestfinished', async (request) => {
    const url = new URL(request.url());
    if (url.origin !== service.url && url.protocol.startsWith('http')) page.problems.push(`external request: ${url}`);
  });
  page.on('console', (message) => {
    if (message.type() === 'error') page.problems.push(`console: ${message.text()} ${message.location().url}`.trim());
  });
  await page.goto(service.url);
  await page.locator('#link[data-up=true]').waitFor();
  return page;
}

/** Says of a clip that it is to be turned when shown: FFmpeg 5 and 6 are told in different ways. */
export function turned(path) {
  const out = path?.replace(/\.mp4$/, '-turned.mp4');
  const ways = [
    ['-display_rotation', '90', '-i', path, '-c', 'copy'],
    ['-i', path, '-c', 'copy', '-metadata:s:v:0', 'rotate=90'],
  ];
  return ways.some((way) => {
    if (!path || spawnSync('ffmpeg', ['-v', 'error', '-y', ...way, out]).status !== 0) return false;
    const seen = spawnSync('ffprobe', ['-v', 'error', '-show_streams', out], { encoding: 'utf8' });
    return /rotation=-?90/.test(seen.stdout);
  })
    ? out
    : undefined;
}

/** Slows a page's network down until a file takes so many seconds: something to see and to interrupt. */
export async function slow(page, file, seconds) {
  const session = await page.context().newCDPSession(page);
  await session.send('Network.enable');
  const limit = (uploadThroughput) =>
    session.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput });
  await limit(statSync(file).size / seconds);
  return { full: () => limit(-1) };
}

export function picture(page, name, options = {}) {
  return page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), ...options });
}

export async function sha256(path) {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path)) hash.update(piece);
  return hash.digest('hex');
}

/** Chooses an engine on the watch page and plays from the beginning for more than five seconds. */
export async function plays(page, engine, far = 5) {
  const radio = page.locator(`input[name=engine][value="${engine}"]`);
  await radio.waitFor({ state: 'attached' });
  await radio.check({ force: true });
  await page.locator(`.player[data-engine="${engine}"]`).waitFor();
  return page.evaluate(async (far) => {
    const video = document.querySelector('video');
    const problem = document.querySelector('.screen .problem');
    video.muted = true;
    const state = () => ({
      time: video.currentTime,
      frames: video.getVideoPlaybackQuality().totalVideoFrames,
      error: video.error?.message ?? null,
      problem: problem.hidden ? null : problem.textContent,
    });
    const limit = AbortSignal.timeout(45_000);
    return new Promise((done) => {
      const look = () => {
        const now = state();
        if ((now.time > far && now.frames > 20) || now.error || now.problem || limit.aborted) {
          video.removeEventListener('timeupdate', look);
          clearInterval(timer);
          done(now);
        } else if (video.paused && video.readyState >= 3) {
          video.play().catch(() => undefined);
        }
      };
      const timer = setInterval(look, 200);
      video.addEventListener('timeupdate', look);
    });
  }, far);
}
