//! Telling URLs what happens.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::hook::{Hook, agent, unique};
use crate::Result;

/// What waits to be told at one URL; what is older is left out.
const MOST: usize = 1024;
/// How often it is tried, and how long after the first time that failed; each further one waits twice as long.
const TRIES: u32 = 8;
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Tells URLs what happens, each in order and by a thread of its own: who is slow or away keeps nobody waiting. What
/// isn't taken (by a status of 200 to 299) is told again, eight times in two minutes; 410 ends it.
#[derive(Debug)]
pub struct Hooks {
    queues: Vec<Arc<Queue>>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(String, String)>,
    left_out: u64,
    /// Nothing more will come.
    closing: bool,
}

impl Hooks {
    /// Starts to tell these.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(hooks: Vec<Hook>) -> Result<Self> {
        let mut all = Self { queues: Vec::new(), threads: Vec::new() };
        for hook in hooks {
            let queue = Arc::new(Queue::default());
            all.queues.push(Arc::clone(&queue));
            let work = move || queue.work(&hook);
            all.threads.push(std::thread::Builder::new().name("webhook".into()).spawn(work)?);
        }
        Ok(all)
    }

    /// Tells that something has happened: what, such as `live.stream.started`, and about it.
    pub fn tell(&self, event: &str, data: &Value) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let timestamp = sv_package::live::date_time(now);
        let id = unique();
        let body = json!({ "id": id, "type": event, "timestamp": timestamp, "data": data }).to_string();
        for queue in &self.queues {
            let mut state = queue.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.waiting.len() >= MOST {
                state.waiting.pop_front();
                state.left_out += 1;
                if state.left_out.is_power_of_two() {
                    tracing::warn!(
                        left_out = state.left_out,
                        "a webhook is too slow: old events are left out"
                    );
                }
            }
            state.waiting.push_back((id.clone(), body.clone()));
            drop(state);
            queue.bell.notify_one();
        }
    }
}

impl Drop for Hooks {
    /// What can be told at once still is.
    fn drop(&mut self) {
        for queue in &self.queues {
            queue.state.lock().unwrap_or_else(PoisonError::into_inner).closing = true;
            queue.bell.notify_one();
        }
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing left to tell.
            let _ = thread.join();
        }
    }
}

impl Queue {
    fn work(&self, hook: &Hook) {
        let agent = agent();
        while let Some((id, body)) = self.next() {
            let mut wait = FIRST_WAIT;
            for attempt in 1..=TRIES {
                let reason = match hook.post(&agent, &id, &body) {
                    Ok((200..=299, _)) => break,
                    Ok((410, _)) => {
                        tracing::warn!("a webhook is gone (410): it is told nothing more");
                        return;
                    }
                    Ok((status, _)) => format!("it answered {status}"),
                    Err(reason) => reason,
                };
                if attempt == TRIES || self.closes_within(wait) {
                    tracing::warn!(reason, id, "a webhook could not be told");
                    break;
                }
                tracing::debug!(reason, id, attempt, "a webhook is told again");
                wait = wait.saturating_mul(2);
            }
        }
    }

    fn next(&self) -> Option<(String, String)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(next) = state.waiting.pop_front() {
                return Some(next);
            }
            if state.closing {
                return None;
            }
            state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits, unless all is over before.
    fn closes_within(&self, wait: Duration) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, _) = self
            .bell
            .wait_timeout_while(state, wait, |state| !state.closing)
            .unwrap_or_else(PoisonError::into_inner);
        state.closing
    }
}
