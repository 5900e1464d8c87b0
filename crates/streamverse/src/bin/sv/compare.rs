//! `sv compare`.

use streamverse::compare::{Comparison, Request, Score, compare};
use streamverse::core::ErrorKind;

use crate::Failure;
use crate::args::Compare;

pub(crate) fn run(args: &Compare) -> Result<(), Failure> {
    let mut request = Request::new(&args.original, &args.copy);
    request.every = args.every;
    let found = compare(&request)?;
    if args.json {
        let text = serde_json::to_string_pretty(&found);
        println!("{}", text.map_err(|e| streamverse::Error::new(ErrorKind::Internal, e.to_string()))?);
        return Ok(());
    }
    show(&found);
    Ok(())
}

fn show(found: &Comparison) {
    println!("{} pictures at {}x{}", found.pictures, found.width, found.height);
    println!("               mean   5 % below   worst");
    line("VMAF", &found.vmaf);
    if let Some(score) = &found.ssimulacra2 {
        line("SSIMULACRA2", score);
    }
    println!("XPSNR       {:>7.2} dB", found.xpsnr);
}

fn line(name: &str, score: &Score) {
    let Score { mean, low, least, least_at } = score;
    println!("{name:<12}{mean:>7.2}{low:>12.2}{least:>8.2} at {least_at:.2} s");
}
