//! tus, by requests written out by hand and connections broken on purpose.

use std::io::{Read, Write};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::service::{Answer, Service, noise};

const TUS: (&str, &str) = ("tus-resumable", "1.0.0");
const BYTES: (&str, &str) = ("content-type", "application/offset+octet-stream");

/// Begins an upload that is not to be transcoded, and gives its path.
pub(crate) fn create(service: &Service, length: usize) -> String {
    let metadata = format!("filename {},transcode {}", STANDARD.encode("a b.mp4"), STANDARD.encode("false"));
    let headers = [TUS, ("upload-length", &length.to_string()), ("upload-metadata", &metadata)];
    let answer = service.send("POST", "/v1/uploads", &headers, b"");
    assert_eq!(answer.status, 201);
    assert!(answer.header("upload-expires").unwrap().ends_with(" GMT"));
    answer.header("location").unwrap().to_owned()
}

pub(crate) fn append(service: &Service, upload: &str, offset: usize, bytes: &[u8]) -> Answer {
    service.send("PATCH", upload, &[TUS, BYTES, ("upload-offset", &offset.to_string())], bytes)
}

pub(crate) fn offset(service: &Service, upload: &str) -> usize {
    let answer = service.send("HEAD", upload, &[TUS], b"");
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    answer.header("upload-offset").unwrap().parse().unwrap()
}

/// Announces the whole, sends a part and leaves the connection as it is.
pub(crate) fn begin_to_append(
    service: &Service,
    upload: &str,
    offset: usize,
    all: &[u8],
    send: usize,
) -> TcpStream {
    let mut connection = service.connect();
    let head = format!(
        "PATCH {upload} HTTP/1.1\r\nhost: {}\r\ntus-resumable: 1.0.0\r\nupload-offset: {offset}\r\n\
         content-type: application/offset+octet-stream\r\ncontent-length: {}\r\n\r\n",
        service.address(),
        all.len()
    );
    connection.write_all(head.as_bytes()).unwrap();
    connection.write_all(&all[..send]).unwrap();
    connection
}

/// The original that the service keeps for an upload.
pub(crate) fn stored(service: &Service, upload: &str) -> Vec<u8> {
    std::fs::read(service.data.path().join("uploads").join(upload.rsplit('/').next().unwrap())).unwrap()
}

#[test]
fn an_upload_in_three_pieces_becomes_a_video() {
    let service = Service::start();
    let data = noise(300_000);
    let upload = create(&service, data.len());
    assert_eq!(offset(&service, &upload), 0);
    for (from, to) in [(0, 100_000), (100_000, 250_000)] {
        let answer = append(&service, &upload, from, &data[from..to]);
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("upload-offset"), Some(to.to_string().as_str()));
        assert_eq!(answer.header("streamverse-video"), None);
    }
    let last = append(&service, &upload, 250_000, &data[250_000..]);
    let video = service.video(last.header("streamverse-video").unwrap());
    assert_eq!((video["title"].as_str(), video["filename"].as_str()), (Some("a b"), Some("a b.mp4")));
    assert_eq!((video["size"].as_u64(), video["state"].as_str()), (Some(300_000), Some("uploaded")));
    assert_eq!(stored(&service, &upload), data);
    // A client that lost the last answer asks again and finds it complete.
    assert_eq!(offset(&service, &upload), data.len());
}

#[test]
fn creation_takes_the_first_bytes_and_nothing_is_a_video_too() {
    let service = Service::start();
    let hold = format!("transcode {}", STANDARD.encode("false"));
    let headers = [TUS, BYTES, ("upload-length", "5"), ("upload-metadata", &hold)];
    let answer = service.send("POST", "/v1/uploads", &headers, b"abc");
    assert_eq!((answer.status, answer.header("upload-offset")), (201, Some("3")));
    let upload = answer.header("location").unwrap();
    assert!(append(&service, upload, 3, b"de").header("streamverse-video").is_some());

    let empty =
        service.send("POST", "/v1/uploads", &[TUS, ("upload-length", "0"), ("upload-metadata", &hold)], b"");
    assert_eq!(empty.status, 201);
    assert!(empty.header("streamverse-video").is_some());
}

#[test]
fn what_arrived_before_the_connection_broke_is_kept() {
    let service = Service::start();
    let data = noise(5_000_000);
    let upload = create(&service, data.len());
    drop(begin_to_append(&service, &upload, 0, &data, 3_000_000));
    // Whoever asks for the offset cuts the old connection off: look without asking.
    let db = rusqlite::Connection::open(service.data.path().join("library.sqlite3")).unwrap();
    let kept = service.wait(|| {
        let stored: u32 = db.query_row("SELECT stored FROM uploads", [], |r| r.get(0)).ok()?;
        (stored > 0).then_some(stored as usize)
    });
    assert_eq!(kept, 3_000_000);
    assert_eq!(offset(&service, &upload), kept);
    assert_eq!(append(&service, &upload, kept, &data[kept..]).status, 204);
    assert_eq!(stored(&service, &upload), data);
}

