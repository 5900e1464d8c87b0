//! Live streams by every protocol that FFmpeg speaks, their recordings, videos of them, and how long all that is kept.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::service::{Service, tool};

/// Pictures that FFmpeg may keep to itself at its end, when the machine has much to do.
const TAIL: usize = 20;
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// Six seconds with a key picture each second.
fn film(ffmpeg: &Path, folder: &Path) -> PathBuf {
    let out = folder.join("film.mp4");
    let inputs = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=320x180:rate=25:duration=6",
        "-f",
        "lavfi",
        "-i",
        "sine=duration=6",
    ];
    let coding = [
        "-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-bf", "2", "-pix_fmt", "yuv420p", "-c:a",
        "aac",
    ];
    let mut command = Command::new(ffmpeg);
    command.args(["-v", "error"]).args(inputs).args(coding).arg(&out);
    assert!(command.status().unwrap().success());
    out
}

fn send(ffmpeg: &Path, film: &Path, form: &str, url: &str) -> Child {
    let mut command = Command::new(ffmpeg);
    command.args(["-v", "quiet", "-re", "-i"]).arg(film).args(["-c", "copy", "-f", form, url]);
    command.stdin(Stdio::null()).spawn().unwrap()
}

/// The MD5 of each decoded picture.
fn pictures(ffmpeg: &Path, input: &str) -> Vec<String> {
    let mut command = Command::new(ffmpeg);
    command.args([
        "-v",
        "error",
        "-i",
        input,
        "-map",
        "0:v:0",
        "-fps_mode",
        "passthrough",
        "-f",
        "framemd5",
        "-",
    ]);
    let out = command.output().unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit(',').next().unwrap().trim().to_owned()).collect()
}

fn start(service: &Service, wanted: &Value) -> Value {
    let answer = service.send("POST", "/v1/live/start", JSON, wanted.to_string().as_bytes());
    assert_eq!(answer.status, 201, "{:?}", String::from_utf8_lossy(&answer.body));
    answer.json()
}

fn is(service: &Service, id: &str, state: &str) -> Option<Value> {
    Some(service.get(&format!("/v1/live/{id}")).json()).filter(|live| live["state"] == state)
}

fn recordings(service: &Service, id: &str) -> Value {
    let mut list = service.get(&format!("/v1/live/{id}/recordings")).json();
    list["recordings"].take()
}

