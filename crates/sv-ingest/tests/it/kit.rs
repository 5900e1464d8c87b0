//! Films to send, and what a judge says of their packets.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha256};
use sv_core::{Item, Packet, Track, TrackId};
use sv_ingest::gateway::{Admission, Gateway, Notice, Settings};
use sv_ingest::{Feed, Hub, Next};

/// Makes a file by an FFmpeg program.
pub(crate) fn make(ffmpeg: impl AsRef<Path>, folder: &Path, name: &str, arguments: &[&str]) -> PathBuf {
    let path = folder.join(name);
    let out = Command::new(ffmpeg.as_ref())
        .args(["-v", "error", "-y"])
        .args(arguments)
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    path
}

/// Runs an FFmpeg program to its end.
pub(crate) fn run(ffmpeg: impl AsRef<Path>, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(ffmpeg.as_ref());
    command.args(["-v", "error", "-y"]).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Packets as a judge tells them: times in milliseconds, and a hash of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) pts: i64,
    pub(crate) dts: i64,
    pub(crate) key: bool,
    pub(crate) hash: String,
}

/// What ffprobe says of a stream of a file, such as `v:0`.
pub(crate) fn probe(input: &str, stream: &str) -> Vec<Told> {
    let entries = "packet=pts_time,dts_time,flags,data_hash";
    let out = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", stream, "-show_packets", "-show_data_hash", "sha256"])
        .args(["-show_entries", entries, "-of", "json", input])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let millis =
        |v: &serde_json::Value| (v.as_str().unwrap().parse::<f64>().unwrap() * 1000.0).round() as i64;
    let packets = json["packets"].as_array().unwrap().iter();
    packets
        .map(|p| Told {
            pts: millis(&p["pts_time"]),
            dts: millis(&p["dts_time"]),
            key: p["flags"].as_str().unwrap().starts_with('K'),
            hash: p["data_hash"].as_str().unwrap().trim_start_matches("SHA256:").to_owned(),
        })
        .collect()
}

/// The same of a packet of ours, on the clock of MPEG.
pub(crate) fn told(packet: &Packet) -> Told {
    let hash = Sha256::digest(&packet.data).iter().map(|b| format!("{b:02x}")).collect();
    let millis = |ticks: i64| (ticks as f64 / 90.0).round() as i64;
    Told { pts: millis(packet.pts.ticks()), dts: millis(packet.dts.ticks()), key: packet.key, hash }
}

/// A gateway, where it listens, and what it says.
pub(crate) struct Listening {
    pub(crate) gateway: Gateway,
    pub(crate) port: u16,
    pub(crate) notices: Receiver<Notice>,
}

impl Listening {
    pub(crate) fn new(admission: impl Admission + 'static) -> Self {
        Self::with(admission, Hub::new())
    }

    pub(crate) fn with(admission: impl Admission + 'static, hub: Hub) -> Self {
        let (say, notices) = channel();
        let say = Mutex::new(say);
        let mut settings = Settings::new(admission);
        (settings.shards, settings.hub) = (2, hub);
        settings.notice = Arc::new(move |notice| {
            let _ = say.lock().unwrap().send(notice);
        });
        let gateway = Gateway::start(settings).unwrap();
        let port = gateway.rtmp("127.0.0.1:0".parse().unwrap()).unwrap().port();
        Self { gateway, port, notices }
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{name}", self.port)
    }

    /// Waits until nobody sends the stream any more, and gives what came of it.
    pub(crate) fn collect(&self, feed: &mut Feed) -> Received {
        for notice in &self.notices {
            if let Notice::Ended { reason, .. } = notice {
                println!("it ended: {reason}");
                break;
            }
        }
        let mut received = Received::default();
        while let Next::Item(item) = feed.poll() {
            match item {
                Item::Track(track) => received.tracks.push(track),
                Item::Packet(packet) => received.packets.push(packet),
                _ => {}
            }
        }
        received
    }
}

#[derive(Default)]
pub(crate) struct Received {
    pub(crate) tracks: Vec<Arc<Track>>,
    pub(crate) packets: Vec<Packet>,
}

impl Received {
    pub(crate) fn of(&self, track: u32) -> Vec<Told> {
        self.packets.iter().filter(|p| p.track == TrackId(track)).map(told).collect()
    }

    pub(crate) fn track(&self, id: u32) -> &Track {
        self.tracks.iter().find(|t| t.id == TrackId(id)).unwrap()
    }
}
