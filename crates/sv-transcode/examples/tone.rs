//! HDR to standard range beside what FFmpeg has for it: how far colours move, and processor time.
//!
//! `tone FFMPEG [CLIP]`: FFMPEG is a program with zscale, and libplacebo where there is Vulkan (a
//! software one will do: name it by `VK_ICD_FILENAMES`). Without a clip of PQ, a sweep of all hues.
//!
//! What is printed, as ΔE ITP of BT.2124 between the source and the result, per chroma sample: the
//! part that is a change of hue, over all colours; and the whole, over those colours that standard
//! range can show as they are (inside BT.709 with a tenth to spare, up to 90 cd/m²).

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use sv_core::{ColorInfo, Frame, Item, PixelFormat, Planes, Ratio, VideoFrame};
use sv_testkit::{hdr, video::Pattern};
use sv_transcode::{cpu, filter};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const SIZE: (usize, usize) = (1920, 1080);
const FRAMES: usize = 24;
/// How a row of FFmpeg's filters begins: what raw pictures don't say.
const TAGS: &str = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (program, clip) = match &args[..] {
        [program] => (program, None),
        [program, clip] => (program, Some(clip)),
        _ => return Err("usage: tone FFMPEG [CLIP]".into()),
    };
    let folder = tempfile::tempdir()?;
    let source = folder.path().join("source.yuv");
    match clip {
        Some(clip) => {
            let filters = format!("scale={}:{},format=yuv420p10le", SIZE.0, SIZE.1);
            let count = FRAMES.to_string();
            let output = Command::new(program)
                .args([
                    "-v",
                    "error",
                    "-y",
                    "-i",
                    clip,
                    "-vf",
                    &filters,
                    "-frames:v",
                    &count,
                    "-f",
                    "rawvideo",
                ])
                .arg(&source)
                .output()?;
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).into());
            }
        }
        None => std::fs::write(&source, (0..FRAMES).flat_map(sweep).collect::<Vec<u8>>())?,
    }
    let original = std::fs::read(&source)?;
    println!("{:<34}{:>9}{:>9}{:>9}{:>9}{:>14}", "", "hue mean", "95 %", "ΔE mean", "95 %", "CPU ms/frame");
    for (name, curve) in
        [("ours, BT.2390", filter::ToneCurve::Bt2390), ("ours, Hable", filter::ToneCurve::Hable)]
    {
        let (result, setup, each) = ours(&original, curve)?;
        report(name, &original, &result, each);
        println!("{:<34}{:>50.1}", "  its table, once", millis(setup));
    }
    let zscale = format!(
        "{TAGS},zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=tonemap=hable:desat=0,\
        zscale=t=bt709:m=bt709:r=limited,format=yuv420p"
    );
    let placebo = |curve: &str| {
        format!(
            "{TAGS},libplacebo=tonemapping={curve}:peak_detect=false:colorspace=bt709:color_primaries=bt709:\
            color_trc=bt709:range=tv:format=yuv420p"
        )
    };
    let device = ["-init_hw_device", "vulkan=vk:0", "-filter_hw_device", "vk"];
    for (name, device, chain) in [
        ("zscale, tonemap=hable", &[][..], zscale),
        ("libplacebo, bt.2390", &device, placebo("bt.2390")),
        ("libplacebo, its default", &device, placebo("auto")),
    ] {
        let run = |chain: &str| theirs(program, device, chain, &source);
        match (run(&chain), run("format=yuv420p10le")) {
            (Ok((result, all)), Ok((_, idle))) => {
                report(name, &original, &result, all.saturating_sub(idle) / u32::try_from(FRAMES)?);
            }
            (Err(error), _) | (_, Err(error)) => println!("{name:<34}skipped: {error}"),
        }
    }
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// All hues across, saturation down, and from frame to frame brighter, from 2 to 1000 cd/m².
fn sweep(frame: usize) -> Vec<u8> {
    let (w, h) = (SIZE.0 / 2, SIZE.1 / 2);
    let bright = 2.0 * 500_f64.powf(frame as f64 / (FRAMES - 1) as f64);
    let mut planes = [vec![0; w * h * 8], vec![0; w * h * 2], vec![0; w * h * 2]];
    for y in 0..h {
        for x in 0..w {
            let (hue, saturation) = (x as f64 / w as f64, y as f64 / h as f64);
            // Red, green and blue around the wheel, the brightest always at the top.
            let light = [0.0, 2.0, 4.0].map(|shift: f64| {
                let ramp = ((hue * 6.0 + shift) % 6.0 - 3.0).abs() - 1.0;
                bright * (1.0 - saturation * (1.0 - ramp.clamp(0.0, 1.0)))
            });
            let codes = hdr::codes_2020(light.map(hdr::pq_signal)).map(|c| (c.round() as u16).to_le_bytes());
            for at in [(2 * y, 2 * x), (2 * y, 2 * x + 1), (2 * y + 1, 2 * x), (2 * y + 1, 2 * x + 1)] {
                planes[0][(at.0 * SIZE.0 + at.1) * 2..][..2].copy_from_slice(&codes[0]);
            }
            planes[1][(y * w + x) * 2..][..2].copy_from_slice(&codes[1]);
            planes[2][(y * w + x) * 2..][..2].copy_from_slice(&codes[2]);
        }
    }
    planes.concat()
}

