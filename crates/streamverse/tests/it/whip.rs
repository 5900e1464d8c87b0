//! `sv gateway --whip`: its HTTP by the letter of RFC 9725, and what FFmpeg sends is watched and kept.

use std::path::{Path, PathBuf};
use std::process::Command;

use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body};

use crate::gateway::{Gateway, only};
use crate::kit;

const OFFER: &str = include_str!("../../../sv-ingest/tests/it/whip_offer.sdp");
const SDP: (&str, &str) = ("content-type", "application/sdp");
const FRAGMENT: (&str, &str) = ("content-type", "application/trickle-ice-sdpfrag");
const SECRET: &str = "a-secret-that-nobody-guesses";

fn agent() -> Agent {
    Agent::config_builder().http_status_as_error(false).build().into()
}

fn offer() -> String {
    OFFER.replace('\n', "\r\n")
}

fn post(url: &str, headers: &[(&str, &str)], body: &str) -> Response<Body> {
    let request =
        headers.iter().fold(agent().post(url), |request, (name, value)| request.header(*name, *value));
    request.send(body).unwrap()
}

fn patch(url: &str, headers: &[(&str, &str)], body: &str) -> Response<Body> {
    let request =
        headers.iter().fold(agent().patch(url), |request, (name, value)| request.header(*name, *value));
    request.send(body).unwrap()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).unwrap_or_else(|| panic!("{name} in {headers:?}")).to_str().unwrap()
}

