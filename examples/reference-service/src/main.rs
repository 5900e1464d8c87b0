//! StreamVerse assembled as a service: one program, one data folder.
//!
//! It holds no media logic. A request becomes a call of the facade, and what comes of it becomes
//! rows, files and events. What later issues bring has its place: accounts and quotas are a layer
//! in [`api`], webhooks listen to the [`events`] bus, live and analytics are files beside [`jobs`].

mod api;
mod app;
mod config;
mod events;
mod files;
mod id;
mod jobs;
mod library;
mod live;
mod metrics;
mod problem;
mod store;
mod time;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use streamverse::pipeline::queue;
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use crate::app::{App, OpenError, Shared};
use crate::config::{Config, LogFormat};
use crate::jobs::Workers;

/// Why the service can't start, or stopped; each has its exit code.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Unexpected(String),
    #[error("can't listen on {address}: {source}; stop what does, or choose another address with --listen")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("{0}")]
    Data(OpenError),
    #[error("live streams can't be taken: {0}")]
    Live(String),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Unexpected(_) => 1,
            Self::Listen { .. } | Self::Live(_) => 3,
            Self::Data(OpenError::Queue(queue::Error::InUse(_))) => 5,
            Self::Data(_) => 4,
        }
    }
}

fn main() -> ExitCode {
    #[cfg(feature = "ffmpeg")]
    streamverse::ffmpeg::lean();
    let config = Config::parse();
    if config.print_openapi {
        print!("{}", api::openapi::text());
        return ExitCode::SUCCESS;
    }
    log_as(config.log);
    let run = || {
        let runtime = tokio::runtime::Runtime::new().map_err(|e| Failure::Unexpected(e.to_string()))?;
        let result = runtime.block_on(serve(config));
        // A thread that still waits for a disk does not hold the end up: what it does can be resumed.
        runtime.shutdown_background();
        result
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // The log may be JSON for machines; whoever started the service reads this.
            let _ = writeln!(std::io::stderr(), "reference-service: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn log_as(format: Option<LogFormat>) {
    let level = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    let log = tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stdout);
    let guess = if std::io::stdout().is_terminal() { LogFormat::Text } else { LogFormat::Json };
    match format.unwrap_or(guess) {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => {
            log.json().flatten_event(true).with_current_span(false).with_span_list(false).init()
        }
    }
}

async fn serve(config: Config) -> Result<(), Failure> {
    // The address first: if it is taken, no data folder is made for nothing.
    let refused = |source| Failure::Listen { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let app = App::open(config).map_err(Failure::Data)?;
    let unexpected =
        |e: &dyn std::fmt::Debug| Failure::Unexpected(format!("the library can't be read: {e:?}"));
    app.blocking(|app| {
        app.recover()?;
        app.publish_sample()
    })
    .await
    .map_err(|e| unexpected(&e))?;
    let workers = Workers::start(&app).map_err(|e| Failure::Unexpected(e.to_string()))?;
    let live = |e: streamverse::Error| Failure::Live(e.to_string());
    app.studio.start(&app).map_err(live)?;
    if let Some(hooks) = live::hooks(&app.config).map_err(live)? {
        tokio::spawn(pass_on(Arc::clone(&app), hooks));
    }
    tokio::spawn(tidy(Arc::clone(&app)));
    let stop = stop_signal().map_err(|e| Failure::Unexpected(e.to_string()))?;
    tracing::info!(url = %format!("http://{address}"), data = %app.files.root().display(), "open http://{address}");

    // Who offers media by WebRTC is counted by address.
    let service = api::router(Arc::clone(&app)).into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service);
    let mut stopping = stop.clone();
    let server = server.with_graceful_shutdown(async move { drop(stopping.wait_for(|stop| *stop).await) });
    let mut overdue = stop;
    // Sockets of events stay open as long as clients like: they do not hold the end up.
    tokio::select! {
        result = server => result.map_err(|e| Failure::Unexpected(e.to_string()))?,
        () = async {
            drop(overdue.wait_for(|stop| *stop).await);
            app.workers.close();
            tokio::time::sleep(Duration::from_secs(3)).await;
        } => {}
    }
    tracing::info!("stopping; what is not finished goes on at the next start");
    app.workers.close();
    let studio = Arc::clone(&app);
    // Presentations are closed as recordings.
    let ended = tokio::task::spawn_blocking(move || studio.studio.close());
    let _ = tokio::time::timeout(Duration::from_secs(10), ended).await;
    let rest = tokio::task::spawn_blocking(move || workers.into_iter().for_each(|w| drop(w.join())));
    let _ = tokio::time::timeout(Duration::from_secs(10), rest).await;
    Ok(())
}

/// Tells webhooks what happens.
async fn pass_on(app: Shared, hooks: streamverse::gateway::Hooks) {
    let mut events = app.bus.listen();
    loop {
        match events.recv().await {
            Ok(event) => {
                if let Ok(serde_json::Value::Object(event)) = serde_json::to_value(&event)
                    && let (Some(serde_json::Value::String(kind)), Some(data)) =
                        (event.get("type"), event.get("data"))
                {
                    hooks.tell(kind, data);
                }
            }
            Err(RecvError::Lagged(count)) => tracing::warn!(count, "webhooks are not told all that happened"),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Throws away, now and then, what nobody came back for.
async fn tidy(app: Shared) {
    let mut every = tokio::time::interval(Duration::from_secs(600));
    loop {
        every.tick().await;
        if let Err(problem) = app.blocking(|app| app.expire_uploads()).await {
            tracing::error!(?problem, "expired uploads could not be removed");
        }
        if let Err(problem) = app.blocking(|app| app.expire_lives()).await {
            tracing::error!(?problem, "what live streams have left could not be removed");
        }
    }
}

/// Becomes true at Ctrl-C or a polite kill. The signals are caught from the moment this returns.
fn stop_signal() -> std::io::Result<watch::Receiver<bool>> {
    let (sender, receiver) = watch::channel(false);
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::spawn(async move {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            sender.send_replace(true);
        });
    }
    #[cfg(not(unix))]
    tokio::spawn(async move {
        drop(tokio::signal::ctrl_c().await);
        sender.send_replace(true);
    });
    Ok(receiver)
}
