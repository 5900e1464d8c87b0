//! `sv origin`: what it makes on request is what `sv package` writes, FFmpeg plays it, and nothing odd breaks it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sv_testkit::tool;

use crate::{kit, transport};

const KID: &str = "31323334353637383930313233343536";
/// Further keys with their names in front.
const OTHERS: [&str; 4] = [
    "41424344454647484950515253545556",
    "a1b2c3d4e5f60718293a4b5c6d7e8f90",
    "61626364656667686970717273747576",
    "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
];
const KEY: &str = "32333435363738393021323334353637";
const PICTURES: &str = "360p-h264";
const SOUND: &str = "audio-aac-6ch";

pub(crate) struct Server(Child, pub(crate) String);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is answered: status, headers, body.
struct Reply(u16, BTreeMap<String, String>, Vec<u8>);

impl Server {
    pub(crate) fn start(paths: &[&Path], more: &[&str]) -> Self {
        let mut child = kit::sv()
            .arg("origin")
            .args(paths)
            .args(["--segment", "2s", "--listen", "127.0.0.1:0"])
            .args(more)
            .env("SV_KEYS", format!("{KID}:{KEY}"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.by_ref().map(Result::unwrap).find(|l| l.starts_with("serving")).expect("it serves");
        Self(child, line.split_whitespace().last().unwrap().to_owned())
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.1));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut reply = agent.run(request.body(()).unwrap()).unwrap();
        let headers =
            reply.headers().iter().map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned())).collect();
        let body = reply.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap();
        Reply(reply.status().as_u16(), headers, body)
    }

    fn get(&self, path: &str) -> Vec<u8> {
        let Reply(status, _, body) = self.ask("GET", path, &[]);
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        body
    }

    fn text(&self, path: &str) -> String {
        String::from_utf8(self.get(path)).unwrap()
    }

    fn status(&self, path: &str) -> u16 {
        self.ask("GET", path, &[]).0
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.1)
    }

    /// A playlist with all that it names, in a folder.
    fn mirror(&self, title: &str, playlist: &str, folder: &Path) -> PathBuf {
        let text = self.text(&format!("{title}/{playlist}"));
        let base = playlist.rsplit_once('/').map_or(String::new(), |(base, _)| format!("{base}/"));
        let map = text.lines().filter_map(|l| l.strip_prefix("#EXT-X-MAP:URI=\"")?.strip_suffix('"'));
        for file in text.lines().filter(|l| !l.starts_with('#')).chain(map) {
            let to = folder.join(format!("{base}{file}"));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::write(to, self.get(&format!("{title}/{base}{file}"))).unwrap();
        }
        let to = folder.join(playlist);
        fs::write(&to, text).unwrap();
        to
    }
}

/// The hashes of what FFmpeg decodes of an address.
fn play(url: &str, map: &str, more: &[&str]) -> Vec<String> {
    let ffmpeg = tool("ffmpeg").unwrap();
    let args = [&["-v", "error"], more, &["-i", url, "-map", map, "-f", "framemd5", "-"]].concat();
    kit::hashes(&kit::run(&ffmpeg, &args))
}

fn package(source: &Path, output: &Path, more: &[&str]) {
    let mut command = kit::sv();
    command.args(["package", "--segment", "2s", "--out"]).arg(output).arg(source).args(more);
    let made = command.env("SV_KEYS", format!("{KID}:{KEY}")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect();
    all.sort();
    all
}

#[test]
fn answers_are_what_sv_package_writes() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 9) else { return };
    let output = dir.path().join("out");
    package(&source, &output, &[]);
    let server = Server::start(&[&source], &[]);
    let mut count = 0;
    for path in files(&output) {
        let name = path.strip_prefix(&output).unwrap().to_str().unwrap();
        let asked = match name {
            "master.m3u8" => "hls.m3u8",
            "manifest.mpd" => "dash.mpd",
            other => other,
        };
        let got = server.get(&format!("source/{asked}"));
        assert!(
            got == fs::read(&path).unwrap(),
            "{name} differs: {}",
            String::from_utf8_lossy(&got[..got.len().min(3000)])
        );
        count += 1;
    }
    assert!(count > 20, "{count} files");
}

