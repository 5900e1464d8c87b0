import { MediaPlayer } from 'dashjs';
import { base64url, keysOf } from './clearkey';
import type { Engine, Listener, Source } from './index';

export async function load(video: HTMLVideoElement, source: Source, listener: Listener): Promise<Engine> {
  const url = new URL(source.url, location.href).href;
  const player = MediaPlayer().create();
  player.initialize();
  player.updateSettings({
    debug: { logLevel: 1 },
    streaming: {
      abr: { limitBitrateByPortal: true },
      protection: { ignoreEmeEncryptedEvent: true },
    },
  });
  if (source.license) {
    // dash.js takes all initialisation data of ClearKey for a list of key ids, also the PSSH boxes
    // that manifest and media carry for other players, and stumbles over them. With the keys in its
    // hands it makes that list itself.
    const keys = await keysOf(url, source.license);
    const clearkeys = Object.fromEntries(keys.map(({ kid, key }) => [base64url(kid), base64url(key)]));
    player.setProtectionData({ 'org.w3.clearkey': { clearkeys } });
  }
  player.on(MediaPlayer.events.STREAM_INITIALIZED, () => listener.levels());
  player.on(MediaPlayer.events.ERROR, (event) => {
    const error = (event as { error?: { message?: string } | string }).error;
    const text = typeof error === 'string' ? error : error?.message;
    listener.failed(`dash.js can't go on: ${text ?? 'it does not say why'}.`);
  });
  player.attachView(video);
  player.attachSource(url);
  const list = () => player.getRepresentationsByType('video') ?? [];
  return {
    levels: () => list().map((r, id) => ({ id, height: r.height, bitrate: r.bandwidth })),
    choose: (id) => {
      player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: id === null } } } });
      const wanted = id === null ? undefined : list()[id];
      if (wanted) player.setRepresentationForTypeById('video', wanted.id, true);
    },
    stats: () => ({
      bitrate: player.getCurrentRepresentationForType('video')?.bandwidth ?? null,
      bandwidth: player.getAverageThroughput('video') * 1000 || null,
      behind: player.isReady() && player.isDynamic() ? player.getCurrentLiveLatency() : null,
    }),
    destroy: () => player.destroy(),
  };
}
