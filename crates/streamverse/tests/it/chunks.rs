//! Pictures encoded in chunks: the same bytes for any number of workers, whoever dies meanwhile.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use streamverse::pipeline::queue::{Options, Queue, State};

use crate::kit;

/// 24 seconds whose picture changes altogether at 7.4 and 17.2 s, small enough for many runs. 427
/// samples of width make rows of 27 macroblocks, which x264's code for AVX-512 read beyond.
pub(crate) fn source(dir: &Path) -> Option<PathBuf> {
    let graph = "testsrc2=s=428x240:r=25:d=7.4[a];mandelbrot=s=428x240:r=25,trim=end=9.8[b];\
                 smptehdbars=s=428x240:r=25:d=6.8[c];[a][b][c]concat=n=3,format=yuv420p";
    let sound = "sine=f=440:r=48000:d=24";
    let mut args = vec!["-f", "lavfi", "-i", sound, "-filter_complex", graph];
    args.extend(["-c:v", "libx264", "-preset", "veryfast", "-g", "100", "-bf", "2", "-crf", "18"]);
    args.extend(["-c:a", "aac", "-shortest"]);
    kit::make(dir, "source.mp4", &args)
}

fn command(source: &Path, output: &Path, workers: u32) -> Command {
    let mut command = kit::sv();
    command.args(["vod", "--json", "--keep-partial", "--segment", "2s", "--chunk", "6s", "--workers"]);
    command.arg(workers.to_string()).arg("--out").arg(output).arg(source);
    command
}

/// Every file below a folder and its bytes; the report tells of times, so it is never the same.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap() != "report.json" {
                out.insert(path.strip_prefix(folder).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    out
}

pub(crate) fn assert_same(one: &BTreeMap<PathBuf, Vec<u8>>, other: &BTreeMap<PathBuf, Vec<u8>>) {
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    for (name, bytes) in one {
        assert!(other[name] == *bytes, "{} differs", name.display());
    }
}

#[test]
fn one_worker_and_three_make_the_same_bytes_of_the_same_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = source(dir.path()) else { return };
    let mut made = Vec::new();
    for workers in [1, 3] {
        let output = dir.path().join(format!("out{workers}"));
        // Memory that nobody wrote to would hold something else in each run.
        let perturbed = (workers * 60).to_string();
        let run = command(&source, &output, workers).env("MALLOC_PERTURB_", perturbed).output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        assert!(!output.join(".chunks").exists());
        made.push(files(&output));
    }
    assert_same(&made[0], &made[1]);

    // Nothing is lost or doubled at a seam, and a run in one go has the same segments.
    let whole = dir.path().join("whole");
    let args = ["vod", "--segment", "2s", "--out", whole.to_str().unwrap(), source.to_str().unwrap()];
    kit::run(Path::new(env!("CARGO_BIN_EXE_sv")), &args);
    let wanted = kit::picture_times(&source);
    let name = "240p-h264";
    let (chunks, one) = (kit::joined(&dir.path().join("out1"), name), kit::joined(&whole, name));
    kit::same(&kit::picture_times(&chunks), &wanted, name);
    assert_eq!(kit::key_times(&chunks), kit::key_times(&one));
    // All that the playlist says of this rendition but its bit rates, which depend on the encoder.
    let playlist =
        |folder: &str| std::fs::read_to_string(dir.path().join(folder).join("240p-h264.m3u8")).unwrap();
    assert_eq!(playlist("out1"), playlist("whole"));
}

