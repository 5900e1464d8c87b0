//! A gateway of SRT that only passes streams on: `srt_relay ADDRESS [PASSPHRASE_FILE]`. Everybody may send and play.
//!
//! `ffmpeg -re -i FILM -c copy -f mpegts 'srt://127.0.0.1:9000?streamid=studio'` sends,
//! `ffplay 'srt://127.0.0.1:9000?streamid=read:studio'` plays.

use std::sync::Arc;

use sv_ingest::gateway::{Gateway, Notice, Open, Settings, SrtSettings};
use sv_ingest::srt::Passphrase;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:9000".into()).parse()?;
    let mut srt = SrtSettings::default();
    if let Some(path) = args.next() {
        srt.connection.passphrase = Some(Passphrase::new(std::fs::read_to_string(path)?.trim_end())?);
    }
    if let Ok(millis) = std::env::var("LATENCY") {
        srt.connection.latency = std::time::Duration::from_millis(millis.parse()?);
    }
    let mut settings = Settings::new(Open);
    (settings.shards, settings.strangers) = (1, usize::MAX);
    settings.notice = Arc::new(|notice| match notice {
        Notice::Started { stream, from, .. } => println!("{stream} begins, from {from}"),
        Notice::Ended { stream, reason, .. } => println!("{stream} ends: {reason}"),
        _ => {}
    });
    let gateway = Gateway::start(settings)?;
    println!("send to srt://{}?streamid=NAME", gateway.srt(address, srt)?);
    loop {
        std::thread::park();
    }
}
