//! MediaMTX at the other end, by RTMP, SRT and RTSP: it takes what we push, gives it back, fetches from us and sends to us. The same pictures
//! and sound each time, where it records them and where we have them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;
use sv_container::ts::Muxer;
use sv_core::Codec;
use sv_ingest::gateway::{Notice, Open, SrtSettings};
use sv_ingest::push::{Push, Target};
use sv_ingest::{rtsp, srt};

use crate::kit::{Listening, Received, make, probe};

/// A film of four seconds is sent so many times, since MediaMTX tries every five seconds.
const TIMES: usize = 4;
/// How much of it must come: all but what it takes to begin, and what is on its way at the end.
const PICTURES: usize = 120;

struct Mediamtx {
    child: Child,
    folder: PathBuf,
    rtmp: u16,
    rtsp: u16,
    srt: u16,
}

fn free(tcp: bool) -> u16 {
    if tcp {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    } else {
        std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }
}

impl Mediamtx {
    fn start(folder: &Path, paths: &serde_json::Value) -> Option<Self> {
        let program = sv_testkit::tool("mediamtx")?;
        let (rtmp, rtsp, srt) = (free(true), free(true), free(false));
        let at = |port: u16| format!("127.0.0.1:{port}");
        // What is JSON is YAML.
        let settings = json!({
            "rtmpAddress": at(rtmp), "rtspAddress": at(rtsp), "srtAddress": at(srt), "rtspTransports": ["tcp"],
            "hls": false, "webrtc": false, "moq": false, "logLevel": "warn",
            "pathDefaults": { "record": true, "recordPath": format!("{}/%path-%s-%f", folder.display()) },
            "paths": paths,
        });
        let file = folder.join("mediamtx.yml");
        std::fs::write(&file, settings.to_string()).unwrap();
        let child = Command::new(program).arg(file).current_dir(folder).spawn().unwrap();
        let begun = Self { child, folder: folder.to_owned(), rtmp, rtsp, srt };
        for port in [rtmp, rtsp] {
            while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
                std::thread::yield_now();
            }
        }
        Some(begun)
    }

    /// Ends it as one should, so that what it records is whole.
    fn stop(&mut self) {
        Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        self.child.wait().unwrap();
    }

    /// What it has recorded of a stream.
    fn recorded(&self, name: &str) -> PathBuf {
        let begin = self.folder.join(name);
        let files = std::fs::read_dir(begin.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
        let mine = |path: &PathBuf| path.to_str().unwrap().starts_with(begin.to_str().unwrap());
        let found = files.filter(mine).max_by_key(|path| path.metadata().unwrap().len());
        found.unwrap_or_else(|| panic!("it has recorded nothing of {name}"))
    }
}

impl Drop for Mediamtx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Hashes of the pictures of a file as FFmpeg shows them.
fn pictures(ffmpeg: &Path, input: &Path) -> Vec<String> {
    let out = Command::new(ffmpeg)
        .args(["-v", "error", "-i"])
        .arg(input)
        .args(["-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-"])
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit(',').next().unwrap().trim().to_owned()).collect()
}

fn sound(input: &Path) -> Vec<String> {
    probe(input.to_str().unwrap(), "a:0").into_iter().map(|told| told.hash).collect()
}

/// What was sent, over and over.
struct Film {
    ffmpeg: PathBuf,
    path: PathBuf,
    pictures: Vec<String>,
    sound: Vec<String>,
}

