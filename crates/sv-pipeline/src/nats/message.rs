//! What board and workers say to each other.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Work that is offered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Whose it is: reports go there.
    pub board: String,
    /// Its name, unique within the board.
    pub key: String,
    /// How often it was offered before.
    pub again: u32,
    /// What to do.
    pub payload: Value,
}

/// What a worker says about a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The task's name.
    pub key: String,
    /// Who says it.
    pub worker: String,
    /// What.
    pub news: News,
}

/// What happened to a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum News {
    /// A worker has it; so often was it delivered.
    Began(u64),
    /// It is still at it, and this far.
    Beat(Value),
    /// It is done; this is what came of it.
    Done(Value),
    /// It did not work out, and may another time.
    Again(String),
    /// It did not work out and never will.
    Failed(String),
}

/// How a task ended, for [`work`](super::work).
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is done.
    Done(Value),
    /// It did not work out: another worker may try at once.
    Again(String),
    /// It did not work out and never will.
    Failed(String),
    /// The worker has to leave; the task goes back as if it had never been taken.
    Leave,
}