#[test]
fn ffmpeg_plays_hls_and_dash_and_transport_streams() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 9) else { return };
    let server = Server::start(&[&source], &[]);
    let wanted = kit::picture_hashes(&source, None);
    let sound = play(source.to_str().unwrap(), "0:a", &[]);
    for manifest in ["hls.m3u8", "dash.mpd", "ts.m3u8"] {
        let url = server.url(&format!("source/{manifest}"));
        kit::same(&play(&url, "0:v:0", &[]), &wanted, manifest);
        let heard = play(&url, "0:a:0", &[]);
        assert!(heard.len().abs_diff(sound.len()) <= 1 && heard.len() > 400, "{manifest}: {}", heard.len());
    }
    // Segments that know nothing of each other make one stream all the same.
    let text = server.text(&format!("source/ts/{PICTURES}.m3u8"));
    let stream: Vec<u8> = text
        .lines()
        .filter(|l| !l.starts_with('#'))
        .flat_map(|l| server.get(&format!("source/ts/{l}")))
        .collect();
    transport::whole(&stream);
    let file = dir.path().join("all.ts");
    fs::write(&file, stream).unwrap();
    kit::same(&kit::picture_hashes(&file, None), &wanted, "all.ts");
}

/// Whatever wrote them, files give the same pictures.
#[test]
fn stored_files_of_many_makers_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 9) else { return };
    let wanted = kit::picture_hashes(&source, None);
    let mut titles = Vec::new();
    for (name, more) in [("segments", &[][..]), ("single", &["--single-file"])] {
        let output = dir.path().join(name);
        package(&source, &output, more);
        titles.push(output);
    }
    let ffmpeg = tool("ffmpeg").unwrap();
    let from = source.to_str().unwrap();
    let dash = dir.path().join("dash");
    fs::create_dir(&dash).unwrap();
    let manifest = dash.join("manifest.mpd");
    kit::run(
        &ffmpeg,
        &[
            "-v",
            "error",
            "-i",
            from,
            "-c",
            "copy",
            "-f",
            "dash",
            "-seg_duration",
            "2",
            manifest.to_str().unwrap(),
        ],
    );
    titles.push(dash);
    for (name, flags) in
        [("moofs.mp4", "frag_keyframe+empty_moov+default_base_moof"), ("front.mp4", "faststart")]
    {
        let path = dir.path().join(name);
        kit::run(
            &ffmpeg,
            &["-v", "error", "-i", from, "-c", "copy", "-movflags", flags, path.to_str().unwrap()],
        );
        titles.push(path);
    }
    if let Some(packager) = tool("packager-linux-x64") {
        for form in ["segments", "files"] {
            let shaka = dir.path().join(format!("shaka-{form}"));
            fs::create_dir(&shaka).unwrap();
            let at = |name: &str| shaka.join(name).to_str().unwrap().to_owned();
            let stream = |kind: &str| match form {
                "files" => format!("in={from},stream={kind},output={}", at(&format!("{kind}.mp4"))),
                _ => format!(
                    "in={from},stream={kind},init_segment={},segment_template={}",
                    at(&format!("{kind}-init.mp4")),
                    at(&format!("{kind}-$Number$.m4s"))
                ),
            };
            let (video, audio) = (stream("video"), stream("audio"));
            kit::run(&packager, &[&video, &audio, "--segment_duration", "2", "--mpd_output", &at("m.mpd")]);
            titles.push(shaka);
        }
    }
    let paths: Vec<&Path> = titles.iter().map(PathBuf::as_path).collect();
    let server = Server::start(&paths, &[]);
    for path in paths {
        let name = if path.is_dir() { path.file_name() } else { path.file_stem() }.unwrap().to_str().unwrap();
        for manifest in ["hls.m3u8", "dash.mpd", "ts.m3u8"] {
            let url = server.url(&format!("{name}/{manifest}"));
            kit::same(&play(&url, "0:v:0", &[]), &wanted, &url);
            assert!(play(&url, "0:a:0", &[]).len() > 400, "{url}");
        }
    }
}

