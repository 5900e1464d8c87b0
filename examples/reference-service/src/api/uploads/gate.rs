//! One connection at a time per upload, and the newest one wins.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, watch};

/// The gates of all uploads that somebody is busy with.
#[derive(Debug, Default)]
pub(crate) struct Gates(Mutex<HashMap<String, Arc<Gate>>>);

#[derive(Debug)]
struct Gate {
    turn: Arc<AsyncMutex<()>>,
    leave: watch::Sender<()>,
}

/// The right to touch an upload, given back by dropping it.
#[derive(Debug)]
pub(crate) struct Entered {
    _turn: OwnedMutexGuard<()>,
    // Keeps the gate in the map as long as somebody is inside.
    _gate: Arc<Gate>,
}

impl Gates {
    /// Asks whoever is inside to leave and goes in after. The receiver changes when the next one comes.
    ///
    /// A client whose connection broke comes back before the old one is known to be dead: making it
    /// wait would punish the one who is alive.
    pub(crate) async fn enter(&self, upload: &str) -> (Entered, watch::Receiver<()>) {
        let gate = self.gate(upload);
        gate.leave.send_replace(());
        let turn = Arc::clone(&gate.turn).lock_owned().await;
        let leave = gate.leave.subscribe();
        (Entered { _turn: turn, _gate: gate }, leave)
    }

    /// Goes in if nobody is inside.
    pub(crate) fn try_enter(&self, upload: &str) -> Option<Entered> {
        let gate = self.gate(upload);
        let turn = Arc::clone(&gate.turn).try_lock_owned().ok()?;
        Some(Entered { _turn: turn, _gate: gate })
    }

    fn gate(&self, upload: &str) -> Arc<Gate> {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        let new = || Arc::new(Gate { turn: Arc::default(), leave: watch::Sender::new(()) });
        Arc::clone(gates.entry(upload.to_owned()).or_insert_with(new))
    }
}