impl Film {
    fn new(folder: &Path) -> Option<Self> {
        let ffmpeg = sv_testkit::tool("ffmpeg")?;
        let inputs =
            ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=30:d=4", "-f", "lavfi", "-i", "anoisesrc=d=4"];
        let coding =
            ["-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "30", "-c:a", "aac", "-ac", "2"];
        let path = make(&ffmpeg, folder, "film.mp4", &[&inputs[..], &coding].concat());
        let again =
            |hashes: Vec<String>| -> Vec<String> { std::iter::repeat_n(hashes, TIMES).flatten().collect() };
        let (pictures, sound) = (again(pictures(&ffmpeg, &path)), again(sound(&path)));
        Some(Self { ffmpeg, path, pictures, sound })
    }

    fn send(&self, url: &str) -> Child {
        let again = (TIMES - 1).to_string();
        let mut command = Command::new(&self.ffmpeg);
        command.args(["-v", "error", "-re", "-stream_loop", &again, "-i"]).arg(&self.path);
        command.args(["-c", "copy", "-f", "flv", url]).stdin(Stdio::null()).spawn().unwrap()
    }

    /// Whether these are one stretch of it, without a gap.
    fn has(&self, seen: &[String], heard: &[String], who: &str) {
        for (came, sent, least) in [(seen, &self.pictures, PICTURES), (heard, &self.sound, PICTURES)] {
            // The last picture may be cut off.
            let came = came.split_last().map_or(came, |(_, all)| all);
            assert!(came.len() >= least, "{who}: {} of {}", came.len(), sent.len());
            let at = sent.windows(came.len()).position(|window| window == came);
            assert!(at.is_some(), "{who}: {} of {} aren't a stretch of them", came.len(), sent.len());
        }
    }

    /// The same of a file.
    fn is_in(&self, path: &Path, who: &str) {
        self.has(&pictures(&self.ffmpeg, path), &sound(path), who);
    }

    /// The same of what we have.
    fn came(&self, received: &Received, who: &str) {
        let of = |codec| received.tracks.iter().find(|t| t.codec == codec).unwrap();
        let video = of(Codec::H264);
        let packets: Vec<_> = received.packets.iter().filter(|p| p.track == video.id).cloned().collect();
        let file = self.path.with_file_name(format!("{}.ts", who.replace(' ', "-")));
        std::fs::write(&file, Muxer::new(&[video]).unwrap().piece(&packets).unwrap().0).unwrap();
        let heard: Vec<_> = received.of(of(Codec::Aac).id.0).into_iter().map(|t| t.hash).collect();
        self.has(&pictures(&self.ffmpeg, &file), &heard, who);
    }
}

#[test]
fn mediamtx_takes_what_is_pushed_and_gives_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let (Some(mut peer), Some(film)) =
        (Mediamtx::start(folder.path(), &json!({ "all_others": {} })), Film::new(folder.path()))
    else {
        return;
    };
    let near = Listening::new(Open);
    let urls = [
        format!("rtmp://127.0.0.1:{}/app/by-rtmp", peer.rtmp),
        format!("srt://127.0.0.1:{}?streamid=publish:by-srt", peer.srt),
    ];
    let pushes =
        urls.map(|url| Push::start(near.gateway.hub(), "one", Target::parse(&url).unwrap(), |_| {}).unwrap());
    let far = [Listening::new(Open), Listening::new(Open)];
    let mut feeds = far.each_ref().map(|far| far.gateway.hub().subscribe("one", 1 << 30));
    let mut sender = film.send(&near.url("one"));
    // It is asked when it has something.
    let begun = |n: &Notice| matches!(n, Notice::Track { .. });
    near.notices.iter().find(begun).unwrap();
    let from = rtsp::Address::parse(&format!("rtsp://127.0.0.1:{}/by-srt", peer.rtsp)).unwrap();
    let _pull = far[0].gateway.pull("one", from, |_| {}).unwrap();
    let from = format!("srt://127.0.0.1:{}?streamid=read:app/by-rtmp", peer.srt);
    far[1].gateway.srt_pull("one", srt::Target::parse(&from).unwrap()).unwrap();
    assert!(sender.wait().unwrap().success());
    drop(pushes);
    let back = [0, 1].map(|n| far[n].collect(&mut feeds[n]));
    peer.stop();
    film.is_in(&peer.recorded("by-srt"), "recorded from SRT");
    film.is_in(&peer.recorded("app/by-rtmp"), "recorded from RTMP");
    film.came(&back[0], "back by RTSP");
    film.came(&back[1], "back by SRT");
}

#[test]
fn mediamtx_fetches_from_us() {
    let folder = tempfile::tempdir().unwrap();
    let Some(film) = Film::new(folder.path()) else { return };
    let near = Listening::new(Open);
    let secret = "a passphrase of ours";
    let mut settings = SrtSettings::default();
    settings.connection.passphrase = Some(srt::Passphrase::new(secret).unwrap());
    let port = near.gateway.srt("127.0.0.1:0".parse().unwrap(), settings).unwrap().port();
    let mut sender = film.send(&near.url("one"));
    near.notices.iter().find(|n| matches!(n, Notice::Track { .. })).unwrap();
    let by_srt =
        format!("srt://127.0.0.1:{port}?streamid=read:one&passphrase={}", secret.replace(' ', "%20"));
    let paths = json!({ "by-rtmp": { "source": near.url("one") }, "by-srt": { "source": by_srt } });
    let peer = Mediamtx::start(folder.path(), &paths);
    assert!(sender.wait().unwrap().success());
    let Some(mut peer) = peer else { return };
    // What SRT holds back is on its way.
    near.notices.iter().find(|n| matches!(n, Notice::Ended { .. })).unwrap();
    peer.stop();
    film.is_in(&peer.recorded("by-rtmp"), "fetched by RTMP");
    film.is_in(&peer.recorded("by-srt"), "fetched by SRT");
}

#[test]
fn what_mediamtx_sends_arrives() {
    let folder = tempfile::tempdir().unwrap();
    let Some(film) = Film::new(folder.path()) else { return };
    let far = [Listening::new(Open), Listening::new(Open), Listening::new(Open)];
    let mut feeds = far.each_ref().map(|far| far.gateway.hub().subscribe("one", 1 << 30));
    let any = || "127.0.0.1:0".parse().unwrap();
    let (srt, rtsp) = (far[1].gateway.srt(any(), SrtSettings::default()), far[2].gateway.rtsp(any()));
    let to = [
        far[0].url("one"),
        format!("srt://{}?streamid=publish:one", srt.unwrap()),
        format!("rtsp://{}/live/one", rtsp.unwrap()),
    ];
    let forward = to.map(|dest| json!({ "dest": dest }));
    let Some(mut peer) = Mediamtx::start(folder.path(), &json!({ "app/one": { "forward": forward } })) else {
        return;
    };
    assert!(film.send(&format!("rtmp://127.0.0.1:{}/app/one", peer.rtmp)).wait().unwrap().success());
    let received = [0, 1, 2].map(|n| far[n].collect(&mut feeds[n]));
    peer.stop();
    for (received, who) in received.iter().zip(["sent by RTMP", "sent by SRT", "sent by RTSP"]) {
        film.came(received, who);
    }
}