#[test]
fn what_is_encrypted_on_the_way_out_decrypts() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 7) else { return };
    let wanted = kit::picture_hashes(&source, None);
    let key: Vec<u8> = (0..32).step_by(2).map(|n| u8::from_str_radix(&KEY[n..n + 2], 16).unwrap()).collect();
    fs::write(dir.path().join(format!("{KID}.key")), key).unwrap();
    let url = format!("file:{}/{{kid}}.key", dir.path().display());
    for (cmaf, ts) in [("cbcs", "sample-aes"), ("cenc", "aes-128")] {
        let schemes = format!("{cmaf},{ts}");
        let more = ["--encrypt", &schemes, "--key-url", &url];
        let server = Server::start(&[&source], &more);
        let folder = dir.path().join(cmaf);
        for name in [PICTURES, SOUND] {
            server.mirror("source", &format!("{name}.m3u8"), &folder);
        }
        kit::same(&kit::segment_hashes(&folder, PICTURES, KEY), &wanted, cmaf);
        let clear =
            kit::picture_hashes_or_none(&kit::joined(&folder, PICTURES), "00112233445566778899aabbccddeeff");
        assert!(clear.iter().take(20).all(|picture| !wanted.contains(picture)), "{cmaf} is clear");
        // FFmpeg reads DASH with a key; what it says of the last samples of SAMPLE-AES is another test's.
        let playlist = server.mirror("source", &format!("ts/{PICTURES}.m3u8"), &folder);
        let mut command = Command::new(tool("ffmpeg").unwrap());
        command.args(["-v", "quiet", "-allowed_extensions", "ALL", "-i"]).arg(&playlist);
        let output = command.args(["-map", "0:v", "-f", "framemd5", "-"]).output().unwrap();
        let shown = kit::hashes(&String::from_utf8_lossy(&output.stdout));
        let count = wanted.len() - if ts == "sample-aes" { 6 } else { 0 };
        assert!(shown.len() >= count, "{ts}: {} of {}", shown.len(), wanted.len());
        kit::same(&shown[..count], &wanted[..count], ts);

        // The same bytes again, also from another process; and no vector twice in the same title.
        let again = Server::start(&[&source], &more);
        let mut vectors = std::collections::BTreeSet::new();
        for path in [
            format!("{PICTURES}/init.mp4"),
            format!("{PICTURES}/1.m4s"),
            format!("{SOUND}/2.m4s"),
            format!("ts/{PICTURES}/1.ts"),
        ] {
            let one = server.get(&format!("source/{path}"));
            assert!(one == again.get(&format!("source/{path}")), "{path} differs");
            if let Some(at) = one.windows(4).position(|w| w == b"senc").filter(|_| cmaf == "cenc") {
                assert!(vectors.insert(one[at + 12..at + 20].to_vec()), "{path}");
            }
        }
        let text =
            server.text("source/hls.m3u8") + &server.text("source/dash.mpd") + &server.text("source/ts.m3u8");
        assert!(!text.contains(KEY) && text.contains(KID), "{text}");
    }
    // What one form can't encrypt, the other may.
    let args = ["-f", "lavfi", "-i", "sine=f=300:r=48000:d=3", "-c:a", "libmp3lame"];
    if let Some(mp3) = kit::make(dir.path(), "mp3.mp4", &args) {
        let server = Server::start(&[&mp3], &["--encrypt", "cbcs,sample-aes", "--key-url", &url]);
        let Reply(status, _, body) = server.ask("GET", "mp3/ts.m3u8", &[]);
        assert!(status == 404 && String::from_utf8_lossy(&body).contains("mp3 can't be encrypted"));
        assert_eq!(server.status("mp3/hls.m3u8"), 200);
        let run = kit::sv()
            .args(["origin", mp3.to_str().unwrap(), "--encrypt", "sample-aes", "--key-url", &url])
            .env("SV_KEYS", format!("{KID}:{KEY}"))
            .output();
        assert_eq!(run.unwrap().status.code(), Some(3));
    }
    // What is to be encrypted is not served in clear because of its form.
    let server = Server::start(&[&source], &["--encrypt", "cbcs"]);
    assert_eq!((server.status("source/hls.m3u8"), server.status("source/ts.m3u8")), (200, 404));
    assert_eq!(server.status(&format!("source/ts/{PICTURES}/0.ts")), 404);
}