#[test]
fn what_came_by_srt_is_recorded_cut_and_published() {
    let service = Service::start();
    let folder = tempfile::tempdir().unwrap();
    let Some(ffmpeg) = tool("ffmpeg") else { return };
    let film = film(&ffmpeg, folder.path());
    let sent = pictures(&ffmpeg, film.to_str().unwrap());
    assert_eq!(sent.len(), 150);
    let made = start(&service, &json!({ "title": "By SRT", "record": true, "keep_hours": 48 }));
    let (id, ingest) = (made["id"].as_str().unwrap(), &made["ingest"]);
    assert_eq!(made["recording"], json!({ "keep_hours": 48, "part_minutes": 60 }));
    assert_eq!(recordings(&service, id), json!([]));
    let nothing = service.send("POST", &format!("/v1/live/{id}/publish"), JSON, b"{}");
    nothing.problem(409, "not_recorded");

    let mut sender =
        send(&ffmpeg, &film, "mpegts", &format!("{}&linger=3", ingest["with_key"]["srt"].as_str().unwrap()));
    service.wait(|| is(&service, id, "live"));
    // What is on air can be had up to now.
    let part = service.wait(|| recordings(&service, id)[0]["parts"][0]["link"].as_str().map(str::to_owned));
    let running =
        service.wait(|| Some(recordings(&service, id)).filter(|r| r[0]["bytes"].as_u64() > Some(50_000)));
    assert_eq!(running[0]["on_air"], true);
    assert_eq!(service.get(&part).status, 200);
    let healthy =
        service.wait(|| Some(is(&service, id, "live")?).filter(|l| l["health"]["tracks"][1].is_object()));
    assert_eq!(healthy["health"]["tracks"][0]["codec"], "h264");
    sender.wait().unwrap();
    service.wait(|| is(&service, id, "waiting"));
    assert_eq!(service.send("POST", &format!("/v1/live/{id}/stop"), &[], b"").status, 200);

    let all = recordings(&service, id);
    assert_eq!((all.as_array().unwrap().len(), &all[0]["on_air"]), (1, &false.into()), "{all}");
    let link = all[0]["link"].as_str().unwrap();
    let file = |query: &str| {
        let answer = service.get(&format!("{link}{query}"));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("video/mp4")));
        let path = folder.path().join("got.mp4");
        std::fs::write(&path, answer.body).unwrap();
        pictures(&ffmpeg, path.to_str().unwrap())
    };
    let whole = file("");
    assert!(
        whole.len() + TAIL >= sent.len() && sent.starts_with(&whole),
        "{} of {}",
        whole.len(),
        sent.len()
    );
    assert_eq!(file("?from=1.2&to=2.04"), sent[30..51]);
    service.get(&format!("{link}?from=2&to=1")).problem(400, "invalid_input");
    service.get(&format!("{link}?from=3600")).problem(400, "invalid_input");
    service.get(&format!("/v1/live/{id}/recordings/20260101T000000.000Z")).problem(404, "not_found");
    service.get(&format!("/v1/live/{id}/parts/..%2F..%2Fsecret")).problem(404, "not_found");
    let range = service.send("GET", &part, &[("range", "bytes=4-7")], b"");
    assert_eq!((range.status, &range.body[..]), (206, &b"ftyp"[..]));
    assert!(std::fs::read_dir(service.data.path().join("cuts")).unwrap().next().is_none());

    let wanted = json!({ "title": "The best of it", "from": 1.2, "to": 3.2 }).to_string();
    let video = service.send("POST", &format!("/v1/live/{id}/publish"), JSON, wanted.as_bytes());
    assert_eq!((video.status, video.json()["title"].as_str()), (201, Some("The best of it")));
    let video = service.wait_for(video.json()["id"].as_str().unwrap(), &["ready", "failed"]);
    assert_eq!(video["state"], "ready", "{video}");
    let url = format!("{}{}", service.url, video["playback"]["hls"].as_str().unwrap());
    // What is decoded before the last pictures comes along, though an edit list hides it.
    assert!((50..=52).contains(&pictures(&ffmpeg, &url).len()));

    // The video is one of its own.
    assert_eq!(service.send("DELETE", &format!("/v1/live/{id}"), &[], b"").status, 204);
    assert!(!service.data.path().join("recordings").join(id).exists());
    assert_eq!(service.get(video["playback"]["hls"].as_str().unwrap()).status, 200);
}

