//! The connection, and the names that both sides use.

use std::time::Duration;

use async_nats::jetstream::{self, consumer, stream};

use super::{Error, Options};

/// Holds the tasks of all groups.
const STREAM: &str = "SV_TASKS";

/// A connected client and the stream of tasks.
pub(super) struct Link {
    pub(super) client: async_nats::Client,
    pub(super) jetstream: jetstream::Context,
}

/// Turns whatever the client library says into ours. Its errors do not repeat the URL.
pub(super) fn failed<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> Error {
    move |error| Error::Server { what, reason: error.to_string() }
}

pub(super) fn tasks(group: &str, board: &str) -> String {
    format!("sv.tasks.{group}.{board}")
}

pub(super) fn reports(board: &str) -> String {
    format!("sv.reports.{board}")
}

/// Refuses what would mean something else in a subject.
pub(super) fn checked(name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        return Err(Error::Name(name.to_owned()));
    }
    Ok(())
}

impl Link {
    pub(super) async fn connect(options: &Options, name: &str) -> Result<Self, Error> {
        checked(&options.group)?;
        // A server that goes away comes back: connections are tried again for ever, at most every
        // two seconds.
        let mut connect = async_nats::ConnectOptions::new()
            .name(name)
            .max_reconnects(None)
            .reconnect_delay_callback(|tries| Duration::from_millis((tries as u64 * 100).min(2000)));
        if let Some(path) = &options.credentials {
            let what = "can't be greeted with the credentials file";
            let text = std::fs::read_to_string(path).map_err(failed(what))?;
            connect = connect.credentials(&text).map_err(failed(what))?;
        }
        let servers: Vec<&str> = options.url.split(',').map(str::trim).collect();
        let client = connect.connect(servers).await.map_err(failed("can't be reached"))?;
        let jetstream = jetstream::new(client.clone());
        let link = Self { client, jetstream };
        link.stream().await?;
        Ok(link)
    }

    /// The stream, made if it is not there: a server that lost its disk has lost it too.
    pub(super) async fn stream(&self) -> Result<stream::Stream, Error> {
        let config = stream::Config {
            name: STREAM.into(),
            subjects: vec!["sv.tasks.*.*".into()],
            retention: stream::RetentionPolicy::WorkQueue,
            storage: stream::StorageType::File,
            duplicate_window: Duration::from_secs(120),
            ..stream::Config::default()
        };
        self.jetstream.get_or_create_stream(config).await.map_err(failed("has no JetStream for us"))
    }

    /// Those who take a group's tasks, made if they are not there.
    pub(super) async fn takers(&self, options: &Options) -> Result<consumer::PullConsumer, Error> {
        let name = format!("workers-{}", options.group);
        let config = consumer::pull::Config {
            durable_name: Some(name.clone()),
            filter_subject: tasks(&options.group, "*"),
            ack_policy: consumer::AckPolicy::Explicit,
            ack_wait: options.patience,
            // Every slot of every machine holds one task and waits with one request.
            max_ack_pending: 65_536,
            max_waiting: 65_536,
            ..consumer::pull::Config::default()
        };
        let stream = self.stream().await?;
        stream.get_or_create_consumer(&name, config).await.map_err(failed("gives no consumer"))
    }
}
