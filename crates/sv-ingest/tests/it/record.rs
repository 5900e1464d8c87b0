//! What FFmpeg sends is recorded to the byte, by recorders that are killed too.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use sv_core::{Item, TrackId};
use sv_ingest::Next;
use sv_ingest::gateway::{Notice, Open};
use sv_ingest::record::{Progress, Recorder, Settings, cut};
use sv_testkit::Rng;

use crate::kit::{Listening, make, probe, run};

/// Of so many seconds at 25 pictures a second, each another one.
fn film(ffmpeg: &Path, folder: &Path, seconds: u32) -> PathBuf {
    let pictures = format!("testsrc2=size=320x180:rate=25:duration={seconds}");
    let sound = format!("sine=frequency=440:sample_rate=48000:duration={seconds}");
    let coding =
        ["-c:v", "libx264", "-preset", "veryfast", "-g", "50", "-bf", "2", "-c:a", "aac", "-ac", "2"];
    let inputs = ["-f", "lavfi", "-i", &pictures, "-f", "lavfi", "-i", &sound];
    make(ffmpeg, folder, "film.mp4", &[&inputs[..], &coding].concat())
}

/// All files of recordings, the oldest first.
fn parts(folder: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut parts: Vec<PathBuf> = all.filter(|path| path.extension().is_some_and(|e| e == "mp4")).collect();
    parts.sort();
    parts
}

fn hashes(path: &Path, stream: &str) -> Vec<String> {
    probe(path.to_str().unwrap(), stream).into_iter().map(|t| t.hash).collect()
}

fn send(ffmpeg: &Path, film: &Path, url: &str, rate: &str) -> std::process::Child {
    let mut command = Command::new(ffmpeg);
    command.args(["-v", "quiet", "-readrate", rate, "-i"]).arg(film).args(["-c", "copy", "-f", "flv", url]);
    command.stdin(Stdio::null()).spawn().unwrap()
}

/// A gateway whose stream `one` is recorded, and what the recorder says.
fn recording(settings: &Settings) -> (Listening, Recorder, Receiver<Progress>) {
    let listening = Listening::new(Open);
    let (say, told) = channel();
    let told_to = move |progress| say.send(progress).unwrap();
    let recorder = Recorder::start(listening.gateway.hub(), "one", settings, told_to).unwrap();
    (listening, recorder, told)
}

fn ended(listening: &Listening) {
    listening.notices.iter().find(|n| matches!(n, Notice::Ended { .. })).unwrap();
}

#[test]
fn every_packet_is_recorded_once() {
    let Some(ffmpeg) = sv_testkit::tool("ffmpeg") else { return };
    let folder = tempfile::tempdir().unwrap();
    let film = film(&ffmpeg, folder.path(), 11);
    let mut settings = Settings::new(folder.path().join("kept"));
    settings.part = Duration::from_secs(3);
    let (listening, recorder, told) = recording(&settings);
    assert!(send(&ffmpeg, &film, &listening.url("one"), "8").wait().unwrap().success());
    ended(&listening);
    drop(recorder);
    let parts = parts(&folder.path().join("kept/one"));
    // Key pictures are two seconds apart.
    assert_eq!(parts.len(), 3, "{parts:?}");
    for (stream, most) in [("v:0", 0), ("a:0", 3)] {
        let ours: Vec<String> = parts.iter().flat_map(|part| hashes(part, stream)).collect();
        let theirs = hashes(&film, stream);
        assert!(theirs.ends_with(&ours) && ours.len() + most >= theirs.len(), "{stream}: {}", ours.len());
    }
    assert!(parts.iter().all(|part| probe(part.to_str().unwrap(), "v:0")[0].key));
    // Each has told of itself, and what it is.
    let told: Vec<Progress> = told.try_iter().collect();
    let expected = parts.iter().flat_map(|p| [Progress::Begun(p.clone()), Progress::Ended(p.clone())]);
    assert_eq!(told, expected.collect::<Vec<_>>());
    if let Some(sums) = sv_testkit::tool("sha256sum") {
        for part in &parts {
            let mut command = Command::new(&sums);
            command.arg("-c").arg(part.with_extension("mp4.sha256")).current_dir(part.parent().unwrap());
            assert!(command.output().unwrap().status.success());
        }
    }
}

