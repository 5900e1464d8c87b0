//! Takes streams that others record by RTSP and says what comes: `cargo run -p sv-ingest --example rtsp --features rtsp`, then
//! `ffmpeg -re -i FILE -c copy -f rtsp rtsp://127.0.0.1:8554/live/studio`.

use std::sync::Arc;
use std::time::Duration;

use sv_ingest::Next;
use sv_ingest::gateway::{Gateway, Open, Settings};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut settings = Settings::new(Open);
    settings.notice = Arc::new(|notice| println!("{notice:?}"));
    let gateway = Gateway::start(settings)?;
    let address = gateway.rtsp("127.0.0.1:8554".parse()?)?;
    println!("record to rtsp://{address}/live/studio");
    let mut feed = gateway.hub().subscribe("studio", 16 << 20);
    let (mut packets, mut bytes) = (0u64, 0usize);
    loop {
        if let Next::Item(sv_core::Item::Packet(packet)) = feed.next(Duration::from_secs(1)) {
            (packets, bytes) = (packets + 1, bytes + packet.data.len());
            if packets % 500 == 0 {
                println!("{packets} packets, {bytes} bytes");
            }
        }
    }
}
