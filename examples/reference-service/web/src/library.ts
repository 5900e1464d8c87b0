/** What this page knows of the library: read once, then kept up by the event socket. */

import { getVideo, listVideos, type Happening, type Video } from './api';
import { announce, setText } from './dom';

export class Library extends EventTarget {
  readonly videos = new Map<string, Video>();
  /** Where the next page of older videos begins, if there is one. */
  next: string | null = null;
  loaded = false;

  /** Newest first. */
  sorted(): Video[] {
    return [...this.videos.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
  }

  /** Reads the library anew and listens from then on; comes back by itself when the line breaks. */
  connect(): void {
    const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/v1/events`);
    let opened = false;
    socket.onopen = async () => {
      opened = true;
      // Listening began before reading: nothing falls between the two.
      await this.read();
      this.status(true);
    };
    socket.onmessage = (message) => this.take(JSON.parse(String(message.data)) as Happening);
    socket.onclose = () => {
      this.status(false);
      setTimeout(() => this.connect(), opened ? 500 : 2000);
    };
  }

  private async read(): Promise<void> {
    try {
      const { videos, next } = await listVideos();
      this.videos.clear();
      for (const video of videos) this.videos.set(video.id, video);
      this.next = next;
      this.loaded = true;
      this.changed();
    } catch {
      // The socket closes too when the service is gone, and that brings us back.
    }
  }

  /** Reads older videos. */
  async more(): Promise<void> {
    if (!this.next) return;
    const { videos, next } = await listVideos(this.next);
    for (const video of videos) this.videos.set(video.id, video);
    this.next = next;
    this.changed();
  }

  put(video: Video): void {
    this.videos.set(video.id, video);
    this.changed();
  }

  private take(event: Happening): void {
    switch (event.type) {
      case 'video.uploaded':
        this.put(event.data);
        break;
      case 'video.transcoding.complete':
        this.put(event.data);
        announce(`${event.data.title} is ready to watch.`);
        break;
      case 'video.transcoding.progress': {
        const video = this.videos.get(event.data.video_id);
        if (!video) {
          void getVideo(event.data.video_id).then((v) => this.put(v), () => undefined);
          return;
        }
        const before = Math.floor((video.progress?.percent ?? 0) / 25);
        this.put({ ...video, state: 'processing', error: null, progress: event.data });
        // People who listen hear the quarters, not every step.
        const now = Math.floor(event.data.percent / 25);
        if (now > before && now < 4) announce(`${video.title}: ${now * 25} percent transcoded.`);
        break;
      }
      case 'video.failed': {
        const video = this.videos.get(event.data.video_id);
        if (video) this.put({ ...video, state: 'failed', progress: null, error: event.data.error });
        announce(`${video?.title ?? 'A video'} could not be transcoded.`);
        break;
      }
      case 'video.deleted':
        this.videos.delete(event.data.video_id);
        this.changed();
        break;
      case 'live.stream.started':
        announce(`${event.data.title} is live.`);
        this.dispatchEvent(new Event('live'));
        break;
      case 'live.stream.ended':
        announce(`${event.data.title} is not sent any more.`);
        this.dispatchEvent(new Event('live'));
        break;
      case 'live.stream.changed':
      case 'live.health.changed':
      case 'live.recording.started':
      case 'live.recording.ended':
      case 'live.recording.failed':
      case 'live.deleted':
        this.dispatchEvent(new Event('live'));
        break;
    }
  }

  private changed(): void {
    this.dispatchEvent(new Event('change'));
  }

  private status(up: boolean): void {
    const link = document.getElementById('link');
    if (!link) return;
    link.dataset['up'] = String(up);
    setText(link, up ? 'connected' : 'reconnecting');
  }
}