/// A clear lead and keys that follow each other, as `sv package` has them: the same playlists, the same clear bytes, and
/// each segment under the key of its time alone, for FFmpeg and shaka-packager.
#[test]
fn a_lead_is_clear_and_keys_change() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 9) else { return };
    let wanted = kit::picture_hashes(&source, None);
    let pairs = [(KID, KEY), (OTHERS[0], OTHERS[1]), (OTHERS[2], OTHERS[3])];
    let mut lines = String::new();
    for (number, (kid, key)) in pairs.iter().enumerate() {
        let front = if number > 0 { format!("@{number} ") } else { String::new() };
        lines += &format!("{front}{kid}:{key}\n");
        let bytes: Vec<u8> =
            (0..16).map(|n| u8::from_str_radix(&key[2 * n..2 * n + 2], 16).unwrap()).collect();
        fs::write(dir.path().join(format!("{kid}.key")), bytes).unwrap();
    }
    let keys = dir.path().join("keys");
    fs::write(&keys, &lines).unwrap();
    let url = format!("file:{}/{{kid}}.key", dir.path().display());
    let options = ["--clear-lead", "2s", "--crypto-period", "4s", "--key-url", &url, "--keys"];
    let options = [&options[..], &[keys.to_str().unwrap()]].concat();
    // Segments of 2 s: the first is clear, and each of the others under this key.
    let under = [None, Some(0), Some(1), Some(1), Some(2)];
    for (cmaf, ts) in [("cbcs", "sample-aes"), ("cenc", "aes-128")] {
        let (output, folder) = (dir.path().join(format!("{cmaf}-files")), dir.path().join(cmaf));
        package(&source, &output, &[&["--encrypt", cmaf][..], &options].concat());
        let schemes = format!("{cmaf},{ts}");
        let server = Server::start(&[&source], &[&["--encrypt", &schemes][..], &options].concat());
        // Vectors are random there, and follow from the key here.
        let plain = |text: String| -> Vec<String> {
            text.lines().map(|line| line.split(",IV=").next().unwrap().to_owned()).collect()
        };
        for name in [PICTURES, SOUND] {
            let playlist = server.mirror("source", &format!("{name}.m3u8"), &folder);
            let stored = fs::read_to_string(output.join(format!("{name}.m3u8"))).unwrap();
            assert_eq!(plain(fs::read_to_string(playlist).unwrap()), plain(stored), "{cmaf}");
            let first = format!("{name}/0.m4s");
            assert!(fs::read(folder.join(&first)).unwrap() == fs::read(output.join(&first)).unwrap());
        }
        let init = fs::read(folder.join(PICTURES).join("init.mp4")).unwrap();
        let path = folder.join("one.mp4");
        let decoded = |number: usize, key: &str| {
            let segment = fs::read(folder.join(PICTURES).join(format!("{number}.m4s"))).unwrap();
            fs::write(&path, [&init[..], &segment].concat()).unwrap();
            kit::picture_hashes_or_none(&path, key)
        };
        let mut shown = Vec::new();
        for (number, under) in under.iter().enumerate() {
            let key = pairs[under.unwrap_or(0)].1;
            let right = decoded(number, key);
            // shaka-packager 3.8.0 asks for the track's own key, whatever a segment says.
            if let (Some(packager), Some(_)) = (tool("packager-linux-x64"), under) {
                let clear = folder.join(format!("clear-{number}.mp4"));
                let descriptor = format!("in={},stream=video,output={}", path.display(), clear.display());
                let keys = format!("label=:key_id={KID}:key={key}");
                kit::run(&packager, &[&descriptor, "--enable_raw_key_decryption", "--keys", &keys]);
                kit::same(&kit::picture_hashes(&clear, None), &right, "shaka-packager");
            }
            // With any key, where it needs none; with no other, where it needs one.
            let wrong = decoded(number, "00112233445566778899aabbccddeeff");
            assert_eq!(right == wrong, under.is_none(), "{cmaf} {number}");
            shown.extend(right);
        }
        kit::same(&shown, &wanted, cmaf);

        let output = dir.path().join(format!("{ts}-files"));
        package(&source, &output, &[&["--format", "ts", "--encrypt", ts][..], &options].concat());
        let playlist = server.mirror("source", &format!("ts/{PICTURES}.m3u8"), &folder);
        let stored = fs::read_to_string(output.join(format!("{PICTURES}.m3u8"))).unwrap();
        assert_eq!(plain(fs::read_to_string(&playlist).unwrap()), plain(stored), "{ts}");
        // FFmpeg 5.1 ends where SAMPLE-AES begins in the middle.
        if ts == "aes-128" {
            let shown = play(playlist.to_str().unwrap(), "0:v", &["-allowed_extensions", "ALL"]);
            kit::same(&shown, &wanted, ts);
        }
    }
    // A film that is longer than its keys last is told of at once.
    fs::write(&keys, lines.lines().take(2).collect::<Vec<_>>().join("\n")).unwrap();
    let run =
        kit::sv().args(["origin", source.to_str().unwrap(), "--encrypt", "cbcs"]).args(&options).output();
    let run = run.unwrap();
    assert_eq!(run.status.code(), Some(3), "{}", String::from_utf8_lossy(&run.stderr));
}

