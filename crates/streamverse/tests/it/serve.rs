//! `sv serve`: headers, ranges, and what it must not give away.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use crate::kit;

struct Server(Child, String);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(dir: &std::path::Path) -> Server {
    let mut child = kit::sv()
        .arg("serve")
        .arg(dir)
        .args(["--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.split_whitespace().last().unwrap().to_owned();
    Server(child, url)
}

#[test]
fn files_come_with_what_players_need() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("v")).unwrap();
    std::fs::write(dir.path().join("master.m3u8"), "#EXTM3U\n").unwrap();
    std::fs::write(dir.path().join("v/0.m4s"), b"0123456789").unwrap();
    std::fs::write(dir.path().join(".journal"), "private").unwrap();
    let server = serve(dir.path());
    let get = |path: &str| ureq::get(format!("{}{path}", server.1));

    let playlist = get("master.m3u8").call().unwrap();
    assert_eq!(playlist.headers()["content-type"], "application/vnd.apple.mpegurl");
    assert_eq!(playlist.headers()["access-control-allow-origin"], "*");
    assert_eq!(playlist.headers()["cache-control"], "no-cache");

    let mut part = get("v/0.m4s").header("range", "bytes=2-4").call().unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.headers()["content-range"], "bytes 2-4/10");
    assert_eq!(part.headers()["content-type"], "video/mp4");
    assert_eq!(part.body_mut().read_to_string().unwrap(), "234");

    let mut page = get("").call().unwrap();
    assert!(page.body_mut().read_to_string().unwrap().contains("Test player"));
    for hidden in
        [".journal", "%2ejournal", "%2Ejournal", "../Cargo.toml", "%2e%2e/Cargo.toml", "nothing.mp4"]
    {
        assert!(get(hidden).call().is_err(), "{hidden} is given away");
    }
}

#[test]
fn a_taken_port_and_a_missing_folder_are_said_plainly() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path());
    let port = server.1.trim_end_matches('/').rsplit(':').next().unwrap().to_owned();
    let run = kit::sv()
        .arg("serve")
        .arg(dir.path())
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&run.stderr).contains("choose another by --listen"));
    let run = kit::sv().args(["serve", "no-such-folder"]).output().unwrap();
    assert_eq!(run.status.code(), Some(3));
}
