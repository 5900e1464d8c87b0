//! Videos over REST.

use crate::service::{Service, clip};

#[test]
fn a_form_uploads_and_the_library_lists() {
    let service = Service::start();
    assert_eq!(service.get("/v1/videos").json()["videos"].as_array().unwrap().len(), 0);
    let hold = [("transcode", "false"), ("title", "  My\nholiday ")];
    let answer = service.upload(&hold, "IMG 1.mov", b"not really");
    let video = answer.json();
    assert_eq!((answer.status, video["state"].as_str()), (201, Some("uploaded")));
    assert_eq!((video["title"].as_str(), video["filename"].as_str()), (Some("Myholiday"), Some("IMG 1.mov")));
    let id = video["id"].as_str().unwrap();
    assert_eq!(answer.header("location").unwrap(), format!("/v1/videos/{id}"));
    assert!(id.starts_with("vid_"));
    assert_eq!(service.get("/v1/videos").json()["videos"][0], video);
    assert_eq!(service.video(id), video);
}

#[test]
fn pages_follow_each_other() {
    let service = Service::start();
    for n in 0..5 {
        service.upload(&[("transcode", "false")], &format!("{n}.mp4"), b"x");
    }
    let (mut seen, mut path) = (Vec::new(), "/v1/videos?limit=2".to_owned());
    for _ in 0..3 {
        let page = service.get(&path).json();
        seen.extend(
            page["videos"].as_array().unwrap().iter().map(|v| v["title"].as_str().unwrap().to_owned()),
        );
        path = format!("/v1/videos?limit=2&before={}", page["next"].as_str().unwrap_or_default());
    }
    assert_eq!(seen, ["4", "3", "2", "1", "0"]);
}

