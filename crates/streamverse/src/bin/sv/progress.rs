//! Shows events: bars on a terminal, plain lines elsewhere, JSON when asked.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use streamverse::core::Event;

/// Shows every event until the run ends.
pub(crate) fn show(events: Receiver<Event>, json: bool) {
    if json {
        let mut out = std::io::stdout().lock();
        for event in events {
            if let Ok(line) = serde_json::to_string(&event) {
                let _ = writeln!(out, "{line}");
            }
        }
    } else if std::io::stderr().is_terminal() {
        bars(events);
    } else {
        lines(events);
    }
}

fn bars(events: Receiver<Event>) {
    let all = MultiProgress::new();
    let style = ProgressStyle::with_template("{prefix:>16} {bar:32} {percent:>3} %  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let mut bars: HashMap<String, ProgressBar> = HashMap::new();
    for event in events {
        match event {
            Event::Planned { renditions, reasons, .. } => {
                for reason in reasons {
                    let _ = all.println(format!("  {reason}"));
                }
                for name in renditions {
                    let bar = all.add(ProgressBar::new(1000).with_style(style.clone()));
                    bar.set_prefix(name.clone());
                    bars.insert(name, bar);
                }
            }
            Event::Progress { rendition, fraction, speed, left_ms, .. } => {
                if let Some(bar) = bars.get(&rendition) {
                    bar.set_position((fraction * 1000.0) as u64);
                    bar.set_message(tempo(speed, left_ms));
                }
            }
            Event::Finished { .. } => bars.values().for_each(|bar| bar.finish()),
            other => {
                if let Some(line) = sentence(&other) {
                    let _ = all.println(line);
                }
            }
        }
    }
}

fn lines(events: Receiver<Event>) {
    // A log wants a line now and then, not four in a second.
    const PAUSE: Duration = Duration::from_secs(2);
    let mut last: HashMap<String, Instant> = HashMap::new();
    for event in events {
        if let Event::Progress { rendition, fraction, .. } = &event {
            let now = Instant::now();
            let due = last.get(rendition).is_none_or(|at| now.duration_since(*at) >= PAUSE);
            if !due && *fraction < 1.0 {
                continue;
            }
            last.insert(rendition.clone(), now);
        }
        if let Some(line) = sentence(&event) {
            // Nobody may be there to read it.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}

fn tempo(speed: f64, left_ms: Option<u64>) -> String {
    match left_ms {
        Some(ms) => format!("{speed:.1}x, {} s left", ms.div_ceil(1000)),
        None => format!("{speed:.1}x"),
    }
}

fn sentence(event: &Event) -> Option<String> {
    Some(match event {
        Event::Planned { reasons, .. } => reasons.join("\n"),
        Event::Progress { rendition, fraction, speed, left_ms, .. } => {
            format!("{rendition}: {:.0} %, {}", fraction * 100.0, tempo(*speed, *left_ms))
        }
        Event::Resumed { segments } => {
            format!("going on where an earlier run ended: {segments} segments are kept")
        }
        Event::Warning { message } => format!("warning: {message}"),
        Event::Finished { manifests, elapsed_ms } => {
            format!("done in {:.1} s: {}", *elapsed_ms as f64 / 1000.0, manifests.join(", "))
        }
        _ => return None,
    })
}
