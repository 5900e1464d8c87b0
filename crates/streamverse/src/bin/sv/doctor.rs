//! `sv doctor`.

use crate::Failure;
use crate::args::Doctor;

pub(crate) fn run(args: &Doctor) -> Result<(), Failure> {
    let report = streamverse::doctor();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
    } else {
        println!("{report}");
    }
    Ok(())
}
