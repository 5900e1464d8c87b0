/** Sends this machine's camera and microphone by WHIP (RFC 9725). */

import { sentence } from './api';
import { h, setText } from './dom';

/** Pictures that can be presented, those first that most devices play. */
const CODECS = ['video/H264', 'video/VP9', 'video/AV1', 'video/H265'];

/** A button that sends, and what becomes of it. */
export class Camera {
  private readonly button = h('button', { class: 'button', onclick: () => void (this.connection ? this.stop() : this.start()) }, 'Send this camera');
  private readonly status = h('span', { class: 'fine', role: 'status' });
  readonly element = h('p', { class: 'camera' }, this.button, this.status);
  private connection: RTCPeerConnection | null = null;
  private session: string | null = null;
  private endpoint = '';
  private key = '';
  private readonly leave = () => this.stop();

  constructor() {
    addEventListener('pagehide', this.leave);
  }

  /** Where to, and whether there is anything to do at all. */
  update(endpoint: string, key: string | undefined, free: boolean): void {
    [this.endpoint, this.key] = [endpoint, key ?? ''];
    this.element.hidden = !this.connection && !(key && free && navigator.mediaDevices);
  }

  destroy(): void {
    removeEventListener('pagehide', this.leave);
    this.stop();
  }

  private async start(): Promise<void> {
    const connection = new RTCPeerConnection();
    this.connection = connection;
    setText(this.button, 'Stop the camera');
    setText(this.status, '');
    try {
      const video = { width: { ideal: 1280 }, height: { ideal: 720 } };
      const media = await navigator.mediaDevices.getUserMedia({ video, audio: true });
      for (const track of media.getTracks()) {
        // Whoever has pressed Stop meanwhile.
        if (this.connection !== connection) track.stop();
        else await this.add(connection, track, media);
      }
      if (this.connection !== connection) return;
      connection.onconnectionstatechange = () => {
        if (this.connection !== connection) return;
        if (connection.connectionState === 'failed') this.stop('The connection has failed.');
        else setText(this.status, connection.connectionState === 'connected' ? 'It is on air.' : 'Connecting …');
      };
      await connection.setLocalDescription();
      const headers = { 'content-type': 'application/sdp', authorization: `Bearer ${this.key}` };
      const answer = await fetch(this.endpoint, { method: 'POST', headers, body: connection.localDescription?.sdp ?? '' });
      if (answer.status !== 201) throw new Error(((await answer.json()) as { detail: string }).detail);
      const session = new URL(answer.headers.get('location') ?? '', answer.url).href;
      if (this.connection !== connection) return await end(session);
      this.session = session;
      await connection.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
    } catch (error) {
      if (this.connection === connection) this.stop(sentence(error instanceof Error ? error.message : String(error)));
    }
  }

  private async add(connection: RTCPeerConnection, track: MediaStreamTrack, media: MediaStream): Promise<void> {
    // A camera that is pulled out.
    track.onended = () => this.connection === connection && this.stop('The camera has ended.');
    const transceiver = connection.addTransceiver(track, { direction: 'sendonly', streams: [media] });
    if (track.kind !== 'video') return;
    const all = RTCRtpSender.getCapabilities('video')?.codecs ?? [];
    // One alone: who answers has an order of its own.
    const best = CODECS.find((mime) => all.some((c) => c.mimeType === mime));
    if (best) transceiver.setCodecPreferences(all.filter((c) => c.mimeType === best || c.mimeType === 'video/rtx'));
    // Pictures that change their size are another stream to players.
    const parameters = transceiver.sender.getParameters();
    await transceiver.sender.setParameters({ ...parameters, degradationPreference: 'maintain-resolution' }).catch(() => undefined);
  }

  private stop(why = ''): void {
    const { connection, session } = this;
    for (const sender of connection?.getSenders() ?? []) sender.track?.stop();
    // A session whose connection is closed first is gone before it can be ended.
    if (session) void end(session).finally(() => connection?.close());
    else connection?.close();
    this.connection = this.session = null;
    setText(this.button, 'Send this camera');
    setText(this.status, why);
  }
}

/** Says that nothing more comes. */
async function end(session: string): Promise<void> {
  await fetch(session, { method: 'DELETE', keepalive: true }).catch(() => undefined);
}
