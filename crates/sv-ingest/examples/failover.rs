//! A stream with a backup: send to `rtmp://127.0.0.1:1935/live/first-of-the-studio` and, from another encoder, to
//! `…/live/second-of-the-studio`, play `…/live/studio`, and kill the first.

use std::sync::Arc;
use std::time::Duration;

use sv_ingest::gateway::{Gateway, Keys, Notice, Settings};
use sv_ingest::{Failover, Hub};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let keys = Keys::new().key("first-of-the-studio", "studio").backup("second-of-the-studio", "studio");
    let mut failover = Failover::default();
    failover.loss = Duration::from_millis(100);
    let mut settings = Settings::new(keys);
    settings.hub = Hub::with_failover(failover);
    settings.notice = Arc::new(|notice| match notice {
        Notice::Switched { stream, from, to, reason } => println!("{stream} from {to}, not {from}: {reason}"),
        Notice::Left { stream, from, reason } => println!("{stream}: {from} has gone: {reason}"),
        Notice::Started { stream, from, .. } => println!("{stream}: {from} sends"),
        _ => {}
    });
    let gateway = Gateway::start(settings)?;
    println!("{}", gateway.rtmp("127.0.0.1:1935".parse()?)?);
    loop {
        std::thread::sleep(Duration::from_secs(10));
        for report in gateway.hub().senders("studio") {
            println!("{} (rank {}, on air: {}): {:?}", report.from, report.rank, report.on_air, report.wrong);
        }
    }
}
