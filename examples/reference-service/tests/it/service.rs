//! The program under test, and how to talk to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_reference-service");

/// A running service. Dropping it kills it and, with the last handle on it, removes its folder.
pub(crate) struct Service {
    child: Child,
    pub(crate) url: String,
    pub(crate) data: Arc<TempDir>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Service {
    pub(crate) fn start() -> Self {
        Self::start_new(&[])
    }

    /// On a folder of its own, with arguments.
    pub(crate) fn start_new(args: &[&str]) -> Self {
        Self::start_with(Arc::new(tempfile::tempdir().unwrap()), args)
    }

    pub(crate) fn start_with(data: Arc<TempDir>, args: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.arg("--data").arg(data.path()).args(args);
        Self::spawn(data, command)
    }

    /// Starts a command that ends up as the service.
    pub(crate) fn spawn(data: Arc<TempDir>, mut command: Command) -> Self {
        command
            .args(["--listen", "127.0.0.1:0", "--log", "json"])
            .args(["--rtmp", "127.0.0.1:0", "--srt", "127.0.0.1:0", "--whip", "127.0.0.1:0"])
            .env_remove("SAMPLE")
            .env("RUST_LOG", "info");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let lines = collect(out, Arc::clone(&log));
        collect(err, Arc::clone(&log));
        let url = loop {
            let Ok(line) = lines.recv_timeout(Duration::from_secs(30)) else {
                panic!("the service does not listen: {:?}", log.lock().unwrap());
            };
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(url) = line["url"].as_str() {
                break url.to_owned();
            }
        };
        Self { child, url, data, log }
    }

    /// Ends it as a power failure would, and starts it again on the same folder.
    pub(crate) fn kill_and_restart(mut self) -> Self {
        self.kill();
        Self::start_with(Arc::clone(&self.data), &[])
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, as a supervisor does.
    pub(crate) fn terminate(mut self) -> std::process::ExitStatus {
        Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        self.child.wait().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Any request; the body of the answer as bytes.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(Duration::from_secs(60)))
            .build();
        let mut answer = ureq::Agent::new_with_config(config).run(request.body(body).unwrap()).unwrap();
        let body = answer.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap();
        Answer { status: answer.status().as_u16(), headers: answer.headers().clone(), body }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn video(&self, id: &str) -> Value {
        self.get(&format!("/v1/videos/{id}")).json()
    }

    /// Uploads by a form.
    pub(crate) fn upload(&self, fields: &[(&str, &str)], filename: &str, data: &[u8]) -> Answer {
        let mut form = Vec::new();
        for (name, value) in fields {
            write!(form, "--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                .unwrap();
        }
        let file = format!("content-disposition: form-data; name=\"file\"; filename=\"{filename}\"");
        write!(form, "--b\r\n{file}\r\n\r\n").unwrap();
        form.extend_from_slice(data);
        form.extend_from_slice(b"\r\n--b--\r\n");
        self.send("POST", "/v1/videos/upload", &[("content-type", "multipart/form-data; boundary=b")], &form)
    }

    /// Waits until a video is in one of the states.
    pub(crate) fn wait_for(&self, id: &str, states: &[&str]) -> Value {
        self.wait(|| {
            let video = self.video(id);
            states.contains(&video["state"].as_str().unwrap()).then_some(video)
        })
    }

    /// Waits for a condition; what never comes true fails with the log.
    pub(crate) fn wait<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + Duration::from_secs(240);
        loop {
            if let Some(found) = look() {
                return found;
            }
            let tail = || self.log().lines().rev().take(10).map(|l| format!("{l}\n")).collect::<String>();
            assert!(Instant::now() < end, "waited in vain; the log ends with, newest first:\n{}", tail());
            std::thread::yield_now();
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// A connection that can be broken wherever one likes.
    pub(crate) fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address()).unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines for the log, and hands them on as long as somebody listens.
fn collect(from: impl Read + Send + 'static, log: Arc<Mutex<Vec<String>>>) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            log.lock().unwrap().push(line.clone());
            let _ = sender.send(line);
        }
    });
    receiver
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| {
            panic!("{e}: {} {:?}", self.status, String::from_utf8_lossy(&self.body));
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|v| v.to_str().unwrap())
    }

    /// Checks that this is a problem document with this status and code, and gives its sentence.
    pub(crate) fn problem(&self, status: u16, code: &str) -> String {
        let json = self.json();
        assert_eq!((self.status, json["code"].as_str()), (status, Some(code)), "{json}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(json["status"], status);
        json["detail"].as_str().unwrap().to_owned()
    }
}

/// A clip of the corpus, or `None` after saying that the test is skipped.
pub(crate) fn clip(name: &str) -> Option<PathBuf> {
    let Some(corpus) = std::env::var_os("STREAMVERSE_CORPUS") else {
        println!("skipped: STREAMVERSE_CORPUS does not name the folder of test media");
        return None;
    };
    Some(Path::new(&corpus).join("clips").join(name))
}

/// Bytes that look like nothing and are the same every time.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out
}

/// A program, if it is installed.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    if found.is_none() {
        println!("skipped: the program {name} is not installed");
    }
    found
}
