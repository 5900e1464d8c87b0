//! A program at work: what goes in, what comes out, and what it complains about, on threads that end with it.

use std::io::{BufReader, Read as _, Write as _};
use std::process::{Child as Process, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::fragments;
use super::matroska::{self, Found};
use crate::Error;

/// Something to write into the program.
pub(super) type Write = Box<dyn FnOnce(&mut ChildStdin) -> std::io::Result<()> + Send>;

/// What one thread does.
type Work = Box<dyn FnOnce() + Send>;

/// Pictures that wait for the program to take them.
const QUEUE: usize = 2;
/// Bytes of its last words that are kept.
const WORDS: usize = 2048;

/// What the program writes.
#[derive(Clone, Copy)]
pub(super) enum Output {
    Matroska,
    Fragments,
}

/// One run of the program.
pub(super) struct Child {
    process: Process,
    input: Option<SyncSender<Write>>,
    output: Receiver<std::io::Result<Found>>,
    words: Arc<Mutex<Vec<u8>>>,
    threads: Vec<JoinHandle<()>>,
    over: bool,
}

impl Child {
    pub(super) fn start(program: &str, arguments: &[String], output: Output) -> Result<Self, Error> {
        let spawned = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut process = spawned.map_err(|e| failed(format!("{program} can't be started: {e}")))?;
        let pipes = (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(mut stderr)) = pipes else {
            return Err(failed("the program has no pipes".into()));
        };
        let (input, waiting) = sync_channel::<Write>(QUEUE);
        // Packets are small, and at most one for each picture that was taken: no bound is needed, and one
        // would make two sides wait for each other.
        let (found, packets): (Sender<std::io::Result<Found>>, _) = channel();
        let words = Arc::new(Mutex::new(Vec::new()));
        let said = Arc::clone(&words);
        let spawn = |name: &str, work: Work| std::thread::Builder::new().name(name.into()).spawn(work);
        let writer = move || {
            // The last write may fail because the program has ended: its own words say why.
            while let Ok(write) = waiting.recv() {
                if write(&mut stdin).is_err() {
                    return;
                }
            }
            let _ = stdin.flush();
        };
        let reader = move || {
            let stdout = BufReader::with_capacity(1 << 16, stdout);
            let mut next: Box<dyn FnMut() -> std::io::Result<Option<Found>>> = match output {
                Output::Matroska => {
                    let mut reader = matroska::Reader::new(stdout);
                    Box::new(move || reader.next())
                }
                Output::Fragments => {
                    let mut reader = fragments::Reader::new(stdout);
                    Box::new(move || reader.next())
                }
            };
            loop {
                let next = next();
                let end = !matches!(next, Ok(Some(_)));
                if let Some(next) = next.transpose()
                    && found.send(next).is_err()
                {
                    return;
                }
                if end {
                    return;
                }
            }
        };
        let listener = move || {
            let mut part = [0; 512];
            while let Ok(count @ 1..) = stderr.read(&mut part) {
                let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                said.extend_from_slice(&part[..count]);
                let more = said.len().saturating_sub(WORDS);
                said.drain(..more);
            }
        };
        let mut child =
            Self { process, input: Some(input), output: packets, words, threads: Vec::new(), over: false };
        let works: [(&str, Work); 3] = [
            ("program in", Box::new(writer)),
            ("program out", Box::new(reader)),
            ("program words", Box::new(listener)),
        ];
        for (name, work) in works {
            let thread = spawn(name, work).map_err(|e| failed(format!("a thread can't be started: {e}")))?;
            child.threads.push(thread);
        }
        Ok(child)
    }

    /// Gives it something, when it has taken most of what came before.
    pub(super) fn write(&mut self, write: Write) -> Result<(), Error> {
        let sent = self.input.as_ref().is_some_and(|input| input.send(write).is_ok());
        if sent { Ok(()) } else { Err(self.died()) }
    }

    /// Tells it that nothing more comes.
    pub(super) fn close(&mut self) {
        self.input = None;
    }

    /// What has come out. Behind [`close`](Self::close) it waits for the next, up to the end.
    pub(super) fn read(&mut self) -> Result<Option<Found>, Error> {
        if self.over {
            return Ok(None);
        }
        let next = match self.input {
            Some(_) => match self.output.try_recv() {
                Err(TryRecvError::Empty) => return Ok(None),
                next => next.ok(),
            },
            None => self.output.recv().ok(),
        };
        match next {
            Some(Ok(found)) => Ok(Some(found)),
            Some(Err(error)) => Err(failed(format!("{error}; it said: {}", self.last_words()))),
            None if self.input.is_some() => Err(self.died()),
            None => {
                self.over = true;
                match self.process.wait() {
                    Ok(status) if status.success() => Ok(None),
                    _ => Err(self.died()),
                }
            }
        }
    }

    /// Why it is not there any more.
    fn died(&mut self) -> Error {
        /// A program that is about to end gets so long for its last words.
        const PATIENCE: Duration = Duration::from_secs(2);
        self.input = None;
        self.over = true;
        while self.output.recv_timeout(PATIENCE).is_ok() {}
        if matches!(self.process.try_wait(), Ok(None)) {
            let _ = self.process.kill();
        }
        let status = self.process.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
        self.join();
        failed(format!("it ended too early ({status}) and said: {}", self.last_words()))
    }

    fn last_words(&self) -> String {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&words);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        match lines.len().checked_sub(3) {
            _ if lines.is_empty() => "nothing".into(),
            Some(from) => lines[from..].join(" | "),
            None => lines.join(" | "),
        }
    }

    fn join(&mut self) {
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.input = None;
        if !self.over {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
        self.join();
    }
}

pub(super) fn failed(reason: String) -> Error {
    Error::Library { library: "ffmpeg program", reason }
}