#[test]
fn filters_and_clips() {
    let dir = tempfile::tempdir().unwrap();
    let Some(ffmpeg) = tool("ffmpeg") else { return };
    let path = dir.path().join("film");
    fs::create_dir(&path).unwrap();
    for (name, size) in [("high", "640x360"), ("low", "320x180")] {
        let file = path.join(format!("{name}.mp4"));
        let input = format!("testsrc2=s={size}:r=25:d=12");
        kit::run(
            &ffmpeg,
            &[
                "-v",
                "error",
                "-f",
                "lavfi",
                "-i",
                &input,
                "-c:v",
                "libx264",
                "-preset",
                "veryfast",
                "-g",
                "50",
                "-bf",
                "2",
                file.to_str().unwrap(),
            ],
        );
    }
    for (name, tone) in [("eng", 440), ("ger", 880)] {
        let file = path.join(format!("sound-{name}.mp4"));
        let input = format!("sine=f={tone}:r=48000:d=12");
        let language = format!("language={name}");
        kit::run(
            &ffmpeg,
            &[
                "-v",
                "error",
                "-f",
                "lavfi",
                "-i",
                &input,
                "-c:a",
                "aac",
                "-metadata:s:a:0",
                &language,
                file.to_str().unwrap(),
            ],
        );
    }
    fs::write(
        path.join("words.fr.vtt"),
        "WEBVTT\n\n00:01.000 --> 00:03.000\none\n\n00:06.000 --> 00:09.000\ntwo\n",
    )
    .unwrap();
    let server = Server::start(&[&path], &[]);
    let master = |query: &str| {
        let text = server.text(&format!("film/hls.m3u8{query}"));
        m3u8_rs::parse_master_playlist_res(text.as_bytes()).unwrap()
    };
    let names = |query: &str| -> Vec<String> {
        master(query).variants.iter().filter(|v| !v.is_i_frame).map(|v| v.uri.clone()).collect()
    };
    assert_eq!(names("?order=descending"), ["high.m3u8", "low.m3u8"]);
    assert_eq!(names("?order=ascending"), ["low.m3u8", "high.m3u8"]);
    assert_eq!(names("?filter=video_height:1-200"), ["low.m3u8"]);
    assert_eq!(names("?aws.manifestfilter=video_height%3A300-400%3Bvideo_codec%3AH264"), ["high.m3u8"]);
    let languages = |query: &str| -> Vec<String> {
        let all = master(query).alternatives;
        let mut all: Vec<String> = all.iter().filter_map(|a| a.language.clone()).collect();
        all.sort();
        all
    };
    assert_eq!(languages(""), ["de", "en", "fr"]);
    assert_eq!(languages("?filter=audio_language:de"), ["de", "fr"]);
    assert_eq!(languages("?filter=audio_language:xx;subtitle_language:xx"), [""; 0]);
    let only = server.text("film/dash.mpd?filter=video_height:180;audio_language:en");
    assert!(
        only.contains("height=\"180\"") && !only.contains("height=\"360\"") && !only.contains("lang=\"de\""),
        "{only}"
    );
    for (query, status) in [
        ("?filter=video_height:1", 200),
        ("?filter=colour:red", 400),
        ("?start=20", 404),
        ("?start=4&end=3", 400),
        ("?delay=5", 400),
    ] {
        assert_eq!(server.status(&format!("film/hls.m3u8{query}")), status, "{query}");
    }

    // Segments 2 to 3 of HLS, and where to begin in them; in DASH from the
    // beginning of a segment to the picture.
    let wanted = kit::picture_hashes(&path.join("high.mp4"), None);
    let text = server.text("film/high.m3u8?start=5&end=8");
    let list = m3u8_rs::parse_media_playlist_res(text.as_bytes()).unwrap();
    assert_eq!((list.media_sequence, list.segments.len()), (2, 2), "{text}");
    assert_eq!(list.start.map(|s| s.time_offset), Some(1.0), "{text}");
    kit::same(
        &play(&server.url("film/hls.m3u8?start=5&end=8&order=descending"), "0:v:0", &[]),
        &wanted[100..200],
        "HLS",
    );
    kit::same(
        &play(&server.url("film/ts.m3u8?start=5&end=8&order=descending"), "0:v:0", &[]),
        &wanted[100..200],
        "TS",
    );
    let clip = server.text("film/dash.mpd?start=5&end=8");
    assert!(
        clip.contains("mediaPresentationDuration=\"PT4.000S\"") && clip.contains("presentationTimeOffset="),
        "{clip}"
    );
    let words = server.text("film/text-fr.vtt?start=5&end=8");
    assert!(
        words.contains("X-TIMESTAMP-MAP=MPEGTS:450000,")
            && words.contains("00:00:01.000 --> 00:00:03.000\ntwo")
            && !words.contains("one"),
        "{words}"
    );
    assert!(clip.contains("text-fr.vtt?start=4&amp;end=8"), "{clip}");
    valid(dir.path(), &clip);
    valid(dir.path(), &server.text("film/dash.mpd"));
}

