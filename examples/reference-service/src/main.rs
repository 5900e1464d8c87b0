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
mod metrics;
mod problem;
mod store;
mod time;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use streamverse::pipeline::queue;
use tokio::net::TcpListener;

use crate::app::{App, OpenError, Shared};
use crate::config::{Config, LogFormat};
use crate::jobs::Workers;

/// Why the service can't start, or stopped; each has its exit code.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Unexpected(String),
    #[error("can't listen on {address}: {source}; stop what does, or choose another address with --listen")]
    Listen { address: std::net::SocketAddr, source: std::io::Error },
    #[error("{0}")]
    Data(OpenError),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Unexpected(_) => 1,
            Self::Listen { .. } => 3,
            Self::Data(OpenError::Queue(queue::Error::InUse(_))) => 5,
            Self::Data(_) => 4,
        }
    }
}

fn main() -> ExitCode {
    let config = Config::parse();
    if config.print_openapi {
        print!("{}", api::openapi::text());
        return ExitCode::SUCCESS;
    }
    log_as(config.log);
    let run = || {
        let runtime = tokio::runtime::Runtime::new().map_err(|e| Failure::Unexpected(e.to_string()))?;
        runtime.block_on(serve(config))
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
    tokio::spawn(tidy(Arc::clone(&app)));
    tracing::info!(url = %format!("http://{address}"), data = %app.files.root().display(), "open http://{address}");

    let stopping = Arc::clone(&app);
    let router = api::router(Arc::clone(&app));
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        stop_signal().await;
        tracing::info!("stopping; what is not finished goes on at the next start");
        stopping.workers.close();
    });
    // Sockets of events stay open as long as clients like: they do not hold the end up.
    let stopped = Arc::clone(&app);
    tokio::select! {
        result = server => result.map_err(|e| Failure::Unexpected(e.to_string()))?,
        () = async { stop_signal().await; tokio::time::sleep(Duration::from_secs(3)).await } => {}
    }
    let rest = tokio::task::spawn_blocking(move || workers.into_iter().for_each(|w| drop(w.join())));
    let _ = tokio::time::timeout(Duration::from_secs(10), rest).await;
    drop(stopped);
    Ok(())
}

/// Throws away, now and then, what nobody came back for.
async fn tidy(app: Shared) {
    let mut every = tokio::time::interval(Duration::from_secs(600));
    loop {
        every.tick().await;
        if let Err(problem) = app.blocking(|app| app.expire_uploads()).await {
            tracing::error!(?problem, "expired uploads could not be removed");
        }
    }
}

/// Waits for Ctrl-C or a polite kill.
async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                tokio::select! { _ = interrupt => {}, _ = terminate.recv() => {} }
            }
            Err(_) => drop(interrupt.await),
        }
    }
    #[cfg(not(unix))]
    drop(interrupt.await);
}
