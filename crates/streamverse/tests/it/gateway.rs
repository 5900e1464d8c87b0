//! `sv gateway`: what FFmpeg sends by RTMP is watched, kept, and gone on with, judged by FFmpeg.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use crate::kit;

pub(crate) const PICTURES: &str = "360p-h264";

pub(crate) struct Gateway {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    rtmp: String,
    srt: String,
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
        let mut gateway = Self::begin(out, more);
        gateway.ready();
        gateway
    }

    /// One that may have to wait until it is ready.
    fn begin(out: &Path, more: &[&str]) -> Self {
        let mut child = kit::sv()
            .args(["gateway", "--json", "--event", "--out"])
            .arg(out)
            .args(["--rtmp", "127.0.0.1:0", "--listen", "127.0.0.1:0"])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (rtmp, srt, http, rtsp) = (String::new(), String::new(), String::new(), String::new());
        Self { child, lines, rtmp, srt, http, rtsp }
    }

    fn ready(&mut self) {
        let ready = self.until("live.ready");
        let address = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
        (self.rtmp, self.http) = (address("rtmp"), address("http"));
        (self.srt, self.rtsp) = (address("srt"), address("rtsp"));
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

    pub(crate) fn url(&self, name: &str) -> String {
        format!("rtmp://{}/live/{name}", self.rtmp)
    }

    pub(crate) fn send(&self, source: &Path, name: &str, more: &[&str]) -> Child {
        Command::new("ffmpeg")
            .args(["-v", "error"])
            .args(more)
            .arg("-i")
            .arg(source)
            // Without it FFmpeg sends packets when it has 32 kB of them.
            .args(["-c", "copy", "-flush_packets", "1", "-f", "flv", &self.url(name)])
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Ends it as Ctrl-C does: presentations become recordings.
    pub(crate) fn stop(mut self) {
        Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(self.child.wait().unwrap().success());
    }

    pub(crate) fn web(&self, path: &str) -> String {
        format!("http://{}/{path}", self.http)
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
pub(crate) fn film(dir: &Path, seconds: u32) -> Option<PathBuf> {
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

/// By SRT, with a key and a passphrase of its own; and a stream that comes in datagrams.
#[test]
fn what_comes_by_srt_and_in_datagrams_is_watched() {
    let dir = tempfile::tempdir().unwrap();
    let (Some(film), Some(ffmpeg)) = (film(dir.path(), 4), sv_testkit::ffmpeg9()) else { return };
    let (out, keys) = (dir.path().join("out"), dir.path().join("keys.toml"));
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = format!(
        "[[stream]]\nname = \"studio\"\nkey = \"a key of many letters\"\npassphrase = \"only for studio\"\n\
         [[stream]]\nname = \"mux\"\nudp = \"127.0.0.1:{port}\"\n"
    );
    std::fs::write(&keys, text).unwrap();
    let common = dir.path().join("passphrase");
    std::fs::write(&common, "for everybody else\n").unwrap();
    let more = [
        "--linger",
        "2s",
        // FFmpeg may go without a word: then something would be shown in its place.
        "--fill",
        "0s",
        "--srt",
        "127.0.0.1:0",
        "--srt-latency",
        // A machine that is busy with other tests is a bad network.
        "1500ms",
        "--srt-passphrase-file",
        common.to_str().unwrap(),
        "--stream-keys",
        keys.to_str().unwrap(),
    ];
    let mut gateway = Gateway::start(&out, &more);
    let srt = gateway.srt.clone();
    let send = |url: &str| {
        let mut command = Command::new(&ffmpeg);
        command.args(["-v", "error", "-re", "-i"]).arg(&film).args(["-c", "copy", "-f", "mpegts", url]);
        command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let url = |secret: &str| {
        format!(
            "srt://{srt}?streamid=#!::r=a key of many letters,m=publish&passphrase={secret}&pkt_size=1316&linger=3"
        )
    };
    assert!(!send(&url("for everybody else")).wait().unwrap().success());
    assert!(send(&url("only for studio")).wait().unwrap().success());
    gateway.until("live.presentation.ended");
    let pictures = kit::picture_hashes(&film, None);
    // FFmpeg shuts libsrt down behind its last write, and what that had not sent yet on a busy machine is lost.
    let sure = pictures.len() - 6;
    let kept = kit::picture_hashes(&kit::joined(&only(&out.join("studio")), PICTURES), None);
    assert!((sure..=pictures.len()).contains(&kept.len()), "{} pictures", kept.len());
    kit::same(&kept[..sure], &pictures[..sure], "the pictures that were sent");
    assert!(send(&format!("udp://127.0.0.1:{port}?pkt_size=1316")).wait().unwrap().success());
    assert!(gateway.until("live.presentation.started")["stream"] == "mux");
}

/// Whoever reads what it prints may end, as a log's reader does: streams go on.
#[test]
fn nobody_has_to_read_what_it_prints() {
    let dir = tempfile::tempdir().unwrap();
    let Some(film) = film(dir.path(), 2) else { return };
    let mut gateway = Gateway::start(&dir.path().join("out"), &["--linger", "60s"]);
    // In its place another program's output is read.
    let mut child = kit::sv().arg("--version").stdout(Stdio::piped()).spawn().unwrap();
    gateway.lines = BufReader::new(child.stdout.take().unwrap()).lines();
    child.wait().unwrap();
    for _ in 0..3 {
        assert!(gateway.send(&film, "studio", &[]).wait().unwrap().success());
    }
    // A playlist with two segments waits until they are there.
    let _ = gateway.text(&format!("studio/{PICTURES}.m3u8?_HLS_msn=1"));
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
    // What it shows now, as another decoder sees it.
    let url = format!("http://{}/studio/now.jpg", gateway.http);
    let jpeg = ureq::get(url).call().unwrap().body_mut().read_to_vec().unwrap();
    let picture = dir.path().join("now.jpg");
    std::fs::write(&picture, jpeg).unwrap();
    let arguments = ["-v", "error", "-show_entries", "stream=codec_name,width,height", "-of", "csv=p=0"];
    let said = kit::run(Path::new("ffprobe"), &[&arguments[..], &[picture.to_str().unwrap()]].concat());
    assert_eq!(said.trim(), "mjpeg,640,360");
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
    assert!(said["reason"].as_str().unwrap().contains("not known"), "{said}");
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

/// A film of nothing: black, and silent.
fn nothing(dir: &Path, seconds: u32) -> Option<PathBuf> {
    let (pictures, sound) =
        (format!("color=black:size=640x360:rate=30:duration={seconds}"), "anullsrc=r=44100:cl=stereo");
    let inputs = ["-f", "lavfi", "-i", &pictures, "-f", "lavfi", "-i", sound, "-shortest"];
    kit::make(dir, "nothing.mp4", &[&inputs[..], &["-c:v", "libx264", "-g", "30", "-c:a", "aac"]].concat())
}

#[test]
fn a_black_sender_is_left_for_its_backup() {
    let dir = tempfile::tempdir().unwrap();
    let (Some(film), Some(nothing)) = (film(dir.path(), 25), nothing(dir.path(), 25)) else { return };
    let keys = dir.path().join("keys.toml");
    let (first, second) = ("the-key-of-the-first-one", "the-key-of-the-second-one");
    let text = format!("[[stream]]\nname = \"studio\"\nkey = \"{first}\"\nbackup = \"{second}\"\n");
    std::fs::write(&keys, text).unwrap();
    let out = dir.path().join("out");
    // FFmpeg waits for its turn while other tests run: that is no loss.
    let more = ["--stream-keys", keys.to_str().unwrap(), "--failover-after", "3s"];
    let mut gateway = Gateway::start(&out, &more);
    let mut primary = gateway.send(&nothing, first, &["-re"]);
    gateway.until("live.stream.track");
    let mut backup = gateway.send(&film, second, &["-re"]);
    let switched = gateway.until("live.stream.switched");
    assert!(switched["reason"].as_str().unwrap().ends_with("its pictures were black"), "{switched}");
    let streams: serde_json::Value = serde_json::from_str(&gateway.text("streams")).unwrap();
    let [on_air, other] = &streams[0]["senders"].as_array().unwrap()[..] else { panic!("{streams}") };
    assert_eq!(
        (&on_air["rank"], &on_air["on_air"], &on_air["black_s"]),
        (&1.into(), &true.into(), &().into())
    );
    assert_eq!((&on_air["silent_s"], &on_air["frozen_s"]), (&().into(), &().into()), "{streams}");
    for what in ["black_s", "frozen_s", "silent_s"] {
        assert!(other[what].as_f64().unwrap() >= 2.0, "{what}: {streams}");
    }
    let said = other["wrong"].as_array().unwrap();
    assert!(
        said.iter().any(|s| s.as_str().unwrap().starts_with("the pictures have been black")),
        "{streams}"
    );
    assert!(gateway.text("metrics").contains("sv_stream_rank{stream=\"studio\"} 1\n"));
    for sender in [&mut primary, &mut backup] {
        sender.kill().unwrap();
        sender.wait().unwrap();
    }
}

/// Its connection breaks without a word: something is shown in its place, as nobody does for one that has ended its stream.
#[test]
fn a_sender_that_is_killed_is_stood_in_for() {
    let dir = tempfile::tempdir().unwrap();
    let Some(film) = film(dir.path(), 2) else { return };
    let out = dir.path().join("out");
    let mut gateway = Gateway::start(&out, &["--linger", "6s"]);
    let mut sender = gateway.send(&film, "studio", &["-re", "-stream_loop", "-1"]);
    gateway.until("live.presentation.started");
    // Two segments are there.
    let _ = gateway.text(&format!("studio/{PICTURES}.m3u8?_HLS_msn=1"));
    sender.kill().unwrap();
    sender.wait().unwrap();
    assert_eq!(gateway.until("live.stream.ended")["lost"], true);
    gateway.until("live.presentation.ended");
    for stream in ["v:0", "a:0"] {
        let mut times = kit::times(&only(&out.join("studio")).join("master.m3u8"), stream);
        times.sort_by(f64::total_cmp);
        let length = times.last().unwrap() - times[0];
        assert!(length >= 8.5, "{stream}: {length}");
    }
}

#[test]
fn what_is_shown_while_nobody_sends_leaves_no_hole() {
    let dir = tempfile::tempdir().unwrap();
    let Some(film) = film(dir.path(), 4) else { return };
    let slate = [
        "-f",
        "lavfi",
        "-i",
        "smptebars=size=640x360:rate=30:duration=2",
        "-f",
        "lavfi",
        "-i",
        "sine=300:duration=2",
    ];
    let coding = ["-c:v", "libx264", "-g", "30", "-bf", "0", "-c:a", "aac", "-ac", "2"];
    let Some(slate) = kit::make(dir.path(), "slate.mp4", &[&slate[..], &coding].concat()) else { return };
    for more in [["--fill", "10s"], ["--slate", slate.to_str().unwrap()]] {
        let out = dir.path().join(more[0]);
        let mut gateway = Gateway::start(&out, &[&["--linger", "3s"][..], &more].concat());
        for _ in 0..2 {
            let mut sender = gateway.send(&film, "studio", &["-re"]);
            gateway.until("live.stream.started");
            let url = format!("http://{}/studio/now.jpg", gateway.http);
            let picture = || ureq::get(&url).call().unwrap().body_mut().read_to_vec().unwrap();
            assert!(!picture().is_empty());
            assert!(sender.wait().unwrap().success());
            gateway.until("live.stream.ended");
            // Whoever asks for pictures again and again has the last one a little longer.
            assert!(!picture().is_empty());
            // The other one comes as soon as FFmpeg has begun.
        }
        gateway.until("live.presentation.ended");
        let kept = only(&out.join("studio"));
        for stream in ["v:0", "a:0"] {
            let mut times = kit::times(&kept.join("master.m3u8"), stream);
            times.sort_by(f64::total_cmp);
            let gap = times.windows(2).map(|w| w[1] - w[0]).fold(0.0, f64::max);
            let most = if stream == "v:0" { 0.3 } else { 0.1 };
            assert!(gap <= most, "{more:?}, {stream}: {gap}");
            // Both films, and three seconds behind the second.
            assert!(times.last().unwrap() - times[0] >= 10.5, "{more:?}: {times:?}");
        }
        let all = kit::picture_hashes(&kept.join("master.m3u8"), None);
        let film = kit::picture_hashes(&film, None);
        assert!(all.starts_with(&film) && all.windows(film.len()).rposition(|w| w == film) > Some(0));
    }
}

#[test]
fn a_recording_is_cut_by_command() {
    let dir = tempfile::tempdir().unwrap();
    let Some(film) = film(dir.path(), 6) else { return };
    let (out, kept) = (dir.path().join("out"), dir.path().join("kept"));
    let record = ["--record", kept.to_str().unwrap(), "--record-part", "2s", "--linger", "2s"];
    let mut gateway = Gateway::start(&out, &record);
    assert!(gateway.send(&film, "studio", &[]).wait().unwrap().success());
    gateway.until("live.recording.started");
    // That is two seconds behind the end of the recording.
    gateway.until("live.presentation.ended");
    drop(gateway);
    let cut = dir.path().join("cut.mp4");
    let done = kit::sv()
        .arg("cut")
        .arg(kept.join("studio"))
        .args(["--from", "1.5s", "--to", "4.5s", "--out"])
        .arg(&cut)
        .output();
    let done = done.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(String::from_utf8(done.stdout).unwrap().contains("90 pictures"));
    let all = kit::picture_hashes(&film, None);
    kit::same(&kit::picture_hashes(&cut, None), &all[45..135], "the pictures of the cut");
    let again = kit::sv().arg("cut").arg(kept.join("studio")).arg("--out").arg(&cut).output().unwrap();
    assert!(refused(again).contains("is there already"));
}

#[test]
fn a_second_gateway_goes_on_where_the_first_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let Some(film) = film(dir.path(), 6) else { return };
    let out = dir.path().join("out");
    let mut first = Gateway::start(&out, &["--linger", "60s"]);
    let refusal = kit::sv()
        .args(["gateway", "--rtmp", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--out"])
        .arg(&out)
        .output();
    assert!(refused(refusal.unwrap()).contains("--standby"));
    let mut second = Gateway::begin(&out, &["--linger", "3s", "--standby"]);
    let mut sender = first.send(&film, "studio", &["-re"]);
    first.until("live.presentation.started");
    let _ = first.text(&format!("studio/{PICTURES}.m3u8?_HLS_msn=1"));
    let killed = std::time::Instant::now();
    drop(first);
    second.ready();
    let handed_over = killed.elapsed();
    let _ = sender.wait();
    assert!(second.send(&film, "studio", &[]).wait().unwrap().success());
    second.until("live.presentation.ended");
    assert!(handed_over.as_secs_f64() < 2.0, "{handed_over:?}");
    let all = kit::picture_hashes(&only(&out.join("studio")).join("master.m3u8"), None);
    let once = kit::picture_hashes(&film, None);
    assert!(all.ends_with(&once) && all.len() >= once.len() + 120, "{} {}", all.len(), once.len());
}
