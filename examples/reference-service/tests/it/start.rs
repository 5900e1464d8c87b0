//! Starting where one can't: one sentence, an exit code, and nothing half-done.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use crate::service::{PROGRAM, Service, clip, noise};
use crate::uploads::{append, create, offset};

fn start(listen: &str, data: &Path) -> Output {
    Command::new(PROGRAM)
        .args(["--listen", listen, "--log", "json", "--data"])
        .arg(data)
        .env_remove("SAMPLE")
        .output()
        .unwrap()
}

fn refused(out: &Output, code: i32, says: &str) {
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(code), "{said}");
    assert!(said.lines().count() == 1 && said.contains(says), "{said}");
}

#[test]
fn a_port_that_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let data = folder.path().join("data");
    refused(&start(&taken.local_addr().unwrap().to_string(), &data), 3, "can't listen on 127.0.0.1:");
    assert!(!data.exists(), "a data folder was made for nothing");
}

#[test]
fn a_data_folder_that_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    refused(&start("127.0.0.1:0", &file), 4, "can't be written");
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
}

#[test]
fn a_data_folder_that_has_an_owner() {
    let service = Service::start();
    refused(&start("127.0.0.1:0", service.data.path()), 5, "in use by another process");
    assert_eq!(service.get("/healthz").status, 200);
}

#[test]
fn a_data_folder_of_a_newer_version() {
    let mut service = Service::start();
    service.kill();
    let db = rusqlite::Connection::open(service.data.path().join("library.sqlite3")).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    refused(&start("127.0.0.1:0", service.data.path()), 4, "newer version");
}

#[test]
fn a_damaged_database() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("library.sqlite3"), noise(8192)).unwrap();
    refused(&start("127.0.0.1:0", folder.path()), 4, "not a database");
}

#[test]
#[cfg(unix)]
fn secrets_are_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let service = Service::start();
    for file in ["secret", "library.sqlite3", "library.sqlite3-wal"] {
        let mode = std::fs::metadata(service.data.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "others may read {file}");
    }
}

#[test]
fn a_polite_stop_is_no_failure() {
    assert_eq!(Service::start().terminate().code(), Some(0));
}

#[test]
fn the_sample_is_published_once() {
    let Some(clip) = clip("big_buck_bunny_720p25_5s.mp4") else { return };
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let sample = ["--sample", clip.to_str().unwrap()];
    let mut service = Service::start_with(Arc::clone(&folder), &sample);
    let videos = service.get("/v1/videos").json();
    assert_eq!(videos["videos"][0]["filename"], "big_buck_bunny_720p25_5s.mp4");
    service.kill();
    let service = Service::start_with(folder, &sample);
    assert_eq!(service.get("/v1/videos").json()["videos"].as_array().unwrap().len(), 1);
}

#[test]
fn a_sample_that_is_not_there_is_no_reason_not_to_start() {
    let service = Service::start_new(&["--sample", "/does/not/exist.mp4"]);
    assert_eq!(service.get("/v1/videos").json()["videos"].as_array().unwrap().len(), 0);
}

/// In a mount namespace of its own, where the data folder is a file system of 24 MB.
#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_is_full() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let data = folder.path().join("disk");
    std::fs::create_dir(&data).unwrap();
    let unshare = ["--user", "--map-root-user", "--mount", "sh", "-c"];
    let mount = "mount -t tmpfs -o size=24m none \"$1\"";
    let can = Command::new("unshare").args(unshare).args([mount, "sh"]).arg(&data).output();
    if !can.is_ok_and(|out| out.status.success()) {
        println!("skipped: this system lets nobody mount a small disk (unshare --user --mount)");
        return;
    }
    let mut command = Command::new("unshare");
    let serve = format!("{mount} && data=$1 && shift && exec \"$0\" --data \"$data\" \"$@\"");
    command.args(unshare).arg(serve).arg(PROGRAM).arg(&data);
    let service = Service::spawn(folder, command);

    let data = noise(40 << 20);
    let upload = create(&service, data.len());
    let said = append(&service, &upload, 0, &data).problem(507, "storage_full");
    assert!(said.contains("the disk of the service is full"), "{said}");
    let kept = offset(&service, &upload);
    assert!(kept < 24 << 20, "{kept}");
    service.upload(&[], "a.mp4", &data).problem(507, "storage_full");
    // Giving it up makes room, and all is well again.
    assert_eq!(service.send("DELETE", &upload, &[("tus-resumable", "1.0.0")], b"").status, 204);
    assert_eq!(service.get("/healthz").json()["ok"], true);
    assert_eq!(service.upload(&[("transcode", "false")], "a.mp4", &data[..1 << 20]).status, 201);
}
