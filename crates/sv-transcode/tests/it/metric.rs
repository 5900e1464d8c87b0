//! Metrics against those of FFmpeg 9.0.2 (libvmaf with the model vmaf_v0.6.1, and xpsnr), whose
//! values stand here: `METRIC_DUMP=FOLDER cargo test -p sv-transcode metric` writes the pictures
//! that they were measured on, as raw 4:2:0.

use sv_core::Ratio;
use sv_testkit::video::Pattern;
use sv_transcode::metric::{Judge, Luma, Shown};

const WIDTH: usize = 480;
const HEIGHT: usize = 270;
const FRAMES: u32 = 6;

type Harm = fn(&[u8], usize, usize) -> u8;

/// What is done to the pictures, libvmaf's mean for it, and xpsnr's value of the last picture.
const CASES: [(&str, Harm, f64, f64); 4] = [
    ("blurred", blurred, 20.755635, 22.7124),
    ("coarse", coarse, 94.493627, 27.4837),
    ("noisy", noisy, 95.327867, 27.7581),
    ("shifted", shifted, 49.904528, 22.2984),
];

fn at(p: &[u8], x: usize, y: usize) -> u32 {
    u32::from(p[y.min(HEIGHT - 1) * WIDTH + x.min(WIDTH - 1)])
}

fn blurred(p: &[u8], x: usize, y: usize) -> u8 {
    let sum: u32 = (0..3).flat_map(|j| (0..3).map(move |i| (i, j))).map(|(i, j)| at(p, x + i, y + j)).sum();
    (sum / 9) as u8
}

fn coarse(p: &[u8], x: usize, y: usize) -> u8 {
    (at(p, x, y) / 24 * 24 + 12).min(255) as u8
}

fn noisy(p: &[u8], x: usize, y: usize) -> u8 {
    let noise = (x * 7919 + y * 104_729 + x * y * 31) % 23;
    (at(p, x, y) + noise as u32).saturating_sub(11).min(255) as u8
}

fn shifted(p: &[u8], x: usize, y: usize) -> u8 {
    at(p, x + 1, y) as u8
}

fn originals() -> Vec<Vec<u8>> {
    let pattern = Pattern::new(WIDTH as u32, HEIGHT as u32, Ratio::new(25, 1).unwrap());
    (0..FRAMES)
        .map(|n| {
            let frame = pattern.frame(n);
            let plane = frame.picture.plane(0).unwrap();
            let rows = (0..HEIGHT).flat_map(|y| plane.data[y * plane.stride..][..WIDTH].iter().copied());
            // A texture of its own: the pattern has large flat areas.
            rows.enumerate().map(|(i, s)| s.saturating_add((i * i / 7 % 13) as u8)).collect()
        })
        .collect()
}

fn harmed(original: &[u8], harm: Harm) -> Vec<u8> {
    (0..WIDTH * HEIGHT).map(|i| harm(original, i % WIDTH, i / WIDTH)).collect()
}

fn luma(bytes: &[u8]) -> Luma {
    Luma { width: WIDTH, height: HEIGHT, samples: bytes.iter().map(|&b| f32::from(b)).collect() }
}

#[test]
fn the_values_are_those_of_libvmaf_and_xpsnr() {
    let originals = originals();
    if let Some(folder) = std::env::var_os("METRIC_DUMP") {
        let grey = vec![128u8; WIDTH.div_ceil(2) * HEIGHT.div_ceil(2) * 2];
        let file = |pictures: &[Vec<u8>]| -> Vec<u8> {
            pictures.iter().flat_map(|p| p.iter().chain(&grey).copied()).collect()
        };
        let folder = std::path::Path::new(&folder);
        std::fs::write(folder.join("original.yuv"), file(&originals)).unwrap();
        for (name, harm, ..) in CASES {
            let copies: Vec<Vec<u8>> = originals.iter().map(|o| harmed(o, harm)).collect();
            std::fs::write(folder.join(format!("{name}.yuv")), file(&copies)).unwrap();
        }
    }
    let lumas: Vec<Luma> = originals.iter().map(|o| luma(o)).collect();
    for (name, harm, vmaf, xpsnr) in CASES {
        let mut judge = Judge::new(25.0);
        let mut last = sv_transcode::metric::Xpsnr::new(25.0);
        let mut value = 0.0;
        for (i, original) in lumas.iter().enumerate() {
            let copy = luma(&harmed(&originals[i], harm));
            let before = i.checked_sub(1).map(|i| &lumas[i]);
            judge.add(Shown { before, original, after: lumas.get(i + 1), copy: &copy }).unwrap();
            value = last.add(original, &copy).unwrap();
        }
        let verdict = judge.verdict().unwrap();
        assert!((verdict.vmaf - vmaf).abs() < 0.2, "{name}: VMAF {} and not {vmaf}", verdict.vmaf);
        assert!((value - xpsnr).abs() < 0.1, "{name}: XPSNR {value} and not {xpsnr}");
    }
}
