//! `sv probe`.

use crate::args::Probe;
use crate::{At, Failure};

pub(crate) fn run(args: &Probe) -> Result<(), Failure> {
    let probe = streamverse::probe(&args.input).map_err(Failure::at(At::Input))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&probe).unwrap_or_default());
    } else {
        println!("{probe}");
    }
    Ok(())
}