#[test]
fn a_connection_that_hangs_does_not_lock_its_owner_out() {
    let service = Service::start();
    let data = noise(2_000_000);
    let upload = create(&service, data.len());
    let mut hanging = begin_to_append(&service, &upload, 0, &data, 1_000_000);
    // The service may take up the question before what was sent first, on another connection: then
    // the offset is out of date once that has come, and a client asks again. It was cut off by then.
    let kept = offset(&service, &upload);
    let mut answer = append(&service, &upload, kept, &data[kept..]);
    if answer.status == 409 {
        let kept = offset(&service, &upload);
        answer = append(&service, &upload, kept, &data[kept..]);
    }
    assert_eq!(answer.status, 204);
    assert_eq!(stored(&service, &upload), data);
    // The one that hung is told off, if it still listens, and changes nothing.
    let _ = hanging.write_all(&data[1_000_000..]);
    let mut said = Vec::new();
    let _ = hanging.read_to_end(&mut said);
    assert_eq!(stored(&service, &upload), data);
}

#[test]
fn offsets_survive_a_kill_in_the_middle() {
    let service = Service::start();
    let data = noise(40 << 20);
    let upload = create(&service, data.len());
    let connection = begin_to_append(&service, &upload, 0, &data, 30 << 20);
    // What is safe is told in the metrics: at least two steps.
    service.wait(|| {
        let metrics = String::from_utf8(service.get("/metrics").body).unwrap();
        let line =
            metrics.lines().find(|l| l.starts_with("streamverse_upload_bytes_total")).unwrap().to_owned();
        (line.split(' ').nth(1).unwrap().parse::<usize>().unwrap() >= 16 << 20).then_some(())
    });
    let service = service.kill_and_restart();
    drop(connection);
    let kept = offset(&service, &upload);
    assert!((16 << 20..=30 << 20).contains(&kept), "{kept}");
    let done = append(&service, &upload, kept, &data[kept..]);
    assert!(done.header("streamverse-video").is_some());
    assert!(stored(&service, &upload) == data, "the bytes differ");
}

#[test]
fn a_wrong_checksum_keeps_nothing_and_a_right_one_all() {
    let service = Service::start();
    let upload = create(&service, 6);
    let sum = |bytes: &[u8]| format!("sha1 {}", STANDARD.encode(Sha1::digest(bytes)));
    let send = |bytes: &[u8], sum: &str| {
        service.send("PATCH", &upload, &[TUS, BYTES, ("upload-offset", "0"), ("upload-checksum", sum)], bytes)
    };
    send(b"abcdef", &sum(b"abcdeF")).problem(460, "checksum_mismatch");
    assert_eq!(offset(&service, &upload), 0);
    send(b"abcdef", "md5 1B2M2Y8AsgTpgAmY7PhCfg==").problem(400, "invalid_input");
    assert_eq!(send(b"abcdef", &sum(b"abcdef")).status, 204);
    assert_eq!(stored(&service, &upload), b"abcdef");
}

#[test]
fn an_upload_can_be_given_up() {
    let service = Service::start();
    let upload = create(&service, 10);
    append(&service, &upload, 0, b"abc");
    assert_eq!(service.send("DELETE", &upload, &[TUS], b"").status, 204);
    assert_eq!(service.send("HEAD", &upload, &[TUS], b"").status, 404);
    append(&service, &upload, 3, b"d").problem(404, "not_found");
    assert_eq!(std::fs::read_dir(service.data.path().join("uploads")).unwrap().count(), 0);
}

#[test]
fn an_upload_that_nobody_goes_on_with_expires() {
    let service = Service::start_new(&["--upload-ttl", "0"]);
    let upload = create(&service, 10);
    assert_eq!(service.send("HEAD", &upload, &[TUS], b"").status, 404);
    let service = service.kill_and_restart();
    assert_eq!(service.send("HEAD", &upload, &[TUS], b"").status, 404);
    assert_eq!(std::fs::read_dir(service.data.path().join("uploads")).unwrap().count(), 0);
}

#[test]
fn what_tus_forbids_is_refused() {
    let service = Service::start_new(&["--max-upload", "1000"]);
    let said = service.send("OPTIONS", "/v1/uploads", &[], b"");
    assert_eq!((said.status, said.header("tus-version")), (204, Some("1.0.0")));
    assert_eq!(said.header("tus-max-size"), Some("1000"));
    for extension in ["creation", "creation-with-upload", "termination", "checksum", "expiration"] {
        assert!(said.header("tus-extension").unwrap().split(',').any(|e| e == extension), "{extension}");
    }
    service.send("POST", "/v1/uploads", &[("upload-length", "5")], b"").problem(412, "invalid_input");
    service
        .send("POST", "/v1/uploads", &[TUS, ("upload-length", "1001")], b"")
        .problem(413, "limit_exceeded");
    service.send("POST", "/v1/uploads", &[TUS], b"").problem(400, "invalid_input");
    service.send("POST", "/v1/uploads", &[TUS, ("upload-length", "-1")], b"").problem(400, "invalid_input");
    let bad = [TUS, ("upload-length", "5"), ("upload-metadata", "filename %%%")];
    service.send("POST", "/v1/uploads", &bad, b"").problem(400, "invalid_input");
    let bad = [TUS, ("upload-length", "5"), ("upload-metadata", "protect c29tZQ==")];
    service.send("POST", "/v1/uploads", &bad, b"").problem(400, "invalid_input");

    let upload = create(&service, 10);
    append(&service, &upload, 4, b"abc").problem(409, "wrong_offset");
    service.send("PATCH", &upload, &[TUS, ("upload-offset", "0")], b"abc").problem(415, "invalid_input");
    append(&service, &upload, 0, b"more than ten bytes").problem(413, "limit_exceeded");
    assert_eq!(offset(&service, &upload), 0);
    assert_eq!(service.send("HEAD", "/v1/uploads/upl_../../library", &[TUS], b"").status, 404);
}