#[test]
fn whoever_is_killed_the_bytes_are_the_same_and_no_finished_chunk_is_made_twice() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = source(dir.path()) else { return };
    let undisturbed = dir.path().join("undisturbed");
    assert!(command(&source, &undisturbed, 2).output().unwrap().status.success());
    let wanted = files(&undisturbed);

    // `make soak-workers` asks for a hundred.
    let kills: u32 = std::env::var("SV_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(4);
    let seed: u64 = std::env::var("SV_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(7);
    let mut random = seed;
    let (mut killed, mut finished) = (0, 0);
    while killed < kills {
        let output = dir.path().join(format!("out{finished}"));
        let mut kills_here = 0;
        loop {
            let mut child = command(&source, &output, 2).stdout(Stdio::piped()).spawn().unwrap();
            // A linear congruential step (Knuth's MMIX): where in the run the axe falls.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let lines = usize::try_from(random >> 33).unwrap() % 60;
            let told = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
            assert!(told.take(lines + 1).count() > 0, "a run that says nothing");
            child.kill().unwrap();
            child.wait().unwrap();
            if output.exists() {
                break;
            }
            (kills_here, killed) = (kills_here + 1, killed + 1);
            let Some((attempts, done, chunks)) = journal(&output) else { continue };
            assert!(attempts <= done + 2 * kills_here, "{attempts} tries for {done} of {chunks} chunks");
            if kills_here >= 3 {
                let last = command(&source, &output, 2).output().unwrap();
                assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
                break;
            }
        }
        assert_same(&wanted, &files(&output));
        std::fs::remove_dir_all(&output).unwrap();
        finished += 1;
    }
    println!("{killed} kills, {finished} films, seed {seed}");
}

/// How often chunks were begun, how many are done, and how many there are; `None` before the journal
/// exists and after the run has removed it.
fn journal(output: &Path) -> Option<(u32, u32, u32)> {
    let folder = output.with_file_name(format!("{}.partial/.chunks", output.file_name()?.to_str()?));
    if !folder.join("queue.sqlite3").exists() {
        return None;
    }
    let queue = Queue::open(&folder, Options::default(), SystemTime::now()).unwrap();
    let jobs: Vec<_> = (0..).map_while(|n| queue.latest(&format!("chunk-{n:05}")).unwrap()).collect();
    let attempts = jobs.iter().map(|job| job.attempts).sum();
    let done = jobs.iter().filter(|job| job.state == State::Done).count();
    Some((attempts, u32::try_from(done).unwrap(), u32::try_from(jobs.len()).unwrap()))
}

/// The journal in PostgreSQL: killed and gone on with, the same bytes, and nothing left in the database.
#[cfg(all(unix, feature = "postgres"))]
#[test]
fn a_journal_on_a_server_survives_a_kill_and_is_removed_at_the_end() {
    use streamverse::pipeline::queue::Database;
    use sv_testkit::postgres::{PASSWORD, Server};

    let dir = tempfile::tempdir().unwrap();
    let (Some(source), Some(server)) = (source(dir.path()), Server::start()) else { return };
    let undisturbed = dir.path().join("undisturbed");
    assert!(command(&source, &undisturbed, 2).output().unwrap().status.success());
    let output = dir.path().join("out");
    let url = server.url(PASSWORD);
    let run = || {
        let mut run = command(&source, &output, 2);
        run.env("SV_JOURNAL", &url).stdout(Stdio::piped());
        run
    };
    let mut child = run().spawn().unwrap();
    let told = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(told.take(12).count() > 0);
    child.kill().unwrap();
    child.wait().unwrap();
    let partial = dir.path().join("out.partial/.chunks");
    assert!(!partial.join("queue.sqlite3").exists(), "the journal is in the folder all the same");
    let last = run().output().unwrap();
    assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
    assert_same(&files(&undisturbed), &files(&output));
    let left = server.ask("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'sv\\_vod%'");
    assert_eq!(left.trim(), "0");

    // A password isn't for others to see, neither in arguments nor in what is said of it.
    let refused = command(&source, &dir.path().join("no"), 2).args(["--journal", &url]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("SV_JOURNAL") && !said.contains("Kolibri"), "{said}");
    let nobody = Database::new(url.replace("Kolibri", "Kiebitz")).url;
    let refused = command(&source, &dir.path().join("no"), 2).env("SV_JOURNAL", nobody).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && !said.contains("Kiebitz") && said.contains("journal"), "{said}");
}
