//! The service ends in the middle of a transcode: the job goes on, finished segments stay, no file is
//! broken.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::SystemTime;

use crate::service::{Service, clip};

#[test]
fn a_transcode_goes_on_after_a_kill() {
    goes_on_after(Service::kill_and_restart);
}

#[test]
fn a_transcode_goes_on_after_a_polite_stop() {
    goes_on_after(|service| {
        let data = Arc::clone(&service.data);
        assert_eq!(service.terminate().code(), Some(0));
        let service = Service::start_with(data, &[]);
        let db = rusqlite::Connection::open(service.data.path().join("queue.sqlite3")).unwrap();
        let attempts: u32 = db.query_row("SELECT attempts FROM jobs", [], |r| r.get(0)).unwrap();
        assert!(attempts <= 1, "a stop by the operator counts as a failure");
        service
    });
}

fn goes_on_after(end: impl FnOnce(Service) -> Service) {
    let Some(clip) = clip("big_buck_bunny_trailer_720p24.mp4") else { return };
    let service = Service::start();
    let video = service.upload(&[], "bunny.mp4", &std::fs::read(&clip).unwrap()).json();
    let id = video["id"].as_str().unwrap();
    let folder = service.data.path().join("videos").join(id);
    let before = service.wait(|| {
        assert_ne!(service.video(id)["state"], "ready", "it was done before it could be killed");
        let segments = segments(&folder);
        (segments.len() >= 8).then_some(segments)
    });
    let service = end(service);
    let video = service.wait_for(id, &["ready", "failed"]);
    assert_eq!(video["state"], "ready", "{video}");

    let after = segments(&folder);
    let kept = before.iter().filter(|(name, time)| after.get(*name) == Some(*time)).count();
    // Of each rendition, the segment that was being written down may be made again.
    let renditions = video["renditions"].as_array().unwrap().len();
    assert!(kept + renditions >= before.len(), "{kept} of {} segments were kept", before.len());
    assert!(kept > 0);
    let left: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["1"], "something half-done is left");

    // ffprobe counts as many frames as the source has.
    let url = format!("{}{}", service.url, video["playback"]["hls"].as_str().unwrap());
    let Ok(out) = Command::new("ffmpeg").args(["-v", "error", "-i", &url, "-f", "null", "-"]).output() else {
        println!("skipped: there is no ffmpeg on the PATH");
        return;
    };
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(frames(&url), frames(clip.to_str().unwrap()));
}

/// Names of segments below a folder, without that of the run, and when each was written.
fn segments(folder: &Path) -> HashMap<PathBuf, SystemTime> {
    let mut found = HashMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "m4s") {
                let name: PathBuf = path.strip_prefix(folder).unwrap().components().skip(1).collect();
                if let Ok(meta) = path.metadata() {
                    found.insert(name, meta.modified().unwrap());
                }
            }
        }
    }
    found
}

fn frames(input: &str) -> String {
    let args = ["-v", "error", "-select_streams", "v:0", "-count_packets"];
    let shown = ["-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", input];
    let out = Command::new("ffprobe").args(args).args(shown).output().unwrap();
    String::from_utf8(out.stdout).unwrap().lines().next().unwrap_or_default().to_owned()
}
