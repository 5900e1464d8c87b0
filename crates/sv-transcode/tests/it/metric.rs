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

/// SSIMULACRA2 itself is the crate's; what is ours is red, green and blue of the pictures: with those that
/// FFmpeg makes of the same pictures, the score is the same.
#[test]
#[cfg(feature = "ssimulacra2")]
fn colours_are_those_of_ffmpeg() {
    use fast_ssim2::{PixelDescriptor, PixelSlice, compute_ssimulacra2};
    use sv_core::VideoFrame;

    let Some(ffmpeg) = sv_testkit::tool("ffmpeg") else { return };
    let dir = tempfile::tempdir().unwrap();
    let pattern = Pattern::new(WIDTH as u32, HEIGHT as u32 - HEIGHT as u32 % 2, Ratio::new(25, 1).unwrap());
    let frames = [pattern.frame(0), pattern.frame(1)];
    let rgb = frames.each_ref().map(|frame: &VideoFrame| {
        let mut raw = Vec::new();
        for index in 0..3 {
            let plane = frame.picture.plane(index).unwrap();
            let (w, h) = match index {
                0 => (frame.width as usize, frame.height as usize),
                _ => (frame.width as usize / 2, frame.height as usize / 2),
            };
            (0..h).for_each(|y| raw.extend_from_slice(&plane.data[y * plane.stride..][..w]));
        }
        let path = dir.path().join("picture.yuv");
        std::fs::write(&path, raw).unwrap();
        let size = format!("{}x{}", frame.width, frame.height);
        let made = std::process::Command::new(&ffmpeg)
            .args(["-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", &size, "-i"])
            .arg(&path)
            .args(["-vf", "scale=flags=neighbor+accurate_rnd+full_chroma_int", "-pix_fmt", "rgb24"])
            .args(["-f", "rawvideo", "-"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        made.stdout
    });
    let (w, h) = (frames[0].width, frames[0].height);
    let [a, b] = rgb
        .each_ref()
        .map(|rgb| PixelSlice::new(rgb, w, h, w as usize * 3, PixelDescriptor::RGB8_SRGB).unwrap());
    let theirs = compute_ssimulacra2(&a, &b).unwrap();
    let ours = sv_transcode::metric::ssimulacra2(&frames[0], &frames[1]).unwrap();
    assert!(theirs < 99.0, "the pictures differ: {theirs}");
    assert!((ours - theirs).abs() < 0.2, "{ours} and not {theirs}");
}
