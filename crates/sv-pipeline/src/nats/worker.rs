//! Those who take tasks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::{AckKind, Message};
use futures_util::StreamExt as _;
use serde_json::Value;

use super::link::{Link, reports};
use super::{Error, News, Options, Outcome, Report, Task};
use crate::Cancel;

/// A task that was given to so many workers and never came back has killed them: it is not tried
/// any more.
const DELIVERIES: i64 = 5;

/// How long one request for a task waits at the server.
const WAIT: Duration = Duration::from_secs(20);

/// Takes tasks and has `run` do them, `slots` at a time, until cancelled.
///
/// `run` gets the task, a [`Cancel`] that is the whole worker's, and a place to write down how far it
/// is; it is called on threads of its own.
///
/// # Errors
/// [`Error::Server`] when the server can't be reached to begin with. Later it may come and go.
pub fn work<F>(options: &Options, name: &str, slots: usize, cancel: &Cancel, run: F) -> Result<(), Error>
where
    F: Fn(&Task, &Cancel, &Mutex<Value>) -> Outcome + Send + Sync + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(slots.max(1).saturating_add(1))
        .thread_name("nats")
        .enable_all()
        .build()
        .map_err(Error::Threads)?;
    let run: Arc<Run> = Arc::new(run);
    runtime.block_on(async {
        let link = Arc::new(Link::connect(options, name).await?);
        link.takers(options).await?;
        let mut all = Vec::new();
        for n in 0..slots.max(1) {
            let name = if slots > 1 { format!("{name}/{n}") } else { name.to_owned() };
            let slot =
                Slot { link: Arc::clone(&link), options: options.clone(), name, run: Arc::clone(&run) };
            all.push(tokio::spawn(slot.serve(cancel.clone())));
        }
        for slot in all {
            // A panic inside `run` is caught where it is waited for.
            let _ = slot.await;
        }
        let _ = link.client.flush().await;
        Ok(())
    })
}

type Run = dyn Fn(&Task, &Cancel, &Mutex<Value>) -> Outcome + Send + Sync;

struct Slot {
    link: Arc<Link>,
    options: Options,
    name: String,
    run: Arc<Run>,
}

impl Slot {
    async fn serve(self, cancel: Cancel) {
        while !cancel.is_cancelled() {
            match self.take(&cancel).await {
                Ok(Some(message)) => self.one(&message, &cancel).await,
                Ok(None) => {}
                // The server is away, or has lost the consumer: it is made anew with the next try.
                Err(error) => {
                    tracing::debug!(worker = self.name, %error, "no task can be asked for");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        }
    }

    /// Waits for one task.
    async fn take(&self, cancel: &Cancel) -> Result<Option<Message>, Error> {
        let takers = self.link.takers(&self.options).await?;
        let asked = takers.fetch().max_messages(1).expires(WAIT).messages().await;
        let mut messages = asked.map_err(super::link::failed("gives no task"))?;
        tokio::select! {
            message = messages.next() => match message {
                Some(Ok(message)) => Ok(Some(message)),
                Some(Err(error)) => Err(super::link::failed("gives no task")(error)),
                None => Ok(None),
            },
            () = cancelled(cancel) => Ok(None),
        }
    }

    async fn one(&self, message: &Message, cancel: &Cancel) {
        let Ok(task) = serde_json::from_slice::<Task>(&message.payload) else {
            tracing::warn!(worker = self.name, "something that is no task was thrown away");
            let _ = message.ack_with(AckKind::Term).await;
            return;
        };
        let delivered = message.info().map_or(1, |info| info.delivered);
        if delivered > DELIVERIES {
            let reason = format!("{DELIVERIES} workers took it and were not heard of again");
            self.report(&task, News::Failed(reason)).await;
            let _ = message.ack_with(AckKind::Term).await;
            return;
        }
        self.report(&task, News::Began(u64::try_from(delivered).unwrap_or(0))).await;
        let progress = Arc::new(Mutex::new(Value::Null));
        let mut running = tokio::task::spawn_blocking({
            let (run, task, cancel, progress) =
                (Arc::clone(&self.run), task.clone(), cancel.clone(), Arc::clone(&progress));
            move || run(&task, &cancel, &progress)
        });
        let mut beat = tokio::time::interval(self.options.patience / 4);
        let outcome = loop {
            tokio::select! {
                outcome = &mut running => break outcome,
                _ = beat.tick() => {
                    let _ = message.ack_with(AckKind::Progress).await;
                    let so_far = progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    self.report(&task, News::Beat(so_far)).await;
                }
            }
        };
        let outcome =
            outcome.unwrap_or_else(|_| Outcome::Again("the worker panicked; this is a bug of ours".into()));
        match outcome {
            Outcome::Done(result) => {
                self.report(&task, News::Done(result)).await;
                // Lost acknowledgements bring the task back, to somebody who sees that it is done.
                let _ = message.double_ack().await;
            }
            Outcome::Again(reason) => {
                self.report(&task, News::Again(reason)).await;
                let _ = message.ack_with(AckKind::Term).await;
            }
            Outcome::Failed(reason) => {
                self.report(&task, News::Failed(reason)).await;
                let _ = message.ack_with(AckKind::Term).await;
            }
            Outcome::Leave => {
                let _ = message.ack_with(AckKind::Nak(None)).await;
            }
        }
    }

    async fn report(&self, task: &Task, news: News) {
        let report = Report { key: task.key.clone(), worker: self.name.clone(), news };
        if let Ok(text) = serde_json::to_vec(&report) {
            let _ = self.link.client.publish(reports(&task.board), text.into()).await;
        }
    }
}

/// Ends when the work was cancelled, which may happen on any thread.
async fn cancelled(cancel: &Cancel) {
    let mut look = tokio::time::interval(Duration::from_millis(100));
    while !cancel.is_cancelled() {
        look.tick().await;
    }
}
