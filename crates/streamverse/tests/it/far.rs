//! Chunks encoded by other processes, which are killed, and so is the server between them.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::chunks::{assert_same, files, source};
use crate::kit;

/// Something that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Server {
    folder: PathBuf,
    port: u16,
    process: Option<Process>,
}

impl Server {
    /// `None` where Debian's package `nats-server` is not installed.
    fn start(folder: &Path) -> Option<Self> {
        sv_testkit::tool("nats-server")?;
        // A port that was free a moment ago: the server is started again at the same one.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut server = Self { folder: folder.join("jetstream"), port, process: None };
        server.restart();
        Some(server)
    }

    fn restart(&mut self) {
        self.process = None;
        let mut command = Command::new(sv_testkit::tool("nats-server").unwrap());
        command.args(["-js", "-a", "127.0.0.1", "-p", &self.port.to_string(), "-sd"]).arg(&self.folder);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(Process(command.spawn().unwrap()));
        // It greets with INFO when it is ready.
        let end = Instant::now() + Duration::from_secs(20);
        let mut greeting = [0; 4];
        while !TcpStream::connect(("127.0.0.1", self.port))
            .is_ok_and(|mut s| s.read_exact(&mut greeting).is_ok())
        {
            assert!(Instant::now() < end, "the server does not start");
            std::thread::yield_now();
        }
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// A worker that writes what it does into `log`.
    fn worker(&self, root: &Path, log: &Path) -> Process {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut command = kit::sv();
        command.args(["worker", "--nats", &self.url(), "--nats-patience", "2s", "--root"]).arg(root);
        command.env("SV_LOG", "info").env("NO_COLOR", "1").stdout(Stdio::null()).stderr(log);
        Process(command.spawn().unwrap())
    }
}

#[test]
fn killed_workers_and_a_killed_server_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = source(dir.path()) else { return };
    let Some(mut server) = Server::start(dir.path()) else { return };
    let chunks = ["vod", "--json", "--segment", "2s", "--chunk", "6s", "--out"];
    let undisturbed = dir.path().join("undisturbed");
    let here =
        kit::sv().args(chunks).arg(&undisturbed).arg(&source).args(["--workers", "2"]).output().unwrap();
    assert!(here.status.success(), "{}", String::from_utf8_lossy(&here.stderr));
    let wanted = files(&undisturbed);

    let kills: usize = std::env::var("SV_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    let mut random: u64 = std::env::var("SV_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(11);
    let (mut killed, mut restarts, mut films) = (0, 0, 0);
    let log = dir.path().join("workers.log");
    let mut workers = vec![server.worker(dir.path(), &log), server.worker(dir.path(), &log)];
    while killed < kills {
        let output = dir.path().join(format!("out{films}"));
        let mut command = kit::sv();
        command.args(chunks).arg(&output).arg(&source);
        command.args(["--nats", &server.url(), "--nats-patience", "2s"]);
        let mut run = Process(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        let mut told = BufReader::new(run.0.stdout.take().unwrap()).lines().map_while(Result::ok);
        for _ in 0..2 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let lines = usize::try_from(random >> 33).unwrap() % 30;
            if told.by_ref().take(lines + 1).count() <= lines || killed == kills {
                break;
            }
            workers.swap_remove(lines % 2);
            workers.push(server.worker(dir.path(), &log));
            killed += 1;
        }
        if films % 4 == 0 {
            server.restart();
            restarts += 1;
        }
        let rest = told.count();
        let ended = run.0.wait().unwrap();
        let mut complaint = String::new();
        run.0.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
        assert!(ended.success(), "after {rest} more lines: {complaint}");
        assert_same(&wanted, &files(&output));
        std::fs::remove_dir_all(&output).unwrap();
        films += 1;
    }
    let log = std::fs::read_to_string(&log).unwrap();
    let begun: Vec<&str> = log.lines().filter(|line| line.contains("begins a chunk")).collect();
    let numbers = begun.iter().filter_map(|line| line.split("chunk=").nth(1)?.split(' ').next());
    let chunks = numbers.collect::<std::collections::BTreeSet<_>>().len() * films;
    let begun = begun.len();
    println!(
        "{films} films, {killed} kills, {restarts} restarts of the server: {begun} chunks begun for {chunks}"
    );
    // Each death costs the chunk that died with it; a server that is away may give both workers'
    // chunks to others while they are still at them.
    assert!(
        (chunks..=chunks + killed + 2 * restarts).contains(&begun),
        "{begun} chunks were begun for {chunks}"
    );
}

#[test]
fn a_worker_keeps_to_its_root() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = source(dir.path()) else { return };
    let Some(server) = Server::start(dir.path()) else { return };
    let root = dir.path().join("elsewhere");
    std::fs::create_dir(&root).unwrap();
    let _worker = server.worker(&root, &dir.path().join("log"));
    let output = dir.path().join("out");
    let run = kit::sv()
        .args(["vod", "--json", "--nats", &server.url(), "--nats-patience", "2s", "--out"])
        .arg(&output)
        .arg(&source)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(!run.status.success() && said.contains("is not below this worker's root"), "{said}");
    assert!(!output.exists() && !dir.path().join("out.partial").exists());
}

