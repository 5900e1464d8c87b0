//! Which renditions the automatic ladder makes of a picture, and why.

use sv_core::{Codec, VideoInfo};
use sv_transcode::Ladder;

fn main() {
    for (width, height, bitrate) in [(3840, 2160, None), (1280, 720, Some(1_200_000)), (640, 1136, None)] {
        let ladder = Ladder::auto(&VideoInfo::new(width, height), bitrate, &[Codec::H264]);
        println!("{width}x{height}");
        for reason in &ladder.reasons {
            println!("  {reason}");
        }
        for rung in &ladder.rungs {
            println!("  {:>6} {}x{} {} kbit/s", rung.name, rung.width, rung.height, rung.bitrate / 1000);
        }
    }
}