#[test]
fn a_cut_is_exact_to_the_picture() {
    let Some(ffmpeg) = sv_testkit::tool("ffmpeg") else { return };
    let folder = tempfile::tempdir().unwrap();
    let film = film(&ffmpeg, folder.path(), 11);
    let mut settings = Settings::new(folder.path().join("kept"));
    settings.part = Duration::from_secs(2);
    let (listening, recorder, _told) = recording(&settings);
    assert!(send(&ffmpeg, &film, &listening.url("one"), "8").wait().unwrap().success());
    ended(&listening);
    drop(recorder);
    let parts = parts(&folder.path().join("kept/one"));
    assert!(parts.len() >= 4);
    let pictures = |file: &Path| {
        let out = run(
            &ffmpeg,
            &["-i", file.to_str().unwrap(), "-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-"],
        );
        assert!(out.status.success());
        let text = String::from_utf8(out.stdout).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.rsplit(',').next().unwrap().trim().to_owned()).collect::<Vec<String>>()
    };
    let all = pictures(&film);
    assert_eq!(all.len(), 275);
    // From a key picture, from within a group across parts, from the end of a group, up to the end.
    for (from, to) in [(100, 150), (37, 203), (149, 151), (60, 61), (226, 300), (0, 275)] {
        let out = folder.path().join(format!("{from}.mp4"));
        let at = |picture: u64| Duration::from_millis(picture * 40);
        let done = cut(&parts, at(from), at(to), &out).unwrap();
        let expected = &all[from as usize..(to as usize).min(275)];
        assert!(done.from.abs_diff(at(from)) <= Duration::from_millis(1), "{from}: {:?}", done.from);
        assert_eq!(done.pictures, expected.len() as u64, "{from}");
        assert_eq!(done.hidden, from % 50, "{from}");
        assert!(pictures(&out) == expected, "{from}: {} {}", pictures(&out).len(), expected.len());
        // Sound is as long, to a packet of it.
        let sound = hashes(&out, "a:0").len() as u64 * 1024 * 1000 / 48_000;
        assert!(sound.abs_diff(done.length.as_millis() as u64) <= 70, "{from}: {sound} {:?}", done.length);
    }
    // A part whose writer was killed in the midst of a fragment.
    let mut torn = std::fs::OpenOptions::new().append(true).open(parts.last().unwrap()).unwrap();
    torn.write_all(b"\0\x02\0\0freeand then nothing more").unwrap();
    let out = folder.path().join("torn.mp4");
    assert_eq!(cut(&parts, Duration::from_secs(9), Duration::MAX, &out).unwrap().pictures, 50);
    assert_eq!(hashes(parts.last().unwrap(), "v:0").len() % 25, 0);
    let nothing =
        cut(&parts, Duration::from_secs(60), Duration::from_secs(70), &folder.path().join("nothing.mp4"));
    assert!(nothing.unwrap_err().to_string().contains("nothing is recorded"));
    assert!(!folder.path().join("nothing.mp4").exists());
}

/// A process that records, for the test below: it says where it listens, and of each picture that comes.
#[test]
#[ignore = "no test: the process that is killed by one"]
fn the_process_that_is_killed() {
    let Ok(folder) = std::env::var("SV_RECORD_TO") else { return };
    let (listening, _recorder, _told) = recording(&Settings::new(folder));
    let mut feed = listening.gateway.hub().subscribe("one", 1 << 30);
    // What the test harness prints must not be in between.
    let mut out = std::io::stderr();
    writeln!(out, "at {}", listening.url("one")).unwrap();
    loop {
        if let Next::Item(Item::Packet(packet)) = feed.next(Duration::from_secs(60))
            && packet.track == TrackId(1)
        {
            writeln!(out, "picture").unwrap();
        }
    }
}

