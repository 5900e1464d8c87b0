import { MediaPlayer } from 'dashjs';
import type { Engine, Listener, Source } from './index';

export function load(video: HTMLVideoElement, source: Source, listener: Listener): Promise<Engine> {
  const player = MediaPlayer().create();
  player.initialize();
  player.updateSettings({ debug: { logLevel: 1 }, streaming: { abr: { limitBitrateByPortal: true } } });
  if (source.license) {
    const serverURL = new URL(source.license, location.href).href;
    player.setProtectionData({ 'org.w3.clearkey': { serverURL } });
  }
  player.on(MediaPlayer.events.STREAM_INITIALIZED, () => listener.levels());
  player.on(MediaPlayer.events.ERROR, (event) => {
    const error = (event as { error?: { message?: string } | string }).error;
    const text = typeof error === 'string' ? error : error?.message;
    listener.failed(`dash.js can't go on: ${text ?? 'it does not say why'}.`);
  });
  player.attachView(video);
  player.attachSource(new URL(source.url, location.href).href);
  const list = () => player.getRepresentationsByType('video') ?? [];
  return Promise.resolve({
    levels: () => list().map((r, id) => ({ id, height: r.height, bitrate: r.bandwidth })),
    choose: (id) => {
      player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: id === null } } } });
      const wanted = id === null ? undefined : list()[id];
      if (wanted) player.setRepresentationForTypeById('video', wanted.id, true);
    },
    stats: () => ({
      bitrate: player.getCurrentRepresentationForType('video')?.bandwidth ?? null,
      bandwidth: player.getAverageThroughput('video') * 1000 || null,
    }),
    destroy: () => player.destroy(),
  });
}
