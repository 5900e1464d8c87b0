import Hls from 'hls.js';
import type { Engine, Listener, Source } from './index';

export function load(video: HTMLVideoElement, source: Source, listener: Listener): Promise<Engine> {
  const hls = new Hls({
    capLevelToPlayerSize: true,
    // Of what is live: whoever fell behind catches up.
    maxLiveSyncPlaybackRate: 1.5,
    ...(source.license && {
      emeEnabled: true,
      drmSystems: { 'org.w3.clearkey': { licenseUrl: source.license } },
    }),
  });
  hls.on(Hls.Events.MANIFEST_PARSED, () => listener.levels());
  hls.on(Hls.Events.ERROR, (_, error) => {
    if (error.fatal) listener.failed(`hls.js can't go on: ${error.details}.`);
  });
  hls.loadSource(new URL(source.url, location.href).href);
  hls.attachMedia(video);
  return Promise.resolve({
    levels: () => hls.levels.map((l, id) => ({ id, height: l.height, bitrate: l.bitrate })),
    choose: (id) => {
      hls.currentLevel = id ?? -1;
    },
    stats: () => ({
      bitrate: hls.levels[hls.currentLevel]?.bitrate ?? null,
      bandwidth: Number.isFinite(hls.bandwidthEstimate) ? hls.bandwidthEstimate : null,
      behind: hls.levels.some((l) => l.details?.live) ? hls.latency : null,
    }),
    destroy: () => hls.destroy(),
  });
}
