//! `sv gateway`: what FFmpeg sends by RTMP is watched, kept, and gone on with, judged by FFmpeg.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use crate::kit;

const PICTURES: &str = "360p-h264";

pub(crate) struct Gateway {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    rtmp: String,
    pub(crate) http: String,
    /// Empty where it isn't taken.
    pub(crate) rtsp: String,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Gateway {
    pub(crate) fn start(out: &Path, more: &[&str]) -> Self {
        let mut child = kit::sv()
            .args(["gateway", "--json", "--event", "--out"])
            .arg(out)
            .args(["--rtmp", "127.0.0.1:0", "--listen", "127.0.0.1:0"])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut gateway =
            Self { child, lines, rtmp: String::new(), http: String::new(), rtsp: String::new() };
        let ready = gateway.until("live.ready");
        let address = |name: &str| ready[name].as_str().unwrap().to_owned();
        (gateway.rtmp, gateway.http) = (address("rtmp"), address("http"));
        gateway.rtsp = ready["rtsp"].as_str().unwrap_or_default().to_owned();
        gateway
    }

    /// The next event of that name.
    pub(crate) fn until(&mut self, event: &str) -> serde_json::Value {
        for line in &mut self.lines {
            let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            if line["event"] == event {
                return line;
            }
        }
        panic!("the gateway has ended before {event}");
    }

    fn url(&self, name: &str) -> String {
        format!("rtmp://{}/live/{name}", self.rtmp)
    }

    fn send(&self, source: &Path, name: &str, more: &[&str]) -> Child {
        Command::new("ffmpeg")
            .args(["-v", "error"])
            .args(more)
            .arg("-i")
            .arg(source)
            .args(["-c", "copy", "-f", "flv", &self.url(name)])
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    }

    pub(crate) fn text(&self, path: &str) -> String {
        let url = format!("http://{}/{path}", self.http);
        ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap()
    }
}

/// The only folder in one.
pub(crate) fn only(folder: &Path) -> PathBuf {
    let all: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(all.len(), 1, "{all:?}");
    all[0].clone()
}

/// A film that RTMP carries in its classic form.
fn film(dir: &Path, seconds: u32) -> Option<PathBuf> {
    let (pictures, sound) =
        (format!("testsrc2=size=640x360:rate=30:duration={seconds}"), format!("sine=duration={seconds}"));
    let inputs = ["-f", "lavfi", "-i", &pictures, "-f", "lavfi", "-i", &sound];
    let coding =
        ["-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "30", "-c:a", "aac", "-ac", "2"];
    kit::make(dir, "film.mp4", &[&inputs[..], &coding].concat())
}

fn refused(out: Output) -> String {
    assert!(!out.status.success());
    String::from_utf8(out.stderr).unwrap()
}

#[test]
fn what_is_sent_is_watched_and_kept_to_the_picture() {
    let dir = tempfile::tempdir().unwrap();
    let Some(film) = film(dir.path(), 8) else { return };
    let out = dir.path().join("out");
    let mut gateway = Gateway::start(&out, &["--linger", "2s"]);
    assert!(gateway.send(&film, "studio", &[]).wait().unwrap().success());
    gateway.until("live.presentation.started");
    let master = gateway.text("studio/master.m3u8");
    assert!(master.contains(&format!("{PICTURES}.m3u8")), "{master}");
    assert!(gateway.text("streams").contains("\"studio\""));
    gateway.until("live.presentation.ended");
    let kept = only(&out.join("studio"));
    kit::same(
        &kit::picture_hashes(&kit::joined(&kept, PICTURES), None),
        &kit::picture_hashes(&film, None),
        "the pictures that were sent",
    );
    assert!(gateway.text(&format!("studio/{PICTURES}.m3u8")).ends_with("#EXT-X-ENDLIST\n"));
}

#[test]
fn who_comes_again_goes_on_with_the_same_presentation() {
    let dir = tempfile::tempdir().unwrap();
    let Some(film) = film(dir.path(), 4) else { return };
    let out = dir.path().join("out");
    let mut gateway = Gateway::start(&out, &["--linger", "3s"]);
    for _ in 0..2 {
        assert!(gateway.send(&film, "studio", &[]).wait().unwrap().success());
        gateway.until("live.stream.ended");
    }
    gateway.until("live.presentation.ended");
    let kept = only(&out.join("studio"));
    let playlist = std::fs::read_to_string(kept.join(format!("{PICTURES}.m3u8"))).unwrap();
    assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{playlist}");
    let once = kit::picture_hashes(&film, None);
    let all = kit::picture_hashes(&kept.join("master.m3u8"), None);
    kit::same(&all, &[once.clone(), once].concat(), "the pictures of both");
}

#[test]
fn a_killed_gateway_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let Some(film) = film(dir.path(), 6) else { return };
    let out = dir.path().join("out");
    let mut gateway = Gateway::start(&out, &["--linger", "60s"]);
    let mut sender = gateway.send(&film, "studio", &["-re"]);
    gateway.until("live.presentation.started");
    // Somebody sends it: it is told how well.
    let streams: serde_json::Value = serde_json::from_str(&gateway.text("streams")).unwrap();
    assert_eq!((&streams[0]["name"], &streams[0]["live"]), (&"studio".into(), &true.into()));
    assert_eq!(streams[0]["health"]["tracks"][0]["codec"], "h264", "{streams}");
    assert_eq!(streams[0]["health"]["good"], true, "{streams}");
    let metrics = gateway.text("metrics");
    assert!(
        metrics.contains("sv_track_bits_per_second{stream=\"studio\",track=\"1\",codec=\"h264\"}"),
        "{metrics}"
    );
    // A playlist with two segments waits until they are there.
    let _ = gateway.text(&format!("studio/{PICTURES}.m3u8?_HLS_msn=1"));
    drop(gateway);
    let _ = sender.wait();
    let first = only(&out.join("studio"));
    let before = std::fs::read(first.join(format!("{PICTURES}/1.m4s"))).unwrap();
    let mut gateway = Gateway::start(&out, &["--linger", "2s"]);
    assert!(gateway.send(&film, "studio", &[]).wait().unwrap().success());
    gateway.until("live.presentation.ended");
    assert_eq!(only(&out.join("studio")), first);
    assert_eq!(std::fs::read(first.join(format!("{PICTURES}/1.m4s"))).unwrap(), before);
    let all = kit::picture_hashes(&first.join("master.m3u8"), None);
    let once = kit::picture_hashes(&film, None);
    assert!(all.ends_with(&once) && all.len() >= once.len() + 120, "{} {}", all.len(), once.len());
}

#[test]
fn a_stream_is_passed_on_from_gateway_to_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let Some(film) = film(dir.path(), 5) else { return };
    let out = dir.path().join("far");
    let mut far = Gateway::start(&out, &["--linger", "2s"]);
    let keys = dir.path().join("keys.toml");
    let (secret, there) = ("a-secret-that-nobody-guesses", far.url("there"));
    let text = format!("[[stream]]\nname = \"here\"\nkey = \"{secret}\"\npush = [\"{there}\"]\n");
    std::fs::write(&keys, text).unwrap();
    let near = Gateway::start(&dir.path().join("near"), &["--stream-keys", keys.to_str().unwrap()]);
    assert!(near.send(&film, secret, &["-re"]).wait().unwrap().success());
    far.until("live.presentation.ended");
    let kept = only(&out.join("there"));
    kit::same(
        &kit::picture_hashes(&kit::joined(&kept, PICTURES), None),
        &kit::picture_hashes(&film, None),
        "the pictures that were passed on",
    );
}

