//! Says when a stream falls ill or gets well.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use sv_ingest::Hub;

use super::Happening;
use crate::Result;

/// How often it looks.
const ROUND: Duration = Duration::from_secs(1);

/// A thread that looks how streams are, until it is dropped.
pub(super) struct Doctor {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Doctor {
    pub(super) fn start(hub: Hub, told: Arc<dyn Fn(&Happening) + Send + Sync>) -> Result<Self> {
        let (stop, stopped) = channel();
        let work = move || {
            let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
            while stopped.recv_timeout(ROUND) == Err(RecvTimeoutError::Timeout) {
                let live = hub.live();
                seen.retain(|name, _| live.contains(name));
                for stream in live {
                    let Some(report) = hub.health(&stream) else { continue };
                    let before = seen.entry(stream.clone()).or_default();
                    // Numbers in a sentence change all the time: it is the same one until the words are others.
                    if words(before) != words(&report.wrong) {
                        before.clone_from(&report.wrong);
                        told(&Happening::Health { stream, wrong: report.wrong });
                    }
                }
            }
        };
        let thread = Some(std::thread::Builder::new().name("health".into()).spawn(work)?);
        Ok(Self { stop: Some(stop), thread })
    }
}

fn words(sentences: &[String]) -> Vec<String> {
    let word = |sentence: &String| sentence.chars().filter(|c| c.is_alphabetic()).collect();
    sentences.iter().map(word).collect()
}

impl Drop for Doctor {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to say.
            let _ = thread.join();
        }
    }
}
