//! A file goes in, an adaptive stream comes out: `cargo run --example vod -- talk.mp4 talk`.

use streamverse::core::Event;
use streamverse::vod::{self, Request};

fn main() -> streamverse::Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(input), Some(output)) = (args.next(), args.next()) else {
        eprintln!("usage: vod INPUT OUTPUT");
        return Ok(());
    };
    let (mut handle, driver) = vod::start(Request::new(input, output))?;
    let events = handle.events();
    let watcher = std::thread::spawn(move || {
        for event in events {
            if let Event::Progress { rendition, fraction, speed, .. } = event {
                println!("{rendition}: {:.0} % at {speed:.1}x", fraction * 100.0);
            }
        }
    });
    let report = driver.run();
    let _ = watcher.join();
    println!("open {}", report?.manifests.join(" or "));
    Ok(())
}
