//! A gateway that only passes streams on: `relay RTMP_ADDRESS SHARDS [BATCH_MS]`. Everybody may send and play.

use std::sync::Arc;
use std::time::Duration;

use sv_ingest::gateway::{Batch, Gateway, Notice, Open, Settings};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:1935".into()).parse()?;
    let mut settings = Settings::new(Open);
    settings.shards = args.next().map_or(Ok(2), |n| n.parse())?;
    if let Some(millis) = args.next() {
        settings.batch = Batch::Always(Duration::from_millis(millis.parse()?));
    }
    settings.strangers = usize::MAX;
    settings.patience = Duration::from_secs(60);
    if std::env::var_os("QUIET").is_none() {
        settings.notice = Arc::new(|notice| match notice {
            Notice::Started { stream, from, .. } => println!("{stream} begins, from {from}"),
            Notice::Ended { stream, reason, .. } => println!("{stream} ends: {reason}"),
            _ => {}
        });
    }
    let gateway = Gateway::start(settings)?;
    println!("send to rtmp://{}/live/NAME", gateway.rtmp(address)?);
    loop {
        std::thread::park();
    }
}