/// Our pictures, the time for the first less that for others, and the time for each.
fn ours(original: &[u8], curve: filter::ToneCurve) -> Result<(Vec<u8>, Duration, Duration)> {
    let mut pattern = Pattern::new(SIZE.0 as u32, SIZE.1 as u32, Ratio::new(24, 1).ok_or("a rate")?);
    pattern.format = PixelFormat::Yuv420p10;
    let track = pattern.track(1);
    let mut config = filter::Video::default();
    config.dynamic_range = filter::DynamicRange::Standard;
    config.tone_curve = curve;
    let mut stage = filter::video(&track, &config)?;
    let (mut times, mut result) = (Vec::new(), Vec::new());
    let template = pattern.frame(0);
    for bytes in original.chunks_exact(SIZE.0 * SIZE.1 * 3) {
        let (luma, chroma) = bytes.split_at(SIZE.0 * SIZE.1 * 2);
        let (blue, red) = chroma.split_at(chroma.len() / 2);
        let planes = vec![(luma.to_vec(), SIZE.0 * 2), (blue.to_vec(), SIZE.0), (red.to_vec(), SIZE.0)];
        let frame = VideoFrame {
            color: ColorInfo { primaries: 9, transfer: 16, matrix: 9, full_range: false },
            picture: Arc::new(Planes { format: PixelFormat::Yuv420p10, planes }),
            ..template.clone()
        };
        let before = cpu::spent_here();
        stage.push(Item::Frame(track.id, Frame::Video(frame)))?;
        times.push(cpu::spent_here() - before);
        while let Some(item) = stage.pull()? {
            let Item::Frame(_, Frame::Video(frame)) = item else { continue };
            result.extend((0..3).filter_map(|i| frame.picture.plane(i)).flat_map(|p| p.data.iter().copied()));
        }
    }
    let first = times.remove(0);
    let each = times.iter().sum::<Duration>() / u32::try_from(times.len())?;
    Ok((result, first.saturating_sub(each), each))
}

/// FFmpeg's pictures, and its time for all of them with reading and writing.
fn theirs(
    program: &str,
    device: &[&str],
    chain: &str,
    source: &std::path::Path,
) -> Result<(Vec<u8>, Duration)> {
    let size = format!("{}x{}", SIZE.0, SIZE.1);
    let result = source.with_extension("out");
    let output = Command::new(program)
        .args(["-hide_banner", "-nostats", "-benchmark", "-y"])
        .args(device)
        .args(["-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-s", &size, "-i"])
        .arg(source)
        .args(["-vf", chain, "-f", "rawvideo"])
        .arg(&result)
        .env("AV_LOG_FORCE_NOCOLOR", "1")
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(said.lines().last().unwrap_or("no reason").into());
    }
    // "bench: utime=1.234s stime=0.567s rtime=0.890s"
    let second = |key: &str| said.split_once(key)?.1.split_once('s')?.0.parse::<f64>().ok();
    let time = second("utime=").zip(second("stime=")).map(|(user, system)| user + system);
    Ok((std::fs::read(result)?, Duration::from_secs_f64(time.ok_or("no time in FFmpeg's report")?)))
}

/// The light of each chroma sample with the mean luma of its four.
fn lights<'a>(
    picture: &'a [u8],
    code: impl Fn(&[u8], usize) -> f64 + 'a,
    light: impl Fn([f64; 3]) -> [f64; 3] + 'a,
) -> impl Iterator<Item = [f64; 3]> + 'a {
    let (w, h) = SIZE;
    (0..w * h / 4).map(move |i| {
        let (x, y) = (i % (w / 2) * 2, i / (w / 2) * 2);
        let luma = [(y, x), (y, x + 1), (y + 1, x), (y + 1, x + 1)].map(|(y, x)| code(picture, y * w + x));
        light([luma.iter().sum::<f64>() / 4.0, code(picture, w * h + i), code(picture, w * h * 5 / 4 + i)])
    })
}

fn report(name: &str, original: &[u8], result: &[u8], each: Duration) {
    let (mut hues, mut all) = (Vec::new(), Vec::new());
    let samples = SIZE.0 * SIZE.1 * 3 / 2;
    for (from, to) in original.chunks_exact(samples * 2).zip(result.chunks_exact(samples)).step_by(3) {
        let from = lights(from, |p, i| f64::from(u16::from_le_bytes([p[2 * i], p[2 * i + 1]])), hdr::pq);
        let to = lights(to, |p, i| f64::from(p[i]) * 4.0, hdr::sdr);
        // Every seventh colour is enough of them.
        for (from, to) in from.zip(to).step_by(7) {
            hues.push(hdr::delta_hue(from, to));
            let [r, g, b] = hdr::to_709(from);
            let (low, high) = (r.min(g).min(b), r.max(g).max(b));
            if low > high / 10.0 && high < 90.0 {
                all.push(hdr::delta(from, to));
            }
        }
    }
    let spread = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        let most = values.get(values.len() * 95 / 100).copied().unwrap_or_default();
        (values.iter().sum::<f64>() / values.len().max(1) as f64, most)
    };
    let ((hue, hue_most), (mean, most)) = (spread(&mut hues), spread(&mut all));
    println!("{name:<34}{hue:>9.2}{hue_most:>9.2}{mean:>9.2}{most:>9.2}{:>14.1}", millis(each));
}
