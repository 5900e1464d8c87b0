//! `sv ladder`.

use streamverse::title::{Decision, Request, analyze};

use crate::args::Ladder;
use crate::{At, Failure};

pub(crate) fn run(args: &Ladder) -> Result<(), Failure> {
    let mut request = Request::new(&args.input);
    request.codecs = args.codec.iter().map(|c| (*c).into()).collect();
    request.preset = args.preset.into();
    request.segment = args.segment;
    request.budget = args.budget.get();
    let decisions = analyze(&request)?;
    let written = |result: std::io::Result<()>| result.map_err(|e| Failure::at(At::Output)(e.into()));
    let text = |result: Result<String, String>| {
        result.map_err(|e| streamverse::Error::new(streamverse::core::ErrorKind::Internal, e))
    };
    if let Some(folder) = &args.plot {
        written(std::fs::create_dir_all(folder))?;
        for decision in &decisions {
            let path = folder.join(format!("ladder-{}.svg", decision.codec));
            written(std::fs::write(path, decision.svg()))?;
        }
    }
    if let Some(path) = &args.toml {
        let ladder = streamverse::transcode::Ladder {
            rungs: decisions.iter().flat_map(|d| d.ladder.rungs.clone()).collect(),
            reasons: decisions.iter().flat_map(|d| d.ladder.reasons.clone()).collect(),
        };
        written(std::fs::write(path, text(toml::to_string(&ladder).map_err(|e| e.to_string()))?))?;
    }
    if args.json {
        println!("{}", text(serde_json::to_string_pretty(&decisions).map_err(|e| e.to_string()))?);
        return Ok(());
    }
    decisions.iter().for_each(show);
    Ok(())
}

fn show(decision: &Decision) {
    println!("{}", decision.codec);
    for rung in &decision.ladder.rungs {
        let at = |p: &&streamverse::title::Place| (p.width, p.height) == (rung.width, rung.height);
        let near =
            decision.places.iter().filter(at).min_by_key(|p| (p.bitrate as u64).abs_diff(rung.bitrate));
        let vmaf = near.map_or_else(String::new, |p| format!(", VMAF {:.1}", p.vmaf));
        let size = format!("{}x{}", rung.width, rung.height);
        let crf = rung.crf.map_or_else(String::new, |c| format!(", factor {c:.0}"));
        println!("  {:<14} {size:>9} {:>6} kbit/s{crf}{vmaf}", rung.name, rung.bitrate / 1000);
    }
    for reason in &decision.ladder.reasons {
        println!("  - {reason}");
    }
}