#[test]
fn only_who_knows_a_key_sends() {
    let dir = tempfile::tempdir().unwrap();
    let Some(film) = film(dir.path(), 2) else { return };
    let keys = dir.path().join("keys.toml");
    let secret = "a secret that nobody guesses";
    std::fs::write(&keys, format!("[[stream]]\nname = \"studio\"\nkey = \"{secret}\"\n")).unwrap();
    let out = dir.path().join("out");
    let mut gateway = Gateway::start(&out, &["--linger", "2s", "--stream-keys", keys.to_str().unwrap()]);
    assert!(!gateway.send(&film, "studio", &[]).wait().unwrap().success());
    let said = gateway.until("live.refused");
    assert!(said["detail"].as_str().unwrap().contains("not known"), "{said}");
    assert!(gateway.send(&film, &secret.replace(' ', "%20"), &[]).wait().is_ok());
    assert!(!out.join(secret).exists());
    // An address that others reach needs keys.
    let open = kit::sv().args(["gateway", "--rtmp", "0.0.0.0:0", "--out"]).arg(&out).output().unwrap();
    assert!(refused(open).contains("--stream-keys"));
    // What is wrong with a key file is told without the key.
    std::fs::write(&keys, format!("[[stream]]\nname = \"studio\"\nkey = \"{secret}\nx = 1")).unwrap();
    let wrong =
        kit::sv().args(["gateway", "--stream-keys"]).arg(&keys).arg("--out").arg(&out).output().unwrap();
    let words = refused(wrong);
    assert!(words.contains("line") && !words.contains("guesses"), "{words}");
}
