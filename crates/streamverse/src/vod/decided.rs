//! Ladders that an earlier run of the same request has found, so that a killed run goes on with them: trying
//! again would take time, and with a budget of core-seconds it might find others.

use std::fs;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sv_core::Object;
use sv_transcode::filter::Crop;
use sv_transcode::title::{Budget, Decision};

use super::Request;
use crate::Result;
use crate::place;
use crate::work::{LADDER, partial};

/// What was decided, and what for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Decided {
    request: Value,
    pub(super) decisions: Vec<Decision>,
}

/// A decision with all its measurements has some kilobytes.
const LARGEST: u64 = 4 << 20;

/// What a decision depends on.
fn key(request: &Request, budget: &Budget, crop: Option<Crop>) -> Result<Value> {
    let source = place::stat(&request.input)?;
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "input": source.name,
        "bytes": source.bytes,
        "modified": source.version,
        "budget": budget,
        "codecs": request.codecs.iter().map(|c| c.name()).collect::<Vec<_>>(),
        "preset": request.preset,
        "segment": request.segment.as_millis().to_string(),
        "crop": crop,
    }))
}

impl Decided {
    /// What an earlier run has left; anything that can't be used is as good as nothing.
    pub(super) fn find(request: &Request, budget: &Budget, crop: Option<Crop>) -> Result<Option<Self>> {
        let path = partial(&request.output).join(LADDER);
        let small = fs::metadata(&path).is_ok_and(|meta| meta.len() <= LARGEST);
        let Some(text) = small.then(|| fs::read(&path).ok()).flatten() else { return Ok(None) };
        let found: Option<Self> = serde_json::from_slice(&text).ok();
        let key = key(request, budget, crop)?;
        Ok(found.filter(|found| found.request == key))
    }

    pub(super) fn new(
        request: &Request,
        budget: &Budget,
        crop: Option<Crop>,
        decisions: Vec<Decision>,
    ) -> Result<Self> {
        Ok(Self { request: key(request, budget, crop)?, decisions })
    }

    /// What is to be stored.
    pub(super) fn object(&self) -> Option<Object> {
        let text = serde_json::to_vec(self).ok()?;
        Some(Object::whole(LADDER, "application/json", text))
    }
}
