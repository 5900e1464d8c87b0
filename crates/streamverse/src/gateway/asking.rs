//! Asking a URL who may send what.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use serde::Deserialize;
use serde_json::{Value, json};
use sv_ingest::gateway::{Admission, Answer, Ask, Verdict};

use super::Terms;
use super::hook::{Hook, agent, unique};
use crate::Result;

/// Questions that wait for an answer, and how many are asked at a time.
const QUESTIONS: usize = 256;
const ASKING: usize = 4;

/// Admission by a webhook: a URL is told who wants what, and answers.
///
/// What is posted is `{"type": "live.admission", "data": {"publish", "protocol", "app", "name", "query", "peer"}}`, where the name may be a secret
/// key. A status of 200 says yes, with `{"stream": NAME}`, `rank`, and in `only` its [`Terms`]; without a stream it is the one that was named. Any
/// other status says no, and `{"reason": SENTENCE}` why, as whoever asked will hear.
pub struct Asking {
    queue: Arc<Questions>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Questions {
    waiting: Mutex<(VecDeque<(Ask, Answer)>, bool)>,
    bell: Condvar,
}

#[derive(Deserialize)]
struct Yes {
    stream: Option<String>,
    #[serde(default)]
    rank: u8,
    #[serde(default)]
    only: Terms,
}

impl Asking {
    /// Asks that URL.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(hook: Hook) -> Result<Self> {
        let mut all = Self { queue: Arc::default(), threads: Vec::new() };
        for _ in 0..ASKING {
            let (queue, hook) = (Arc::clone(&all.queue), hook.clone());
            let work = move || queue.work(&hook);
            all.threads.push(std::thread::Builder::new().name("admission".into()).spawn(work)?);
        }
        Ok(all)
    }
}

impl Admission for Asking {
    fn decide(&self, ask: Ask, answer: Answer) {
        let mut waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.0.len() >= QUESTIONS {
            drop(waiting);
            return answer.say(Verdict::refuse("too many ask at the moment: try again"));
        }
        waiting.0.push_back((ask, answer));
        drop(waiting);
        self.queue.bell.notify_one();
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.queue.bell.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing left to ask.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asking")
    }
}

impl Questions {
    fn work(&self, hook: &Hook) {
        let agent = agent();
        loop {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let (ask, answer) = loop {
                if waiting.1 {
                    return;
                }
                match waiting.0.pop_front() {
                    Some(next) => break next,
                    None => waiting = self.bell.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(waiting);
            answer.say(decide(hook, &agent, &ask));
        }
    }
}

fn decide(hook: &Hook, agent: &ureq::Agent, ask: &Ask) -> Verdict {
    let name = ask.name.expose();
    let data = json!({
        "publish": ask.publish,
        "protocol": ask.protocol,
        "app": ask.app,
        "name": name,
        "query": ask.name.rest(),
        "peer": ask.peer.to_string(),
    });
    let body = json!({ "type": "live.admission", "data": data }).to_string();
    match hook.post(agent, &unique(), &body) {
        Ok((200..=299, Value::Null)) => Verdict::allow(name),
        Ok((200..=299, said)) => match serde_json::from_value::<Yes>(said) {
            Ok(yes) => {
                let mut grant = yes.only.grant(yes.stream.as_deref().unwrap_or(name));
                grant.rank = yes.rank;
                Verdict::Allow(grant)
            }
            Err(error) => {
                tracing::warn!(%error, "the answer of the admission's webhook can't be read");
                Verdict::refuse("nobody could decide")
            }
        },
        Ok((status, said)) => {
            let reason =
                said.get("reason").and_then(Value::as_str).map(|reason| reason.chars().take(200).collect());
            tracing::debug!(status, "the admission's webhook says no");
            Verdict::Refuse { reason: reason.unwrap_or_else(|| "it may not be sent or got".to_owned()) }
        }
        Err(reason) => {
            tracing::warn!(reason, "the admission's webhook doesn't answer");
            Verdict::refuse("nobody could decide")
        }
    }
}
