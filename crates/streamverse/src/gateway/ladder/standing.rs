//! How a ladder stands, for whoever asks.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::crew::Member;

/// The rungs of one stream. Shared by who makes them and who tells of them.
#[derive(Debug, Default)]
pub(crate) struct Standing(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    rungs: Vec<Told>,
    behind: Duration,
    lost: u64,
}

#[derive(Debug)]
struct Told {
    member: Member,
    given_up: Option<String>,
}

impl Standing {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, members: &[Member]) {
        self.state().rungs = members.iter().map(|m| Told { member: m.clone(), given_up: None }).collect();
    }

    pub(super) fn give_up(&self, member: &Member, reason: &str) {
        for told in self.state().rungs.iter_mut().filter(|told| told.member.id == member.id) {
            told.given_up = Some(reason.to_owned());
        }
    }

    pub(super) fn note(&self, behind: Duration, lost: u64) {
        let mut state = self.state();
        (state.behind, state.lost) = (behind, lost);
    }

    /// Rungs that are made, how far their packets wait to be decoded, and how many were left out.
    pub(crate) fn numbers(&self) -> (usize, Duration, u64) {
        let state = self.state();
        let made = state.rungs.iter().filter(|told| told.given_up.is_none()).count();
        (made, state.behind, state.lost)
    }

    /// All of it; nothing where no rung is made.
    pub(crate) fn told(&self) -> Value {
        let state = self.state();
        let rungs = state.rungs.iter().map(|told| {
            json!({
                "name": told.member.name,
                "width": told.member.rung.width,
                "height": told.member.rung.height,
                "bitrate": told.member.rung.bitrate,
                "given_up": told.given_up,
            })
        });
        json!({ "rungs": rungs.collect::<Vec<_>>(), "behind_s": state.behind.as_secs_f64(), "lost": state.lost })
    }
}