#[test]
fn behind_a_kill_the_last_second_is_missing_at_most() {
    let Some(ffmpeg) = sv_testkit::tool("ffmpeg") else { return };
    let folder = tempfile::tempdir().unwrap();
    let film = film(&ffmpeg, folder.path(), 30);
    let theirs = hashes(&film, "v:0");
    let kills = std::env::var("SV_KILLS").map_or(5, |n| n.parse().unwrap());
    let mut rng = Rng::new(7);
    for kill in 0..kills {
        let kept = folder.path().join(format!("kept {kill}"));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "record::the_process_that_is_killed", "--ignored", "--nocapture"])
            .env("SV_RECORD_TO", &kept)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let url = lines.find_map(|line| line.strip_prefix("at ").map(str::to_owned)).unwrap();
        let mut sender = send(&ffmpeg, &film, &url, "10");
        let pictures = 30 + rng.below(500) as usize;
        let seen = lines.by_ref().filter(|line| line == "picture").take(pictures).count();
        child.kill().unwrap();
        child.wait().unwrap();
        sender.kill().unwrap();
        sender.wait().unwrap();
        assert_eq!(seen, pictures);
        let parts = parts(&kept.join("one"));
        let ours: Vec<String> = parts.iter().flat_map(|part| hashes(part, "v:0")).collect();
        assert!(theirs.starts_with(&ours), "{kill}: {}", ours.len());
        // A second of pictures, and one whose length isn't known yet; at ten times the speed some are on their way.
        assert!(ours.len() + 25 + 4 >= seen, "{kill}: {} of {seen}", ours.len());
        std::fs::remove_dir_all(&kept).unwrap();
    }
}

#[test]
fn a_full_disk_is_told_of_and_gone_on_with() {
    let Some(ffmpeg) = sv_testkit::tool("ffmpeg") else { return };
    let folder = tempfile::tempdir().unwrap();
    let film = film(&ffmpeg, folder.path(), 16);
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(&disk).output();
    if !mounted.is_ok_and(|out| out.status.success()) {
        eprintln!("skipped: only root can make a small disk");
        return;
    }
    let unmount = || assert!(Command::new("umount").arg("-l").arg(&disk).status().unwrap().success());
    let done = std::panic::catch_unwind(|| {
        let (listening, recorder, told) = recording(&Settings::new(&disk));
        let mut sender = send(&ffmpeg, &film, &listening.url("one"), "2");
        assert!(matches!(told.recv().unwrap(), Progress::Begun(_)));
        let ballast = disk.join("ballast");
        let mut file = std::fs::File::create(&ballast).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        assert!(matches!(told.recv().unwrap(), Progress::Ended(_)));
        let Progress::Failed { reason } = told.recv().unwrap() else { panic!() };
        assert!(reason.contains("space"), "{reason}");
        drop(file);
        std::fs::remove_file(&ballast).unwrap();
        assert!(matches!(told.recv().unwrap(), Progress::Begun(_)));
        assert!(sender.wait().unwrap().success());
        ended(&listening);
        drop(recorder);
        let theirs = hashes(&film, "v:0");
        let parts = parts(&disk.join("one"));
        assert_eq!(parts.len(), 2);
        let [first, second] = [hashes(&parts[0], "v:0"), hashes(&parts[1], "v:0")];
        assert!(
            theirs.starts_with(&first)
                && theirs.ends_with(&second)
                && first.len() + second.len() < theirs.len()
        );
        assert!(probe(parts[1].to_str().unwrap(), "v:0")[0].key);
    });
    unmount();
    done.unwrap();
}

#[test]
fn old_parts_are_removed() {
    let Some(ffmpeg) = sv_testkit::tool("ffmpeg") else { return };
    let folder = tempfile::tempdir().unwrap();
    let film = film(&ffmpeg, folder.path(), 12);
    let mut settings = Settings::new(folder.path().join("kept"));
    (settings.part, settings.keep_bytes) = (Duration::from_secs(2), Some(1));
    let (listening, recorder, _told) = recording(&settings);
    assert!(send(&ffmpeg, &film, &listening.url("one"), "8").wait().unwrap().success());
    ended(&listening);
    drop(recorder);
    assert!(parts(&folder.path().join("kept/one")).len() >= 5);
    // The next recorder looks at once.
    let (_listening, _recorder, told) = recording(&settings);
    let mut removed = 0;
    while removed < 5 && matches!(told.recv().unwrap(), Progress::Removed(_)) {
        removed += 1;
    }
    assert_eq!((removed, std::fs::read_dir(folder.path().join("kept/one")).unwrap().count()), (5, 0));
}
