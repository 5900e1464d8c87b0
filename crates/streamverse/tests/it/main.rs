//! The recipes and the command, on files that FFmpeg makes, judged by programs that are not ours.

#[cfg(all(feature = "ffmpeg", feature = "cli", target_os = "linux"))]
mod absent;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod bad_input;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod captions;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod chunks;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod codecs;
mod compare;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod cost;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod crop;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod cues;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod damage;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod device;
#[cfg(feature = "ffmpeg")]
mod encryption;
#[cfg(all(feature = "ffmpeg", feature = "cli", feature = "nats"))]
mod far;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod gateway;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod golden;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod golden_live;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod golden_text;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod grain;
mod kit;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod live;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod live_captions;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod live_ladder;
#[cfg(feature = "ffmpeg")]
mod manifests;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod origin;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod picks;
#[cfg(all(feature = "ffmpeg", feature = "ffmpeg-cli", feature = "cli"))]
mod program;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod protected_ts;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod pull;
#[cfg(not(feature = "ffmpeg"))]
mod pure;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod resume;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod rtsp;
#[cfg(feature = "cli")]
mod serve;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod sound;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod spherical;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod steering;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
#[cfg(feature = "cli")]
mod thumbnails;
mod title;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod transport;
#[cfg(feature = "ffmpeg")]
mod vod;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod webhooks;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod webm;
#[cfg(all(feature = "ffmpeg", feature = "cli"))]
mod whip;
