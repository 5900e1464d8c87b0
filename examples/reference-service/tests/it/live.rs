//! Live streams: made, sent by FFmpeg, watched, stopped and deleted; and what is told meanwhile.

use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tungstenite::Message;

use crate::service::{Service, tool};

/// Sends bars and a tone until it is killed.
fn send(rtmp: &str, key: &str) -> Option<Child> {
    let inputs =
        ["-re", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25", "-re", "-f", "lavfi", "-i", "sine"];
    let coding =
        ["-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-pix_fmt", "yuv420p", "-c:a", "aac"];
    let mut command = Command::new(tool("ffmpeg")?);
    command.args(["-v", "error"]).args(inputs).args(coding).args(["-f", "flv", &format!("{rtmp}/{key}")]);
    Some(command.stdin(Stdio::null()).spawn().unwrap())
}

fn start(service: &Service, title: &str) -> Value {
    let body = serde_json::json!({ "title": title }).to_string();
    let answer =
        service.send("POST", "/v1/live/start", &[("content-type", "application/json")], body.as_bytes());
    assert_eq!(answer.status, 201);
    answer.json()
}

fn live(service: &Service, id: &str) -> Value {
    service.get(&format!("/v1/live/{id}")).json()
}

#[test]
fn a_stream_is_sent_watched_stopped_and_deleted() {
    let service = Service::start_new(&["--live-ladder", "auto"]);
    let made = start(&service, "The studio");
    let id = made["id"].as_str().unwrap();
    let (rtmp, key) = (made["ingest"]["rtmp"].as_str().unwrap(), made["ingest"]["key"].as_str().unwrap());
    assert_eq!((&made["title"], &made["state"]), (&"The studio".into(), &"waiting".into()));
    // The key is told once.
    assert_eq!(live(&service, id)["ingest"]["key"], Value::Null);
    let listed: Value = service.get("/v1/live").json();
    assert_eq!(listed["lives"][0]["id"], id);

    let (mut socket, _) = tungstenite::connect(format!("ws://{}/v1/events", service.address())).unwrap();
    service.wait(|| {
        let numbers = String::from_utf8(service.get("/metrics").body).unwrap();
        numbers.lines().any(|l| l == "streamverse_event_listeners 1").then_some(())
    });
    let mut until = |wanted: &str| loop {
        if let Message::Text(text) = socket.read().unwrap() {
            let event: Value = serde_json::from_str(&text).unwrap();
            if event["type"] == wanted {
                return event["data"].clone();
            }
        }
    };
    let Some(mut sender) = send(rtmp, key) else { return };
    assert_eq!(until("live.stream.started")["id"], id);
    let watched = service.wait(|| Some(live(&service, id)).filter(|live| live["playback"].is_object()));
    assert_eq!(watched["state"], "live");
    let of = |name: &str| service.get(watched["playback"][name].as_str().unwrap());
    service.wait(|| (of("hls").status == 200).then_some(()));
    let master = String::from_utf8(of("hls").body).unwrap();
    assert!(master.contains("RESOLUTION=640x360") && master.contains("RESOLUTION=426x240"), "{master}");
    let picture = of("picture");
    assert_eq!((picture.status, &picture.body[..3]), (200, &[0xff, 0xd8, 0xff][..]));
    let healthy = service.wait(|| Some(live(&service, id)).filter(|l| l["health"]["tracks"][1].is_object()));
    assert_eq!(healthy["health"]["tracks"][0]["codec"], "h264");

    // Who sends it is sent away, and doesn't come in again.
    let stopped: Value = service.send("POST", &format!("/v1/live/{id}/stop"), &[], b"").json();
    assert!(stopped["stopped_at"].is_string());
    assert!(!sender.wait().unwrap().success());
    let ended = until("live.stream.ended");
    assert_eq!((&ended["id"], &ended["reason"]), (&id.into(), &"it was sent away".into()));
    assert!(!send(rtmp, key).unwrap().wait().unwrap().success());
    assert_eq!(service.wait(|| Some(live(&service, id)).filter(|l| l["state"] == "ended"))["state"], "ended");

    let folder = service.data.path().join("live").join(id);
    assert!(folder.is_dir());
    assert_eq!(service.send("DELETE", &format!("/v1/live/{id}"), &[], b"").status, 204);
    assert_eq!(until("live.deleted")["live_id"], id);
    assert!(!folder.exists());
    assert_eq!(service.get(&format!("/v1/live/{id}")).status, 404);
}

#[test]
fn a_new_key_replaces_the_old_one_and_a_restart_keeps_it() {
    let service = Service::start();
    let made = start(&service, " \u{7} ");
    assert_eq!(made["title"], "Live");
    let id = made["id"].as_str().unwrap();
    let old = made["ingest"]["key"].as_str().unwrap();
    let renewed: Value = service.send("POST", &format!("/v1/live/{id}/key"), &[], b"").json();
    let new = renewed["ingest"]["key"].as_str().unwrap();
    assert_ne!(old, new);
    // One that can be sent can't be deleted.
    assert_eq!(service.send("DELETE", &format!("/v1/live/{id}"), &[], b"").status, 409);

    let service = service.kill_and_restart();
    let now = live(&service, id);
    let rtmp = now["ingest"]["rtmp"].as_str().unwrap();
    let Some(mut refused) = send(rtmp, old) else { return };
    assert!(!refused.wait().unwrap().success());
    let mut sender = send(rtmp, new).unwrap();
    service.wait(|| (live(&service, id)["state"] == "live").then_some(()));
    sender.kill().unwrap();
    sender.wait().unwrap();
    service.wait(|| (live(&service, id)["state"] == "waiting").then_some(()));
    // Nothing that anybody could send with stands in the log or in the database.
    let database = std::fs::read(service.data.path().join("library.sqlite3")).unwrap();
    for key in [old, new] {
        assert!(!service.log().contains(key));
        assert!(!database.windows(key.len()).any(|w| w == key.as_bytes()));
    }
}