#[test]
fn a_password_on_the_command_line_is_refused_and_no_server_is_one_sentence() {
    let run = kit::sv().args(["worker", "--nats", "nats://user:secret@127.0.0.1:1"]).output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(!run.status.success() && said.contains("SV_NATS") && !said.contains("secret"), "{said}");
    let mut run = kit::sv();
    let run = run.arg("worker").env("SV_NATS", "nats://user:secret@127.0.0.1:1").output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(!run.status.success() && said.contains("can't be reached") && !said.contains("secret"), "{said}");
}

/// A store like S3 by somebody else (Python's `moto`), which forgets everything when it ends.
#[cfg(feature = "s3")]
struct Bucket {
    port: u16,
    _process: Process,
}

#[cfg(feature = "s3")]
impl Bucket {
    fn start(log: &Path) -> Option<Self> {
        let own = std::env::var_os("HOME")
            .map(|home| Path::new(&home).join(".cache/streamverse/peers/bin/moto_server"));
        let program = own.filter(|path| path.exists()).or_else(|| sv_testkit::tool("moto_server"));
        let Some(program) = program else {
            eprintln!("skipped: moto_server (Python's `moto[server]`) is not here");
            return None;
        };
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let log = std::fs::File::create(log).unwrap();
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let bucket = Self { port, _process: Process(command.spawn().unwrap()) };
        let end = Instant::now() + Duration::from_secs(60);
        while ureq::put(format!("{}/films", bucket.url())).send_empty().is_err() {
            assert!(Instant::now() < end, "the store does not start");
            std::thread::yield_now();
        }
        Some(bucket)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What a program needs to know to use it.
    fn tell(&self, command: &mut Command) {
        command.env("AWS_ENDPOINT_URL", self.url()).env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", "somebody").env("AWS_SECRET_ACCESS_KEY", SECRET);
    }

    /// The names in it.
    fn names(&self) -> Vec<String> {
        let list = ureq::get(format!("{}/films?list-type=2", self.url())).call().unwrap();
        let text = list.into_body().read_to_string().unwrap();
        text.split("<Key>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
    }
}

#[cfg(feature = "s3")]
const SECRET: &str = "nobody-may-see-this";

#[test]
#[cfg(feature = "s3")]
fn workers_that_share_a_bucket_alone_make_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = source(dir.path()) else { return };
    let Some(server) = Server::start(dir.path()) else { return };
    let Some(bucket) = Bucket::start(&dir.path().join("moto.log")) else { return };
    let chunks = ["vod", "--json", "--segment", "2s", "--chunk", "6s", "--out"];
    let undisturbed = dir.path().join("undisturbed");
    let here =
        kit::sv().args(chunks).arg(&undisturbed).arg(&source).args(["--workers", "2"]).output().unwrap();
    assert!(here.status.success(), "{}", String::from_utf8_lossy(&here.stderr));

    // A worker sees nothing of our folders.
    let elsewhere = tempfile::tempdir().unwrap();
    let log = dir.path().join("workers.log");
    let hire = || {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut command = kit::sv();
        bucket.tell(&mut command);
        command.args(["worker", "--nats", &server.url(), "--nats-patience", "2s"]);
        command.args(["--store", "s3://films/work", "--root"]).arg(elsewhere.path());
        command.env("SV_LOG", "info").env("NO_COLOR", "1").stdout(Stdio::null()).stderr(log);
        Process(command.spawn().unwrap())
    };
    let mut workers = vec![hire(), hire()];
    let output = dir.path().join("out");
    let mut command = kit::sv();
    bucket.tell(&mut command);
    command.args(chunks).arg(&output).arg(&source).args(["--store", "s3://films/work"]);
    command.args(["--nats", &server.url(), "--nats-patience", "2s"]);
    let mut run = Process(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut told = BufReader::new(run.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    // One worker dies with the first piece of news.
    assert!(told.by_ref().any(|line| line.contains("progress")), "nothing happened");
    workers.swap_remove(0);
    workers.push(hire());
    let _ = told.count();
    let mut said = String::new();
    run.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(run.0.wait().unwrap().success(), "{said}");
    assert_same(&files(&output), &files(&undisturbed));
    // The source stays for the next run, and nothing else.
    let names = bucket.names();
    assert!(names.len() == 1 && names[0].starts_with("work/source-"), "{names:?}");
    let done = std::fs::read_to_string(&log).unwrap();
    assert!(done.contains("has encoded a chunk") && !done.contains(SECRET) && !said.contains(SECRET));

    // The film may be there from the beginning.
    let again = dir.path().join("again");
    let mut command = kit::sv();
    bucket.tell(&mut command);
    let film = format!("s3://films/{}", names[0]);
    let made = command.args(chunks).arg(&again).arg(&film).args(["--workers", "1"]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert_same(&files(&again), &files(&undisturbed));
}

#[test]
#[cfg(feature = "s3")]
fn a_bucket_that_is_not_there_is_told_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let Some(bucket) = Bucket::start(&dir.path().join("moto.log")) else { return };
    for (film, told) in [("s3://films/none.mp4", "is not there"), ("s3://nowhere/none.mp4", "is not there")] {
        let mut command = kit::sv();
        bucket.tell(&mut command);
        let output = command.arg("vod").arg(film).arg("--out").arg(dir.path().join("out")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(film) && said.contains(told) && !said.contains(SECRET), "{said}");
    }
}
