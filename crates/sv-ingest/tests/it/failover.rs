//! Two FFmpeg programs send one stream, and the first is killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sv_core::{Item, Packet, TrackId};
use sv_ingest::gateway::{Keys, Notice};
use sv_ingest::{Failover, Feed, Hub, Next, Reason};

use crate::kit::{Listening, Told, make, probe, told};

const KEYS: [&str; 2] = ["of-the-primary", "of-the-backup"];

/// 10 s at 30 pictures a second, coded by `coding` too.
fn film(ffmpeg: &Path, folder: &Path, name: &str, coding: &[&str]) -> PathBuf {
    let pictures = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30:duration=10"];
    let sound = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=10"];
    let all = ["-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-c:a", "aac", "-ac", "2"];
    make(ffmpeg, folder, name, &[&pictures[..], &sound, &all, coding].concat())
}

struct Sender(Child);

impl Sender {
    fn new(ffmpeg: &Path, film: &Path, url: &str) -> Self {
        let mut command = Command::new(ffmpeg);
        command.args(["-v", "error", "-re", "-i"]).arg(film).args(["-c", "copy", "-f", "flv", url]);
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The feed's packets of pictures until one is that many milliseconds behind the first.
fn until(feed: &mut Feed, millis: i64, got: &mut Vec<Packet>) {
    let at = |packet: &Packet| packet.pts.ticks() / 90;
    loop {
        match feed.next(Duration::from_secs(20)) {
            Next::Item(Item::Packet(packet)) => {
                let first = got.first().map_or(at(&packet), &at);
                let there = at(&packet) - first >= millis;
                got.push(packet);
                if there {
                    return;
                }
            }
            Next::Item(Item::End(id)) => panic!("track {id:?} has ended"),
            Next::Item(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Both send their films, the first is killed in the midst of it, and what the subscriber gets is given, with why another
/// took over.
fn killed(ffmpeg: &Path, primary: &Path, backup: &Path) -> (Vec<Packet>, Vec<Reason>) {
    let mut failover = Failover::default();
    // FFmpeg waits for its turn while other tests run: that is no loss.
    failover.loss = Duration::from_secs(3);
    let keys = Keys::new().key(KEYS[0], "studio").backup(KEYS[1], "studio");
    let listening = Listening::with(keys, Hub::with_failover(failover));
    let mut feed = listening.gateway.hub().subscribe("studio", 1 << 30);
    let mut first = Sender::new(ffmpeg, primary, &listening.url(KEYS[0]));
    let mut got = Vec::new();
    until(&mut feed, 400, &mut got);
    let mut second = Sender::new(ffmpeg, backup, &listening.url(KEYS[1]));
    until(&mut feed, 4300, &mut got);
    first.0.kill().unwrap();
    assert!(second.0.wait().unwrap().success());
    let mut switches = Vec::new();
    for notice in &listening.notices {
        match notice {
            Notice::Switched { reason, .. } => switches.push(reason),
            Notice::Ended { .. } => break,
            _ => {}
        }
    }
    while let Next::Item(item) = feed.poll() {
        if let Item::Packet(packet) = item {
            got.push(packet);
        }
    }
    (got, switches)
}

fn of(packets: &[Packet], track: u32) -> Vec<Told> {
    packets.iter().filter(|p| p.track == TrackId(track)).map(told).collect()
}

#[test]
fn where_both_send_the_same_no_packet_is_lost_or_repeated() {
    let Some(ffmpeg) = sv_testkit::tool("ffmpeg") else { return };
    let folder = tempfile::tempdir().unwrap();
    let film = film(&ffmpeg, folder.path(), "film.mp4", &["-g", "60"]);
    let (got, switches) = killed(&ffmpeg, &film, &film);
    assert_eq!(switches, [Reason::Closed]);
    for (track, stream) in [(1, "v:0"), (2, "a:0")] {
        let (ours, theirs) = (of(&got, track), probe(film.to_str().unwrap(), stream));
        let hashes = |told: &[Told]| told.iter().map(|t| t.hash.clone()).collect::<Vec<_>>();
        let late = theirs.len() - ours.len();
        assert!(late <= 2 && hashes(&ours) == hashes(&theirs[late..]), "{stream}: {late}");
        let step = |told: &[Told]| told.windows(2).map(|w| w[1].dts - w[0].dts).collect::<Vec<_>>();
        let off = step(&ours).into_iter().zip(step(&theirs[late..])).map(|(a, b)| (a - b).abs()).max();
        assert!(off.unwrap() <= 2, "{stream}: {off:?}");
    }
}

#[test]
fn where_they_send_otherwise_there_is_no_gap_to_be_seen() {
    let Some(ffmpeg) = sv_testkit::tool("ffmpeg") else { return };
    let folder = tempfile::tempdir().unwrap();
    let primary = film(&ffmpeg, folder.path(), "primary.mp4", &["-g", "60"]);
    let backup = film(&ffmpeg, folder.path(), "backup.mp4", &["-g", "48", "-b:v", "300k"]);
    let (got, switches) = killed(&ffmpeg, &primary, &backup);
    assert_eq!(switches, [Reason::Closed]);
    let ours = of(&got, 1);
    let mut shown: Vec<i64> = ours.iter().map(|t| t.pts).collect();
    shown.sort_unstable();
    let gap = shown.windows(2).map(|w| w[1] - w[0]).max().unwrap();
    // Two pictures between others may be lost with who was killed, and times are whole milliseconds.
    assert!(gap <= 101, "{gap}");
    // What is fast-forwarded may share a millisecond, and never a tick.
    let ticks: Vec<_> = got.iter().filter(|p| p.track == TrackId(1)).map(|p| p.dts).collect();
    assert!(ticks.windows(2).all(|w| w[0] < w[1]));
    // What comes from the backup begins with a key picture, and goes on to its end.
    let theirs = probe(backup.to_str().unwrap(), "v:0");
    let first = ours.iter().position(|t| theirs.iter().any(|b| b.hash == t.hash)).unwrap();
    let hashes = |told: &[Told]| told.iter().map(|t| t.hash.clone()).collect::<Vec<_>>();
    assert!(ours[first].key && hashes(&theirs).ends_with(&hashes(&ours[first..])));
}