fn keys(dir: &Path) -> PathBuf {
    let path = dir.join("keys.toml");
    let other = "another-secret-that-nobody-guesses";
    let text = format!(
        "[[stream]]\nname = \"studio\"\nkey = \"{SECRET}\"\n[[stream]]\nname = \"other\"\nkey = \"{other}\"\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn sessions_begin_change_and_end_as_the_specification_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let keys = keys(dir.path());
    let more = ["--stream-keys", keys.to_str().unwrap(), "--whip", "127.0.0.1:0,127.0.0.1:0"];
    let gateway = Gateway::start(
        &dir.path().join("out"),
        &[&more[..], &["--ice-server", "stun:stun.example.net"]].concat(),
    );
    let url = format!("http://{}/whip/studio", gateway.http);
    let bearer = format!("Bearer {SECRET}");
    let key = ("authorization", bearer.as_str());

    assert_eq!(post(&url, &[SDP], &offer()).status(), 401, "the name is no key");
    assert_eq!(post(&url, &[SDP, ("authorization", "Bearer wrong")], &offer()).status(), 403);
    assert_eq!(post(&url, &[("content-type", "text/plain"), key], &offer()).status(), 415);
    assert_eq!(post(&url, &[SDP, key], "hello").status(), 422);
    assert_eq!(post(&url, &[SDP, key], &"x".repeat(100_000)).status(), 413);
    let mut another = post(&url.replace("studio", "other"), &[SDP, key], &offer());
    assert_eq!(another.status(), 403, "a key of another stream");
    let problem = another.body_mut().read_to_string().unwrap();
    assert!(problem.contains("another stream") && !problem.contains(SECRET), "{problem}");
    assert_eq!(agent().get(&url).call().unwrap().status(), 405);
    let options = agent().options(&url).call().unwrap();
    assert_eq!(
        (options.status().as_u16(), header(options.headers(), "accept-post")),
        (204, "application/sdp")
    );
    assert_eq!(header(options.headers(), "access-control-allow-origin"), "*");

    let mut opened = post(&url, &[SDP, key], &offer());
    assert_eq!(opened.status(), 201);
    let (headers, answer) = (opened.headers().clone(), opened.body_mut().read_to_string().unwrap());
    assert_eq!(header(&headers, "content-type"), "application/sdp");
    assert_eq!(header(&headers, "link"), "<stun:stun.example.net>; rel=\"ice-server\"");
    assert!(answer.contains("a=ice-lite") && answer.contains("tcptype passive"), "{answer}");
    let session = format!("http://{}{}", gateway.http, header(&headers, "location"));
    let tag = header(&headers, "etag").to_owned();

    let more = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\n";
    assert_eq!(patch(&session, &[FRAGMENT], more).status(), 428);
    assert_eq!(patch(&session, &[FRAGMENT, ("if-match", "\"x\"")], more).status(), 412);
    assert_eq!(patch(&session, &[SDP, ("if-match", &tag)], more).status(), 415);
    assert_eq!(patch(&session, &[FRAGMENT, ("if-match", &tag)], "nothing").status(), 422);
    assert_eq!(patch(&session, &[FRAGMENT, ("if-match", &tag)], more).status(), 204);
    let anew = format!("a=ice-ufrag:another\r\na=ice-pwd:{}\r\n{more}", "a".repeat(24));
    assert_eq!(patch(&session, &[FRAGMENT, ("if-match", &tag)], &anew).status(), 409);
    let mut restarted = patch(&session, &[FRAGMENT, ("if-match", "*")], &anew);
    assert_eq!(restarted.status(), 200);
    let now = header(restarted.headers(), "etag").to_owned();
    let body = restarted.body_mut().read_to_string().unwrap();
    assert!(now != tag && body.contains("a=ice-ufrag:") && body.contains("candidate:"), "{body}");
    assert_eq!(patch(&session, &[FRAGMENT, ("if-match", &tag)], more).status(), 412, "the tag of before");
    assert_eq!(patch(&session, &[FRAGMENT, ("if-match", &now)], more).status(), 204);

    assert_eq!(agent().delete(&session).call().unwrap().status(), 200);
    assert_eq!(agent().delete(&session).call().unwrap().status(), 404);
    assert_eq!(patch(&session, &[FRAGMENT, ("if-match", &now)], more).status(), 404);
    // By the key alone, the key says which stream it is.
    assert_eq!(post(&url.replace("/studio", ""), &[SDP, key], &offer()).status(), 201);
    assert_eq!(post(&url.replace("/studio", ""), &[SDP], &offer()).status(), 401);
}

#[test]
fn what_ffmpeg_sends_by_whip_is_watched_and_kept_to_the_picture() {
    let dir = tempfile::tempdir().unwrap();
    let Some(ffmpeg) = sv_testkit::ffmpeg9() else { return };
    let inputs = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=640x360:rate=30:duration=6",
        "-f",
        "lavfi",
        "-i",
        "sine=duration=6",
    ];
    let coding = [
        "-c:v",
        "libx264",
        "-profile:v",
        "baseline",
        "-preset",
        "veryfast",
        "-pix_fmt",
        "yuv420p",
        "-g",
        "30",
    ];
    let sound = ["-ar", "48000", "-c:a", "libopus", "-ac", "2"];
    let Some(film) = kit::make(dir.path(), "film.mkv", &[&inputs[..], &coding, &sound].concat()) else {
        return;
    };
    let (out, keys) = (dir.path().join("out"), keys(dir.path()));
    let more = ["--linger", "2s", "--whip", "127.0.0.1:0", "--stream-keys", keys.to_str().unwrap()];
    let mut gateway = Gateway::start(&out, &more);
    let url = format!("http://{}/whip/studio", gateway.http);
    let sent = Command::new(ffmpeg)
        .args(["-v", "error", "-re", "-i", film.to_str().unwrap(), "-c", "copy", "-f", "whip"])
        .args(["-authorization", SECRET, &url])
        .output()
        .unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let started = gateway.until("live.stream.started");
    assert_eq!(started["protocol"], "whip");
    assert!(started["from"].as_str().unwrap().starts_with("127.0.0.1:"), "{started}");
    gateway.until("live.presentation.ended");
    let kept = only(&out.join("studio"));
    kit::same(
        &kit::picture_hashes(&kit::joined(&kept, "360p-h264"), None),
        &kit::picture_hashes(&film, None),
        "the pictures that were sent",
    );
    assert!(gateway.text("studio/master.m3u8").contains("opus"));
}