#[test]
fn http_as_caches_and_players_want_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 5) else { return };
    let server = Server::start(&[&source], &[]);
    let path = format!("source/{PICTURES}/0.m4s");
    let Reply(status, headers, whole) = server.ask("GET", &path, &[]);
    assert_eq!((status, headers["content-type"].as_str()), (200, "video/mp4"));
    assert_eq!(headers["access-control-allow-origin"], "*");
    assert!(headers["cache-control"].contains("max-age"));
    let tag = headers["etag"].clone();
    let Reply(status, headers, part) = server.ask("GET", &path, &[("range", "bytes=10-19")]);
    assert_eq!((status, part.as_slice()), (206, &whole[10..20]));
    assert_eq!(headers["content-range"], format!("bytes 10-19/{}", whole.len()));
    let Reply(status, _, tail) = server.ask("GET", &path, &[("range", "bytes=-5"), ("if-range", &tag)]);
    assert_eq!((status, tail.as_slice()), (206, &whole[whole.len() - 5..]));
    assert_eq!(server.ask("GET", &path, &[("range", "bytes=5-6"), ("if-range", "\"x\"")]).0, 200);
    assert_eq!(server.ask("GET", &path, &[("range", "bytes=99999999-")]).0, 416);
    for odd in ["bytes=a", "lines=1-2", "bytes=0-1,3-4"] {
        assert_eq!(server.ask("GET", &path, &[("range", odd)]).0, 200, "{odd}");
    }
    for path in [path.as_str(), "source/hls.m3u8"] {
        let tag = server.ask("GET", path, &[]).1["etag"].clone();
        let Reply(status, _, body) = server.ask("GET", path, &[("if-none-match", &tag)]);
        assert_eq!((status, body.len()), (304, 0));
    }
    let Reply(status, headers, body) = server.ask("HEAD", &path, &[]);
    assert_eq!(
        (status, headers["content-length"].as_str(), body.len()),
        (200, whole.len().to_string().as_str(), 0)
    );
    assert_eq!(server.ask("OPTIONS", &path, &[]).0, 204);
    assert_eq!(server.ask("DELETE", &path, &[]).0, 405);
}

#[test]
fn nothing_odd_is_given_away_or_breaks_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 5) else { return };
    let library = dir.path().join("library");
    fs::create_dir(&library).unwrap();
    let bytes = fs::read(&source).unwrap();
    fs::copy(&source, library.join("good.mp4")).unwrap();
    fs::write(library.join("cut.mp4"), &bytes[..bytes.len() / 2]).unwrap();
    fs::write(library.join("empty.mp4"), b"").unwrap();
    fs::write(library.join("noise.mp4"), [0x5A; 4096]).unwrap();
    fs::write(library.join(".hidden.mp4"), &bytes).unwrap();
    fs::create_dir(library.join("nothing")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(&source, library.join("link.mp4")).unwrap();
    // Broken in its tables.
    let mut broken = bytes.clone();
    let at = broken.windows(4).position(|w| w == b"stsz").unwrap();
    broken[at + 12..at + 400].fill(0xFF);
    fs::write(library.join("broken.mp4"), broken).unwrap();
    let server = Server::start(&[], &["--library", library.to_str().unwrap()]);
    assert_eq!(server.status("good.mp4/hls.m3u8"), 200);
    for (name, status) in [
        ("cut.mp4", 502),
        ("empty.mp4", 502),
        ("noise.mp4", 502),
        ("broken.mp4", 502),
        ("nothing", 404),
        ("link.mp4", 404),
        (".hidden.mp4", 404),
        ("absent", 404),
    ] {
        let Reply(got, _, body) = server.ask("GET", &format!("{name}/hls.m3u8"), &[]);
        let said = String::from_utf8(body).unwrap();
        assert_eq!(got, status, "{name}: {said}");
        assert!(said.len() > 10 && !said.contains(dir.path().to_str().unwrap()), "{name}: {said}");
    }
    for path in [
        "",
        "good.mp4",
        "good.mp4/",
        "../source.mp4/hls.m3u8",
        "%2e%2e/source.mp4/hls.m3u8",
        "good.mp4/../good.mp4",
        "good.mp4/%2e%2e/x.m3u8",
        "good.mp4/360p-h264/99.m4s",
        "good.mp4/nothing/0.m4s",
        "good.mp4/ts/360p-h264/0.m4s",
        "good.mp4/360p-h264/init-1.mp4",
        "good.mp4/360p-h264-iframes-iframes.m3u8",
        "good.mp4/text.vtt",
        "//hls.m3u8",
    ] {
        assert_eq!(server.status(path), 404, "{path}");
    }
    assert_eq!(server.status(&format!("good.mp4/hls.m3u8?filter={}", "a".repeat(5000))), 414);
    assert_eq!(server.status(&format!("good.mp4/hls.m3u8?filter={}", "%3B".repeat(500))), 200);
    assert_eq!(server.status("good.mp4/hls.m3u8?filter=%ff"), 400);
    // It goes on, and what is new is seen.
    fs::copy(&source, library.join("later.mp4")).unwrap();
    assert_eq!(server.status("later.mp4/dash.mpd"), 200);

    // Mistakes of whoever starts it.
    for (args, code, what) in [
        (vec!["origin"], 3, "name a file or a folder"),
        (vec!["origin", "no-such-file.mp4"], 3, "no-such-file"),
        (vec!["origin", source.to_str().unwrap(), source.to_str().unwrap()], 3, "two titles"),
        (vec!["origin", source.to_str().unwrap(), "--encrypt", "cbcs"], 5, "--keys"),
        (vec!["origin", source.to_str().unwrap(), "--encrypt", "aes-128", "--keys", "k"], 5, "k"),
    ] {
        let run = kit::sv().args(&args).env_remove("SV_KEYS").output().unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.code() == Some(code) && said.contains(what), "{args:?}: {said}");
    }
}

