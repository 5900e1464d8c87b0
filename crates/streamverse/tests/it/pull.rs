//! Streams that `sv gateway` fetches: files again and again, HLS that FFmpeg has made and Python serves, and our own
//! with low latency.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::gateway::{Gateway, PICTURES, film, only};
use crate::kit;

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Python's own server, taught ranges.
const SERVER: &str = r#"
import http.server, os, re, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try: body = open(os.path.join(sys.argv[1], self.path.split('?')[0].lstrip('/')), 'rb').read()
        except OSError: return self.send_error(404)
        span = re.match(r'bytes=(\d+)-(\d+)', self.headers.get('range', ''))
        if span: body = body[int(span[1]):int(span[2]) + 1]
        self.send_response(206 if span else 200)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"#;

/// A folder over HTTP.
fn serve(folder: &Path) -> Option<(Process, String)> {
    let mut child = Command::new(sv_testkit::tool("python3")?)
        .args(["-c", SERVER])
        .arg(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let port = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    Some((Process(child), format!("http://127.0.0.1:{port}")))
}

/// What the gateway keeps of a stream that it fetches, from its beginning until it has ended once.
fn kept(dir: &Path, from: &str) -> PathBuf {
    let out = dir.join("out");
    let mut gateway = Gateway::start(&out, &["--linger", "2s", "--pull", &format!("studio={from}")]);
    gateway.until("live.stream.ended");
    gateway.stop();
    only(&out.join("studio"))
}

fn hls(film: &Path, folder: &Path, more: &[&str]) {
    std::fs::create_dir_all(folder).unwrap();
    let arguments =
        ["-v", "error", "-i", film.to_str().unwrap(), "-c", "copy", "-f", "hls", "-hls_time", "1"];
    let out = Command::new("ffmpeg")
        .args(arguments)
        .args(["-hls_playlist_type", "vod", "-master_pl_name", "master.m3u8"])
        .args(more)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn a_file_is_shown_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let Some(film) = film(dir.path(), 2) else { return };
    let out = dir.path().join("out");
    let pull = format!("studio={}", film.display());
    let mut gateway = Gateway::start(&out, &["--linger", "2s", "--segment", "1s", "--pull", &pull]);
    gateway.until("live.presentation.started");
    while !gateway.text(&format!("studio/{PICTURES}.m3u8")).contains(&format!("{PICTURES}/5.m4s")) {
        std::thread::yield_now();
    }
    drop(gateway);
    let shown = kit::picture_hashes(&kit::joined(&only(&out.join("studio")), PICTURES), None);
    let once = kit::picture_hashes(&film, None);
    assert!(shown.len() > once.len(), "{} pictures of {}", shown.len(), once.len());
    let wanted: Vec<String> = once.iter().cycle().take(shown.len()).cloned().collect();
    kit::same(&shown, &wanted, "the pictures of all laps");
}

#[test]
fn hls_of_others_arrives_to_the_picture() {
    let dir = tempfile::tempdir().unwrap();
    let Some(film) = film(dir.path(), 5) else { return };
    let wanted = kit::picture_hashes(&film, None);
    let apart =
        ["-map", "0:v", "-map", "0:a", "-var_stream_map", "v:0,agroup:sound a:0,agroup:sound,default:yes"];
    let fmp4 = ["-hls_segment_type", "fmp4"];
    let kinds: [(&str, Vec<&str>); 4] = [
        ("transport", vec!["-hls_segment_filename", "%d.ts", "media.m3u8"]),
        ("ranges", vec!["-hls_flags", "single_file", "media.m3u8"]),
        ("mp4", [&fmp4[..], &["-hls_segment_filename", "%d.m4s", "media.m3u8"]].concat()),
        ("apart", [&apart[..], &fmp4, &["-hls_segment_filename", "%v-%d.m4s", "media-%v.m3u8"]].concat()),
    ];
    for (name, more) in kinds {
        let folder = dir.path().join(name);
        hls(&film, &folder, &more);
        let Some((_server, url)) = serve(&folder) else { return };
        let kept = kept(&folder, &format!("{url}/master.m3u8"));
        kit::same(&kit::picture_hashes(&kit::joined(&kept, PICTURES), None), &wanted, name);
        let sound = std::fs::read_dir(&kept)
            .unwrap()
            .any(|e| e.unwrap().file_name().to_string_lossy().starts_with("audio"));
        assert!(sound, "{name} has no sound");
    }
}

#[test]
fn low_latency_is_followed_by_its_parts() {
    let dir = tempfile::tempdir().unwrap();
    let Some(film) = film(dir.path(), 4) else { return };
    let near = dir.path().join("near");
    let mut first =
        Gateway::start(&near, &["--linger", "2s", "--pull", &format!("studio={}", film.display())]);
    first.until("live.presentation.started");
    let url = first.web("studio/master.m3u8");
    let far = dir.path().join("far");
    let mut second =
        Gateway::start(&far, &["--linger", "2s", "--segment", "1s", "--pull", &format!("copy={url}")]);
    second.until("live.presentation.started");
    while !second.text(&format!("copy/{PICTURES}.m3u8")).contains(&format!("{PICTURES}/6.m4s")) {
        std::thread::yield_now();
    }
    drop(second);
    // The copy begins somewhere, with a key picture, and goes on without a gap.
    let shown = kit::picture_hashes(&kit::joined(&only(&far.join("copy")), PICTURES), None);
    let once = kit::picture_hashes(&film, None);
    let at = once.iter().position(|hash| *hash == shown[0]).unwrap();
    let wanted: Vec<String> = once.iter().cycle().skip(at).take(shown.len()).cloned().collect();
    kit::same(&shown, &wanted, "the pictures of the copy");
}

#[test]
fn what_is_not_there_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let Some((_server, url)) = serve(dir.path()) else { return };
    let pull = format!("studio={url}/master.m3u8?token=secret");
    let mut gateway = Gateway::start(&dir.path().join("out"), &["--pull", &pull]);
    let said = gateway.until("live.pull.failed");
    assert_eq!(said["reason"], "the playlist can't be had: the server answered 404");
    assert_eq!(said["from"], format!("{url}/master.m3u8"));
    assert_eq!(gateway.until("live.pull.failed")["next_s"], 2);
}
