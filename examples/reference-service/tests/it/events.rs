//! The event socket, heard by a client that knows nothing of it.

use serde_json::Value;
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

use crate::service::{Service, clip};

type Socket = WebSocket<MaybeTlsStream<std::net::TcpStream>>;

fn listen(service: &Service) -> Socket {
    let (socket, _) = tungstenite::connect(format!("ws://{}/v1/events", service.address())).unwrap();
    if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
        stream.set_read_timeout(Some(std::time::Duration::from_secs(240))).unwrap();
    }
    // Told only what happens after the service has seen it.
    service.wait(|| {
        let numbers = String::from_utf8(service.get("/metrics").body).unwrap();
        numbers.lines().any(|l| l == "streamverse_event_listeners 1").then_some(())
    });
    socket
}

fn next(socket: &mut Socket) -> Value {
    loop {
        if let Message::Text(text) = socket.read().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

#[test]
fn what_happens_to_a_video_is_told_in_order() {
    let service = Service::start();
    let mut socket = listen(&service);
    let id = service.upload(&[], "letter.mp4", b"Dear Sir,").json()["id"].as_str().unwrap().to_owned();
    let uploaded = next(&mut socket);
    assert_eq!(
        (uploaded["type"].as_str(), uploaded["data"]["id"].as_str()),
        (Some("video.uploaded"), Some(&*id))
    );
    assert!(uploaded["id"].as_str().unwrap().starts_with("evt_"));
    assert!(uploaded["timestamp"].as_str().unwrap().ends_with('Z'));
    let failed = next(&mut socket);
    assert_eq!(
        (failed["type"].as_str(), failed["data"]["video_id"].as_str()),
        (Some("video.failed"), Some(&*id))
    );
    assert!(failed["data"]["error"]["detail"].is_string());
    service.send("DELETE", &format!("/v1/videos/{id}"), &[], b"");
    let deleted = next(&mut socket);
    assert_eq!(
        (deleted["type"].as_str(), deleted["data"]["video_id"].as_str()),
        (Some("video.deleted"), Some(&*id))
    );
    assert!(
        uploaded["id"].as_str() < failed["id"].as_str() && failed["id"].as_str() < deleted["id"].as_str()
    );
}

#[test]
fn progress_is_told_for_each_rung_until_it_is_complete() {
    let Some(clip) = clip("big_buck_bunny_720p25_5s.mp4") else { return };
    let service = Service::start();
    let mut socket = listen(&service);
    service.upload(&[], "bunny.mp4", &std::fs::read(clip).unwrap());
    let (mut last, mut steps) = (0.0, 0);
    let complete = loop {
        let event = next(&mut socket);
        match event["type"].as_str().unwrap() {
            "video.transcoding.progress" => {
                let rungs = event["data"]["rungs"].as_array().unwrap();
                assert!(
                    rungs.len() >= 2 && rungs.iter().all(|r| r["name"].is_string() && r["speed"].is_number())
                );
                let percent = event["data"]["percent"].as_f64().unwrap();
                assert!((last..=100.0).contains(&percent), "{percent} after {last}");
                last = percent;
                steps += 1;
            }
            "video.transcoding.complete" => break event,
            "video.uploaded" => {}
            other => panic!("{other}: {event}"),
        }
    };
    assert!(steps >= 1);
    assert!(complete["data"]["playback"]["hls"].is_string());
    assert!(!complete["data"]["reasons"].as_array().unwrap().is_empty());
}