/// `sv live` until it has ended, asked on the way what is there so far.
struct Going(Child, String);

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Going {
    fn start(source: &Path, out: &Path) -> Self {
        let mut child = kit::sv()
            .arg("live")
            .arg(source)
            .arg("--out")
            .arg(out)
            .args(["--listen", "127.0.0.1:0", "--segment", "1s"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        let url = line.split_whitespace().find(|w| w.starts_with("http")).unwrap().to_owned();
        Self(child, url)
    }

    /// Returns when that segment is there.
    fn until(&self, segment: u64) {
        for number in 0..=segment {
            ureq::get(format!("{}{PICTURES}.m3u8?_HLS_msn={number}", self.1)).call().unwrap();
        }
    }
}

fn valid(dir: &Path, text: &str) {
    let file = dir.join("asked.mpd");
    fs::write(&file, text).unwrap();
    kit::valid_dash(&file);
}

#[test]
fn a_live_presentation_is_seen_later_and_in_every_form() {
    let dir = tempfile::tempdir().unwrap();
    let args = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=640x360:r=25:d=8",
        "-f",
        "lavfi",
        "-i",
        "sine=f=440:r=48000:d=8",
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-g",
        "25",
        "-bf",
        "2",
        "-pix_fmt",
        "yuv420p",
        "-c:a",
        "aac",
    ];
    let Some(source) = kit::make(dir.path(), "source.mp4", &args) else { return };
    let wanted = kit::picture_hashes(&source, None);
    let folder = dir.path().join("live");
    let mut going = Going::start(&source, &folder);
    going.until(4);
    let server = Server::start(&[&folder], &[]);
    let segments = |server: &Server, query: &str| {
        let text = server.text(&format!("live/{PICTURES}.m3u8{query}"));
        let list = m3u8_rs::parse_media_playlist_res(text.as_bytes()).unwrap();
        (list.media_sequence, list.segments.len() as u64, list.end_list, text)
    };
    let (first, count, ended, text) = segments(&server, "?delay=2");
    assert!(first == 0 && (2..=4).contains(&count) && !ended, "{text}");
    assert!(!text.contains("CAN-BLOCK-RELOAD") && !text.contains("EXT-X-PART"), "{text}");
    let later = server.text("live/dash.mpd?delay=2");
    assert!(later.contains("type=\"dynamic\"") && !later.contains("PatchLocation"), "{later}");
    valid(dir.path(), &later);
    assert_eq!(server.status("live/hls.m3u8?delay=3600"), 404);
    assert!(server.text("live/time").starts_with("20"));
    // A stretch that is over is a recording while the rest goes on.
    let (first, count, ended, text) = segments(&server, "?start=1&end=3");
    assert_eq!((first, count, ended), (1, 2, true), "{text}");
    valid(dir.path(), &server.text("live/dash.mpd?start=1&end=3"));
    assert!(going.0.wait().unwrap().success());

    let server = Server::start(&[&folder], &[]);
    for manifest in ["hls.m3u8", "ts.m3u8", "dash.mpd"] {
        let url = server.url(&format!("live/{manifest}"));
        kit::same(&play(&url, "0:v:0", &[]), &wanted, manifest);
        assert!(play(&url, "0:a:0", &[]).len() > 360, "{manifest}");
    }
    kit::same(&play(&server.url("live/hls.m3u8?start=2&end=4"), "0:v:0", &[]), &wanted[50..100], "a stretch");
    for file in [format!("{PICTURES}/init.mp4"), format!("{PICTURES}/3.m4s")] {
        assert!(server.get(&format!("live/{file}")) == fs::read(folder.join(&file)).unwrap(), "{file}");
    }
    for hidden in ["live/.journal", "live/%2ejournal", "live/.manifests", &format!("live/{PICTURES}/3.1.m4s")]
    {
        assert_eq!(server.status(hidden), 404, "{hidden}");
    }
    let server = Server::start(&[&folder], &["--encrypt", "cbcs"]);
    let mirror = dir.path().join("mirror");
    server.mirror("live", &format!("{PICTURES}.m3u8"), &mirror);
    kit::same(&kit::segment_hashes(&mirror, PICTURES, KEY), &wanted, "cbcs");
    assert!(
        server.get(&format!("live/{PICTURES}/3.m4s"))
            != fs::read(folder.join(format!("{PICTURES}/3.m4s"))).unwrap()
    );
}

/// Text in MP4 leaves as the file of text that it was made of.
#[test]
fn text_comes_out_of_mp4() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 7) else { return };
    let words = dir.path().join("words.de.vtt");
    let cues = "00:00:00.500 --> 00:00:03.000\neins\n\n00:00:03.000 --> 00:00:06.500\nzwei\n";
    fs::write(&words, format!("WEBVTT\n\n{cues}")).unwrap();
    for (name, more) in [("wvtt", &[][..]), ("stpp", &["ttml"])] {
        let output = dir.path().join(name);
        let text = match more {
            [] => words.to_str().unwrap().to_owned(),
            _ => format!("in={},format=ttml,language=de", words.display()),
        };
        package(&source, &output, &[&text, "--text", "mp4"]);
        let server = Server::start(&[&output], &[]);
        let got = server.text(&format!("{name}/text-de.vtt"));
        // TTML's places stand behind the times.
        let times = |line: &str| line.split(" line:").next().unwrap().to_owned() + "\n";
        let plain: String = got.lines().map(times).collect();
        assert!(plain.ends_with(cues), "{name}: {got}");
        assert!(server.text(&format!("{name}/ts/text-de.vtt")).contains("X-TIMESTAMP-MAP=MPEGTS:900000,"));
        let list = m3u8_rs::parse_master_playlist_res(&server.get(&format!("{name}/hls.m3u8"))).unwrap();
        assert!(list.alternatives.iter().any(|a| a.language.as_deref() == Some("de")), "{name}");
    }
}

