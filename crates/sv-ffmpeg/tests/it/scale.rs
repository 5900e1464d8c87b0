//! Scaling directly against FFmpeg's own filter.

use sv_core::{Ratio, TimeBase, VideoFrame};
use sv_ffmpeg::{Filter, Scaler};
use sv_testkit::video::Pattern;

fn rows(frame: &VideoFrame) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for index in 0..3 {
        let plane = frame.picture.plane(index).unwrap();
        let half = |n: u32| if index == 0 { n as usize } else { n.div_ceil(2) as usize };
        for y in 0..half(frame.height) {
            out.push(plane.data[y * plane.stride..][..half(frame.width)].to_vec());
        }
    }
    out
}

#[test]
fn the_samples_are_those_of_the_filter() {
    let pattern = Pattern::new(322, 182, Ratio::new(25, 1).unwrap());
    for (width, height) in [(160, 90), (640, 360), (318, 240)] {
        let first = pattern.frame(0);
        let mut scaler = Scaler::new(&first, width, height).unwrap();
        let chain = format!("scale={width}:{height}:flags=bicubic,format=yuv420p");
        let mut filter = Filter::video(&chain, &first, TimeBase::new(1, 25).unwrap()).unwrap();
        // Pictures that are held keep their samples; those let go are used again.
        let mut held = Vec::new();
        for n in 0..80 {
            let frame = pattern.frame(n);
            filter.push(&frame).unwrap();
            let wanted = filter.pull().unwrap().unwrap();
            let got = scaler.scale(&frame).unwrap();
            assert!(rows(&got) == rows(&wanted), "picture {n} at {width}x{height}");
            assert_eq!((got.pts, got.width, got.height), (frame.pts, width, height));
            if n % 2 == 0 {
                held.push((got, rows(&wanted)));
            }
        }
        for (frame, wanted) in held {
            assert!(rows(&frame) == wanted, "a picture that was held has changed");
        }
    }
}
