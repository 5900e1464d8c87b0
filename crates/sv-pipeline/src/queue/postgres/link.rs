//! One connection, on a thread of its own.
//!
//! The client has an asynchronous runtime inside, which panics on the threads of another one, and it
//! waits for a silent server for ever. Here its callers wait for an answer, but only so long.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::time::Duration;

use ::postgres::types::{ToSql, Type};
use ::postgres::{Client, Config, NoTls};
use sv_core::ErrorKind;

use crate::queue::journal::{Cell, Row, damaged};
use crate::queue::{Error, Result};

/// The server gives up a statement, a wait for a row and a transaction in which nothing happens, in
/// that order; the caller waits a bit longer than for a statement.
const LIMITS: &str = "SET statement_timeout = '20s'; SET lock_timeout = '10s';
                      SET idle_in_transaction_session_timeout = '60s';";
const PATIENCE: Duration = Duration::from_secs(30);

/// A commit that returned is on the server's disk, whatever the database's default is.
const DURABLE: &str = "SET synchronous_commit = on;";

/// A connection that works, as far as anybody knows.
#[derive(Debug)]
pub(super) struct Link {
    asks: Sender<Ask>,
}

struct Ask {
    what: What,
    answer: SyncSender<Result<Vec<Row>>>,
}

enum What {
    /// One statement and its values.
    One(String, Vec<Cell>),
    /// Several statements, which give nothing.
    Batch(String),
}

impl Link {
    /// Connects.
    pub(super) fn open(config: &Config) -> Result<Self> {
        let (asks, asked) = mpsc::channel::<Ask>();
        let (greet, greeting) = mpsc::sync_channel(1);
        let config = config.clone();
        let serve = move || match greeted(&config) {
            Ok(mut client) => {
                let _ = greet.send(Ok(Vec::new()));
                for ask in asked {
                    let _ = ask.answer.send(asked_of(&mut client, &ask.what));
                }
            }
            Err(error) => drop(greet.send(Err(error))),
        };
        std::thread::Builder::new().name("queue-journal".into()).spawn(serve).map_err(|error| {
            let source = format!("no thread for the connection to PostgreSQL: {error}").into();
            Error::Journal { kind: ErrorKind::of_io(&error), source }
        })?;
        heard(&greeting)?;
        Ok(Self { asks })
    }

    /// What a statement gives.
    pub(super) fn rows(&self, sql: &str, values: &[Cell]) -> Result<Vec<Row>> {
        self.ask(What::One(sql.into(), values.to_vec()))
    }

    /// Runs several statements without values.
    pub(super) fn batch(&self, sql: String) -> Result<()> {
        self.ask(What::Batch(sql)).map(drop)
    }

    fn ask(&self, what: What) -> Result<Vec<Row>> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.asks.send(Ask { what, answer }).map_err(|_| lost())?;
        heard(&answered)
    }
}

fn heard(answer: &Receiver<Result<Vec<Row>>>) -> Result<Vec<Row>> {
    match answer.recv_timeout(PATIENCE) {
        Ok(result) => result,
        Err(RecvTimeoutError::Disconnected) => Err(lost()),
        Err(RecvTimeoutError::Timeout) => {
            let source = format!("PostgreSQL has said nothing for {} seconds", PATIENCE.as_secs()).into();
            Err(Error::Journal { kind: ErrorKind::Timeout, source })
        }
    }
}

fn greeted(config: &Config) -> Result<Client> {
    let mut client = config.connect(NoTls).map_err(|error| told(&error, "PostgreSQL can't be reached"))?;
    client.batch_execute(&format!("{LIMITS} {DURABLE}")).map_err(|error| told(&error, LOST))?;
    Ok(client)
}

fn asked_of(client: &mut Client, what: &What) -> Result<Vec<Row>> {
    let failed = |error| told(&error, LOST);
    let (sql, values) = match what {
        What::One(sql, values) => (sql, values),
        What::Batch(sql) => return client.batch_execute(sql).map(|()| Vec::new()).map_err(failed),
    };
    // PostgreSQL keeps no zero bytes.
    let values: Vec<Cell> = values
        .iter()
        .map(|value| match value {
            Cell::Text(text) => Cell::Text(text.replace('\0', "\u{fffd}")),
            other => other.clone(),
        })
        .collect();
    let typed: Vec<(&(dyn ToSql + Sync), Type)> = values
        .iter()
        .map(|value| match value {
            Cell::Null => (&None::<&str> as &(dyn ToSql + Sync), Type::TEXT),
            Cell::Number(number) => (number as _, Type::INT8),
            Cell::Text(text) => (text as _, Type::TEXT),
        })
        .collect();
    client.query_typed(sql, &typed).map_err(failed)?.iter().map(row).collect()
}

fn row(row: &::postgres::Row) -> Result<Row> {
    let cell = |column: usize, of: &Type| match *of {
        Type::INT8 => row.try_get::<_, Option<i64>>(column).map(|n| n.map_or(Cell::Null, Cell::Number)),
        _ => row.try_get::<_, Option<String>>(column).map(|t| t.map_or(Cell::Null, Cell::Text)),
    };
    let cells = row.columns().iter().enumerate().map(|(n, column)| cell(n, column.type_()));
    cells.collect::<Result<_, _>>().map(Row).map_err(|error| damaged(sentence(&error)))
}

const LOST: &str = "the connection to PostgreSQL is lost, and perhaps what was asked last";

fn lost() -> Error {
    Error::Journal { kind: ErrorKind::Unavailable, source: LOST.into() }
}

/// One sentence of what the client or the server says; `apart` begins it where the server says
/// nothing. Neither repeats a password.
fn told(error: &::postgres::Error, apart: &str) -> Error {
    let Some(refused) = error.as_db_error() else {
        // A connection that can't begin because something is missing in the address stays so.
        let of_io = |e: &(dyn std::error::Error + 'static)| e.is::<std::io::Error>();
        let permanent = !error.is_closed() && !std::error::Error::source(error).is_none_or(of_io);
        let kind = if permanent { ErrorKind::InvalidInput } else { ErrorKind::Unavailable };
        return Error::Journal { kind, source: format!("{apart}: {}", sentence(error)).into() };
    };
    let kind = match refused.code().code() {
        "28P01" | "28000" => ErrorKind::Unauthenticated,
        "42501" => ErrorKind::PermissionDenied,
        "3D000" => ErrorKind::NotFound,
        "57014" | "55P03" => ErrorKind::Timeout,
        "53100" => ErrorKind::Io,
        code if code.starts_with("54") => ErrorKind::LimitExceeded,
        code if code.starts_with("22") => ErrorKind::InvalidInput,
        // The connection, resources, a rollback for the sake of others, an operator.
        code if ["08", "53", "40", "57"].iter().any(|class| code.starts_with(class)) => {
            ErrorKind::Unavailable
        }
        code if code.starts_with("XX") => ErrorKind::Malformed,
        _ => ErrorKind::Io,
    };
    Error::Journal { kind, source: format!("PostgreSQL refuses: {}", refused.message()).into() }
}

fn sentence(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {}", sentence(cause)));
    format!("{error}{}", cause.unwrap_or_default())
}