#[test]
fn answers_count_until_they_are_sent() {
    use axum::body::{Body, to_bytes};
    use streamverse::origin::{Origin, Settings};
    use tower_service::Service as _;

    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 5) else { return };
    let mut settings = Settings::default();
    settings.requests = 2;
    settings.segment_bytes = 1 << 20;
    let mut origin = Origin::new(settings);
    origin.add("film", &source).unwrap();
    assert!(origin.add("film", &source).is_err() && origin.add("a b", &source).is_err());
    let mut router = origin.router();
    assert!(origin.add("late", &source).is_err(), "titles are added before it serves");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut ask = async |path: &str| {
            let request = axum::http::Request::get(format!("/film/{path}")).body(Body::empty()).unwrap();
            let Ok(response) = router.call(request).await;
            response
        };
        let path = format!("{PICTURES}/0.m4s");
        let (one, two) = (ask(&path).await, ask(&path).await);
        let full = ask(&path).await;
        assert_eq!((full.status().as_u16(), full.headers()["retry-after"].as_bytes()), (503, &b"1"[..]));
        let one = to_bytes(one.into_body(), usize::MAX).await.unwrap();
        assert_eq!(ask("hls.m3u8").await.status().as_u16(), 503, "it is still held");
        let copy = one.to_vec();
        drop(one);
        assert_eq!(ask("hls.m3u8").await.status().as_u16(), 200);
        assert_eq!(to_bytes(two.into_body(), usize::MAX).await.unwrap().to_vec(), copy);
    });
}