#[test]
fn one_key_is_good_for_every_protocol_and_no_other_is() {
    let service = Service::start_new(&["--rtsp", "127.0.0.1:0"]);
    let folder = tempfile::tempdir().unwrap();
    let Some(ffmpeg) = tool("ffmpeg") else { return };
    let film = film(&ffmpeg, folder.path());
    let made = start(&service, &json!({ "title": "Any way" }));
    let (id, ingest) = (made["id"].as_str().unwrap(), &made["ingest"]);
    let shown = service.get(&format!("/v1/live/{id}")).json();
    assert!(shown["ingest"]["with_key"].is_null() && shown["ingest"]["srt"] == ingest["srt"]);
    let key = ingest["key"].as_str().unwrap();
    for (protocol, form) in [("srt", "mpegts"), ("rtsp", "rtsp"), ("rtmp", "flv")] {
        let url = ingest["with_key"][protocol].as_str().unwrap();
        assert!(url.contains(key) && url.starts_with(ingest[protocol].as_str().unwrap()), "{url}");
        let wrong = send(&ffmpeg, &film, form, &url.replace(key, &"x".repeat(key.len()))).wait();
        assert!(!wrong.unwrap().success(), "{protocol}");
        let mut sender = send(&ffmpeg, &film, form, url);
        service.wait(|| is(&service, id, "live"));
        sender.kill().unwrap();
        sender.wait().unwrap();
        service.wait(|| is(&service, id, "waiting"));
    }
    // By WHIP the key is a bearer token or stands in the address, for any page.
    let offer = |path: &str, token: Option<&str>| {
        let token = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![("content-type", "application/sdp"), ("origin", "https://elsewhere.example")];
        headers.extend(token.as_deref().map(|token| ("authorization", token)));
        service.send("POST", path, &headers, b"v=0\r\n").status
    };
    let (whip, keyed) = (ingest["whip"].as_str().unwrap(), ingest["with_key"]["whip"].as_str().unwrap());
    assert_eq!(
        (offer(whip, None), offer(whip, Some("nonsense")), offer("/whip/nonsense", None)),
        (401, 403, 401)
    );
    assert_eq!((offer(whip, Some(key)), offer(keyed, None)), (422, 422));
    assert_eq!(service.send("DELETE", "/whip/session/nobodys", &[], b"").status, 404);
    assert!(!service.log().contains(key));
}

#[test]
fn what_is_old_goes_and_what_is_young_outlives_a_restart() {
    let service = Service::start();
    let folder = tempfile::tempdir().unwrap();
    let Some(ffmpeg) = tool("ffmpeg") else { return };
    let film = film(&ffmpeg, folder.path());
    let senders = ["old", "young"].map(|title| {
        let made = start(&service, &json!({ "title": title, "record": true }));
        let id = made["id"].as_str().unwrap().to_owned();
        let sender = send(&ffmpeg, &film, "flv", made["ingest"]["with_key"]["rtmp"].as_str().unwrap());
        service.wait(|| is(&service, &id, "live"));
        (sender, id)
    });
    let [old, young] = senders.map(|(mut sender, id)| {
        sender.wait().unwrap();
        service.wait(|| is(&service, &id, "waiting"));
        service.send("POST", &format!("/v1/live/{id}/stop"), &[], b"");
        assert_eq!(recordings(&service, &id).as_array().unwrap().len(), 1);
        id
    });
    let kept = |id: &str| ["live", "recordings"].map(|name| service.data.path().join(name).join(id));
    let days = |n: u64| SystemTime::now() - Duration::from_secs(n * 24 * 3600);
    let age = |path: &Path, to| File::open(path).unwrap().set_modified(to).unwrap();
    let all = |path: &Path| std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();
    for (id, presented, recorded) in [(&old, days(2), days(8)), (&young, days(0), days(6))] {
        let [live, recordings] = kept(id);
        for presentation in all(&live) {
            all(&presentation).iter().for_each(|file| age(file, presented));
            age(&presentation, presented);
        }
        all(&recordings).iter().for_each(|part| age(part, recorded));
    }
    // Nobody knows this one.
    let lost = service.data.path().join("live/liv_00000000000000000000000000/20260101T000000.000Z");
    std::fs::create_dir_all(&lost).unwrap();

    let [old_live, old_recordings] = kept(&old);
    let service = service.kill_and_restart();
    service.wait(|| (!old_live.exists() && !lost.parent().unwrap().exists()).then_some(()));
    service.wait(|| (all(&old_recordings).is_empty()).then_some(()));
    assert_eq!(recordings(&service, &old), json!([]));
    assert!(is(&service, &old, "ended").unwrap()["playback"].is_null());
    assert_eq!(recordings(&service, &young).as_array().unwrap().len(), 1);
    let playback = &is(&service, &young, "ended").unwrap()["playback"];
    for what in ["hls", "dash"] {
        let url = format!("{}{}", service.url, playback[what].as_str().unwrap());
        assert!(pictures(&ffmpeg, &url).len() > 100, "{what}");
    }
}
