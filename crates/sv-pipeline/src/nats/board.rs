//! Where tasks are offered.

use std::sync::mpsc;
use std::time::Duration;

use async_nats::jetstream::message::PublishMessage;
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::runtime::Runtime;

use super::link::{Link, checked, failed, reports, tasks};
use super::{Error, Options, Report, Task};

/// Offers tasks, and hears what becomes of them.
pub struct Board {
    runtime: Runtime,
    link: Link,
    options: Options,
    name: String,
    heard: mpsc::Receiver<Report>,
}

impl Board {
    /// Connects to the server. `name` is what this board is called among all others, for ever:
    /// letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// [`Error::Server`] when it can't be reached within its own time, or has no JetStream.
    pub fn connect(options: &Options, name: &str) -> Result<Self, Error> {
        checked(name)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("nats")
            .enable_all()
            .build()
            .map_err(Error::Threads)?;
        let (link, mut subscription) = runtime.block_on(async {
            let link = Link::connect(options, name).await?;
            // Workers need not have come yet; tasks wait for them all the same.
            link.takers(options).await?;
            let subscription = link.client.subscribe(reports(name)).await;
            Ok::<_, Error>((link, subscription.map_err(failed("takes no subscription"))?))
        })?;
        // Reports are news, not truth: those that find no room are lost.
        let (tell, heard) = mpsc::sync_channel(65_536);
        runtime.spawn(async move {
            while let Some(message) = subscription.next().await {
                let Ok(report) = serde_json::from_slice(&message.payload) else { continue };
                if let Err(mpsc::TrySendError::Disconnected(_)) = tell.try_send(report) {
                    break;
                }
            }
        });
        Ok(Self { runtime, link, options: options.clone(), name: name.to_owned(), heard })
    }

    /// What this board is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Offers tasks; returns when the server has them. A task with the same key and the same `again`
    /// is not taken twice within two minutes.
    ///
    /// # Errors
    /// [`Error::Server`] when it does not answer: offer again when it does.
    pub fn offer(&self, tasks_of: &[Task]) -> Result<(), Error> {
        let subject = tasks(&self.options.group, &self.name);
        self.runtime.block_on(async {
            let mut waiting = Vec::new();
            for task in tasks_of {
                let id = format!("{}.{}.{}", task.board, task.key, task.again);
                let payload = serde_json::to_vec(task).map_err(failed("can't be given a task"))?;
                let message = PublishMessage::build().payload(payload.into()).message_id(id);
                let sent = self.link.jetstream.send_publish(subject.clone(), message).await;
                waiting.push(sent.map_err(failed("takes no task"))?);
                // The server answers about four thousand a second; the library wants the number of
                // open questions bounded.
                if waiting.len() >= 128 {
                    for answer in waiting.drain(..) {
                        answer.await.map_err(failed("takes no task"))?;
                    }
                }
            }
            for answer in waiting {
                answer.await.map_err(failed("takes no task"))?;
            }
            Ok(())
        })
    }

    /// Takes back what no worker has yet: nobody is to begin it any more.
    ///
    /// # Errors
    /// [`Error::Server`] when it does not answer.
    pub fn withdraw(&self) -> Result<(), Error> {
        let subject = tasks(&self.options.group, &self.name);
        self.runtime.block_on(async {
            let stream = self.link.stream().await?;
            stream.purge().filter(subject).await.map_err(failed("takes no task back")).map(drop)
        })
    }

    /// What a worker said, if one says something within `limit`.
    #[must_use]
    pub fn hear(&self, limit: Duration) -> Option<Report> {
        self.heard.recv_timeout(limit).ok()
    }

    /// How many of this board's tasks the server holds: waiting for a worker, or for its end. Fewer than
    /// are out means that it has lost some. Makes anew what it has lost besides.
    ///
    /// # Errors
    /// [`Error::Server`] when it does not answer.
    pub fn held(&self) -> Result<u64, Error> {
        let what = "does not tell what it holds";
        let subject = tasks(&self.options.group, &self.name);
        self.runtime.block_on(async {
            self.link.takers(&self.options).await?;
            let stream = self.link.stream().await?;
            let mut counts = stream.info_with_subjects(subject).await.map_err(failed(what))?;
            let mut held = 0;
            while let Some((_, count)) = counts.try_next().await.map_err(failed(what))? {
                held += count as u64;
            }
            Ok(held)
        })
    }
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Board").field("name", &self.name).finish_non_exhaustive()
    }
}
