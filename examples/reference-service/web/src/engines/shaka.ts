import shaka from 'shaka-player';
import { hex, keysOf } from './clearkey';
import type { Engine, Listener, Source } from './index';

export async function load(video: HTMLVideoElement, source: Source, listener: Listener): Promise<Engine> {
  const url = new URL(source.url, location.href).href;
  shaka.polyfill.installAll();
  const player = new shaka.Player();
  await player.attach(video);
  const failed = (error: unknown) => {
    const { code, category } = (error ?? {}) as { code?: number; category?: number };
    if (code === shaka.util.Error.Code.LOAD_INTERRUPTED) return;
    listener.failed(`Shaka can't go on: error ${code ?? '?'} of category ${category ?? '?'}.`);
  };
  player.addEventListener('error', (event) => failed((event as unknown as { detail: unknown }).detail));
  player.addEventListener('trackschanged', () => listener.levels());
  player.configure({ abr: { restrictToElementSize: true } });
  if (source.license && url.endsWith('.m3u8')) {
    // HLS has no agreed name for ClearKey, and Shaka knows only one of its own.
    const keys = await keysOf(url, source.license);
    const clearKeys = Object.fromEntries(keys.map(({ kid, key }) => [hex(kid), hex(key)]));
    player.configure({ drm: { clearKeys }, manifest: { ignoreDrmInfo: true } });
  } else if (source.license) {
    const server = new URL(source.license, location.href).href;
    player.configure({ drm: { servers: { 'org.w3.clearkey': server } } });
  }
  // Not awaited: the page shows what happens meanwhile, and a failure has its own way.
  void player.load(url).catch(failed);
  // One entry for each picture size, whatever sound goes with it.
  const variants = () => {
    const byHeight = new Map(player.getVariantTracks().map((t) => [`${t.height} ${t.videoBandwidth}`, t]));
    return [...byHeight.values()];
  };
  return {
    levels: () => variants().map((t) => ({ id: t.id, height: t.height ?? 0, bitrate: t.videoBandwidth ?? t.bandwidth })),
    choose: (id) => {
      player.configure({ abr: { enabled: id === null } });
      const wanted = variants().find((t) => t.id === id);
      if (wanted) player.selectVariantTrack(wanted, true);
    },
    stats: () => {
      const { streamBandwidth, estimatedBandwidth, liveLatency } = player.getStats();
      const behind = player.isLive() ? liveLatency : null;
      return { bitrate: streamBandwidth || null, bandwidth: estimatedBandwidth || null, behind };
    },
    destroy: () => player.destroy(),
  };
}