#[test]
fn what_is_no_video_fails_with_one_sentence_that_tells_no_path() {
    let service = Service::start();
    for (name, data) in [
        ("empty.mp4", &b""[..]),
        ("letter.mp4", b"Dear Sir or Madam, this is a letter and no video at all."),
        ("list.mp4", b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n/etc/passwd\n#EXT-X-ENDLIST\n"),
        ("huge.mp4", b"\0\0\0\x18ftypisom\0\0\0\0isommp42\0\0\0\x01mdat\0\0\0\x02\x54\x0b\xe4\0"),
    ] {
        let video = service.upload(&[], name, data).json();
        let video = service.wait_for(video["id"].as_str().unwrap(), &["failed", "ready"]);
        assert_eq!(video["state"], "failed", "{name}");
        let said = video["error"]["detail"].as_str().unwrap();
        let code = video["error"]["code"].as_str().unwrap();
        assert!(["malformed", "unsupported", "invalid_input"].contains(&code), "{name}: {code}: {said}");
        assert!(said.len() > 15 && !said.contains('\n'), "{name}: {said}");
        assert!(!said.contains(&*service.data.path().to_string_lossy()), "{name}: {said}");
        // Nothing half-done is left.
        let left = std::fs::read_dir(service.data.path().join("videos").join(video["id"].as_str().unwrap()));
        let left: Vec<_> = left.into_iter().flatten().map(|e| e.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{name}: {left:?}");
    }
}

#[test]
fn bad_requests_are_problems() {
    let service = Service::start();
    service.get("/v1/videos/vid_nothing").problem(404, "not_found");
    service.send("DELETE", "/v1/videos/vid_nothing", &[], b"").problem(404, "not_found");
    service.send("POST", "/v1/videos/vid_nothing/transcode", &[], b"").problem(404, "not_found");
    service.get("/v1/nothing").problem(404, "not_found");
    service.upload(&[("protect", "rot13")], "a.mp4", b"x").problem(400, "invalid_input");
    service
        .send("POST", "/v1/videos/upload", &[("content-type", "text/plain")], b"x")
        .problem(400, "invalid_input");
    let form = ("content-type", "multipart/form-data; boundary=b");
    service.send("POST", "/v1/videos/upload", &[form], b"--b--\r\n").problem(400, "invalid_input");
    let torn = b"--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nabc";
    service.send("POST", "/v1/videos/upload", &[form], torn).problem(400, "invalid_input");
    // What arrived of it goes as soon as its thread has noticed.
    service.wait(|| {
        (std::fs::read_dir(service.data.path().join("uploads")).unwrap().count() == 0).then_some(())
    });

    let id =
        service.upload(&[("transcode", "false")], "a.mp4", b"x").json()["id"].as_str().unwrap().to_owned();
    let transcode = |body: &str| {
        let json = [("content-type", "application/json")];
        service.send("POST", &format!("/v1/videos/{id}/transcode"), &json, body.as_bytes())
    };
    transcode("{\"segment_ms\": 10}").problem(400, "invalid_input");
    transcode("{\"codecs\": []}").problem(400, "invalid_input");
    transcode("{\"loudness\": 3}").problem(400, "invalid_input");
    transcode("{\"core_seconds\": 0}").problem(400, "invalid_input");
    transcode("{\"colour\": \"red\"}").problem(422, "invalid_input");
    transcode("{").problem(400, "invalid_input");
    assert_eq!(service.video(&id)["state"], "uploaded");
}

#[test]
fn a_form_that_is_too_large_leaves_nothing() {
    let service = Service::start_new(&["--max-upload", "1000"]);
    service.upload(&[], "a.mp4", &[0; 1001]).problem(413, "limit_exceeded");
    assert_eq!(std::fs::read_dir(service.data.path().join("uploads")).unwrap().count(), 0);
    assert_eq!(service.get("/v1/videos").json()["videos"].as_array().unwrap().len(), 0);
}

#[test]
fn other_pages_and_other_names_are_kept_out() {
    let service = Service::start();
    let own = service.url.clone();
    let post = |headers: &[(&str, &str)]| service.send("POST", "/v1/uploads", headers, b"");
    post(&[("origin", "https://evil.example")]).problem(403, "cross_origin");
    post(&[("origin", "null")]).problem(403, "cross_origin");
    post(&[("origin", &own)]).problem(412, "invalid_input");
    let upgrade = [("origin", "https://evil.example"), ("upgrade", "websocket"), ("connection", "upgrade")];
    service.send("GET", "/v1/events", &upgrade, b"").problem(403, "cross_origin");
    service.send("GET", "/v1/videos", &[("host", "evil.example")], b"").problem(421, "wrong_host");
    assert_eq!(service.send("GET", "/v1/videos", &[("host", "localhost:80")], b"").status, 200);
}

#[test]
fn the_page_comes_with_a_policy() {
    let service = Service::start();
    let page = service.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'self'"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let tag = page.header("etag").unwrap();
    assert_eq!(service.send("GET", "/", &[("if-none-match", tag)], b"").status, 304);
    service.get("/../../etc/passwd").problem(404, "not_found");
}

#[test]
fn health_and_numbers_are_told() {
    let service = Service::start();
    let health = service.get("/healthz");
    assert_eq!((health.status, health.json()["ok"].as_bool()), (200, Some(true)));
    service.upload(&[("transcode", "false")], "a.mp4", b"12345");
    let numbers = String::from_utf8(service.get("/metrics").body).unwrap();
    for line in [
        "streamverse_uploads_total 1",
        "streamverse_upload_bytes_total 5",
        "streamverse_videos{state=\"uploaded\"} 1",
    ] {
        assert!(numbers.lines().any(|l| l == line), "{line} is not in:\n{numbers}");
    }
}

#[test]
fn a_deleted_video_leaves_nothing_even_while_it_is_transcoded() {
    let Some(clip) = clip("big_buck_bunny_trailer_720p24.mp4") else { return };
    let service = Service::start();
    let id = service.upload(&[("protect", "cenc")], "a.mp4", &std::fs::read(clip).unwrap()).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    service.wait(|| (service.video(&id)["progress"]["percent"].as_f64()? > 0.0).then_some(()));
    assert_eq!(service.send("DELETE", &format!("/v1/videos/{id}"), &[], b"").status, 204);
    service.get(&format!("/v1/videos/{id}")).problem(404, "not_found");
    // The row of a deleted video goes last (`Library::remove`), so when it's gone all must be.
    let db = rusqlite::Connection::open(service.data.path().join("library.sqlite3")).unwrap();
    let rows = |table| db.query_row(&format!("SELECT count(*) FROM {table}"), [], |r| r.get::<_, i64>(0));
    service.wait(|| (rows("videos").ok()? == 0).then_some(()));
    for table in ["keys", "uploads"] {
        assert_eq!(service.wait(|| rows(table).ok()), 0, "{table}");
    }
    for folder in ["uploads", "videos"] {
        let left = std::fs::read_dir(service.data.path().join(folder)).unwrap().count();
        assert_eq!(left, 0, "{folder}");
    }
}
