//! `sv estimate`.

use streamverse::cost::estimate;
use streamverse::vod::Request;

use crate::args::Estimate;
use crate::{Failure, vod};

pub(crate) fn run(args: &Estimate) -> Result<(), Failure> {
    // Nothing is written there.
    let mut request = Request::new(&args.input, "estimate");
    vod::encode(&mut request, &args.encode, &args.budget)?;
    request.segment = args.segment;
    let receipt = estimate(&request)?;
    if args.json {
        let text = serde_json::to_string_pretty(&receipt)
            .map_err(|e| streamverse::Error::new(streamverse::core::ErrorKind::Internal, e.to_string()))?;
        println!("{text}");
    } else {
        println!("{receipt}");
    }
    Ok(())
}
