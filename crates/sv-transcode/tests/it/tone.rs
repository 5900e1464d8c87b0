//! HDR to standard range, against the formulas of the recommendations, worked out in double precision
//! for each colour, and beside FFmpeg's zscale and tonemap.

use std::process::{Command, Stdio};
use std::sync::Arc;

use sv_core::color::{ContentLight, MasteringDisplay};
use sv_core::{ColorInfo, Frame, HdrMetadata, Item, PixelFormat, Planes, VideoFrame};
use sv_testkit::{hdr, video::Pattern};
use sv_transcode::{Error, filter};

use crate::kit;

type Codes = [f64; 3];

const PQ: ColorInfo = ColorInfo { primaries: 9, transfer: 16, matrix: 9, full_range: false };
const HLG: ColorInfo = ColorInfo { transfer: 18, ..PQ };

fn standard(bits: u8, curve: filter::ToneCurve) -> filter::Video {
    let mut config = filter::Video::default();
    config.dynamic_range = filter::DynamicRange::Standard;
    config.bit_depth = Some(bits);
    config.tone_curve = curve;
    config
}

/// Metadata of a display and a film whose brightest are these, in cd/m²; 0 is unknown.
fn brightest(display: u32, film: u16) -> HdrMetadata {
    let mastering = MasteringDisplay {
        primaries: [[35_400, 14_600], [8500, 39_850], [6550, 2300]],
        white: [15_635, 16_450],
        max_luminance: display * 10_000,
        min_luminance: 1,
    };
    HdrMetadata {
        mastering: (display > 0).then_some(mastering),
        light: (film > 0).then_some(ContentLight { max_content: film, max_average: 0 }),
    }
}

/// Colours in a row of a picture, and the samples of each along both sides.
const ROW: usize = 64;
const BLOCK: usize = 8;

/// A picture of these colours, each a block.
fn picture(colors: &[[u16; 3]], color: ColorInfo, hdr: HdrMetadata) -> VideoFrame {
    let (width, height) = (ROW * BLOCK, colors.len().div_ceil(ROW) * BLOCK);
    let plane = |component: usize, block: usize| {
        let (w, h) = (width * block / BLOCK, height * block / BLOCK);
        let code =
            |i: usize| colors.get(i / w / block * ROW + i % w / block).unwrap_or(&colors[0])[component];
        ((0..w * h).flat_map(|i| code(i).to_le_bytes()).collect(), w * 2)
    };
    let planes = vec![plane(0, BLOCK), plane(1, BLOCK / 2), plane(2, BLOCK / 2)];
    let frame = Pattern::new(64, 64, kit::ratio(25, 1)).frame(0);
    let picture = Arc::new(Planes { format: PixelFormat::Yuv420p10, planes });
    VideoFrame { width: width as u32, height: height as u32, color, hdr, picture, ..frame }
}

fn filtered(frame: VideoFrame, config: &filter::Video) -> Result<VideoFrame, Error> {
    let mut pattern = Pattern::new(frame.width.max(64), frame.height.max(64), kit::ratio(25, 1));
    pattern.format = PixelFormat::Yuv420p10;
    let track = pattern.track(7);
    let (id, stages) = (track.id, vec![filter::video(&track, config)?]);
    let items = [Item::Track(Arc::new(track)), Item::Frame(id, Frame::Video(frame)), Item::End(id)];
    let found = kit::run(stages, items)?.into_iter().find_map(|item| match item {
        Item::Frame(_, Frame::Video(frame)) => Some(frame),
        _ => None,
    });
    Ok(found.expect("a picture"))
}

/// What is in the middle of each block, as codes of 10 bits.
fn read(frame: &VideoFrame, count: usize) -> Vec<Codes> {
    let deep = frame.picture.format() == PixelFormat::Yuv420p10;
    let at = |index: usize, i: usize, block: usize| {
        let plane = frame.picture.plane(index).unwrap();
        let (x, y) = (i % ROW * block + block / 2, i / ROW * block + block / 2);
        match &plane.data[y * plane.stride..][..plane.stride] {
            row if deep => f64::from(u16::from_le_bytes([row[2 * x], row[2 * x + 1]])),
            row => f64::from(row[x]) * 4.0,
        }
    };
    (0..count).map(|i| [at(0, i, BLOCK), at(1, i, BLOCK / 2), at(2, i, BLOCK / 2)]).collect()
}

fn mapped(colors: &[[u16; 3]], color: ColorInfo, hdr: HdrMetadata, config: &filter::Video) -> Vec<Codes> {
    let out = filtered(picture(colors, color, hdr), config).unwrap();
    assert_eq!((out.color, out.hdr), (ColorInfo::BT709, HdrMetadata::default()));
    read(&out, colors.len())
}

/// BT.2390-10 §5.4.1, steps 1 to 4, in the report's letters and with both blacks at zero.
fn eetf(light: f64, peak: f64) -> f64 {
    let lw = hdr::pq_signal(peak);
    let max_lum = hdr::pq_signal(hdr::WHITE) / lw;
    let ks = 1.5 * max_lum - 0.5;
    let e1 = (hdr::pq_signal(light) / lw).min(1.0);
    let t = (e1 - ks) / (1.0 - ks);
    let p = (2.0 * t.powi(3) - 3.0 * t.powi(2) + 1.0) * ks
        + (t.powi(3) - 2.0 * t.powi(2) + t) * (1.0 - ks)
        + (-2.0 * t.powi(3) + 3.0 * t.powi(2)) * max_lum;
    hdr::pq_light(if e1 < ks { e1 } else { p } * lw)
}

/// BT.1886's code of a grey.
fn grey_709(light: f64) -> f64 {
    64.0 + 876.0 * (light / hdr::WHITE).clamp(0.0, 1.0).powf(1.0 / 2.4)
}

#[test]
fn grey_is_mapped_as_the_formula_of_bt2390_says_and_stays_grey() {
    let greys: Vec<[u16; 3]> = (0..1024).map(|y| [y, 512, 512]).collect();
    let config = standard(10, filter::ToneCurve::Bt2390);
    for (metadata, peak) in [
        (brightest(0, 0), 1000.0),
        (brightest(1000, 0), 1000.0),
        (brightest(4000, 0), 4000.0),
        (brightest(10_000, 600), 600.0),
        // A number that can't be: PQ ends there.
        (brightest(400_000, 0), 10_000.0),
    ] {
        let out = mapped(&greys, PQ, metadata, &config);
        for (code, found) in out.iter().enumerate() {
            let expected = grey_709(eetf(hdr::pq([code as f64, 512.0, 512.0])[1], peak));
            assert_eq!(found[1..], [512.0, 512.0], "{code} is not grey");
            // Near black the curve bends so sharply that a table's chords miss it.
            let allowed = if code < 96 { 4.0 } else { 1.5 };
            assert!((found[0] - expected).abs() <= allowed, "{code}, peak {peak}: {found:?}, not {expected}");
        }
        assert!(out.is_sorted_by(|a, b| a[0] <= b[0]), "a brighter grey became darker");
        assert_eq!((out[0][0], out[64][0], out[1023][0]), (64.0, 64.0, 940.0));
    }
    // Nothing of HDR is darker than diffuse white, whatever its metadata say: 100 cd/m² stay.
    let out = mapped(&greys, PQ, brightest(1, 1), &config);
    assert!((out[509][0] - grey_709(100.0)).abs() < 4.0, "{:?}", out[509]);
    assert_eq!((out[64][0], out[1023][0]), (64.0, 940.0));
}

#[test]
fn known_greys_get_known_codes() {
    // Worked out apart from any program here, from BT.2390's formulas: light, then the 10-bit code at
    // peaks of 600, 1000 and 4000 cd/m².
    let known = [
        (1.0, [159.7, 159.7, 159.7]),
        (10.0, [313.9, 313.9, 313.9]),
        (50.0, [552.6, 552.6, 550.8]),
        (100.0, [716.2, 714.5, 676.2]),
        (203.0, [882.0, 855.3, 786.7]),
        (400.0, [936.8, 922.9, 865.0]),
        (600.0, [940.0, 937.0, 897.1]),
        (1000.0, [940.0, 940.0, 923.0]),
        (4000.0, [940.0, 940.0, 940.0]),
    ];
    for (column, peak) in [600, 1000, 4000].into_iter().enumerate() {
        let codes: Vec<[u16; 3]> = known
            .iter()
            .map(|(light, _)| [(64.0 + 876.0 * hdr::pq_signal(*light)).round() as u16, 512, 512])
            .collect();
        let out = mapped(&codes, PQ, brightest(peak, 0), &standard(10, filter::ToneCurve::Bt2390));
        for ((light, expected), found) in known.iter().zip(out) {
            // A code of PQ is up to 1 % of light.
            assert!((found[0] - expected[column]).abs() <= 2.5, "{light} at {peak}: {found:?}, {expected:?}");
        }
    }
}

#[test]
fn hables_curve_is_monotone_from_black_to_white() {
    let greys: Vec<[u16; 3]> = (64..=940).map(|y| [y, 512, 512]).collect();
    let out = mapped(&greys, PQ, brightest(10_000, 0), &standard(10, filter::ToneCurve::Hable));
    assert!(out.is_sorted_by(|a, b| a[0] <= b[0]));
    assert!(out.iter().all(|c| c[1..] == [512.0, 512.0]));
    assert_eq!((out[0][0], out[876][0]), (64.0, 940.0));
}

#[test]
fn diffuse_white_of_hlg_is_that_of_pq() {
    // BT.2408 table 1: 203 cd/m² is 58 % of PQ and 75 % of HLG, 26 cd/m² is 38 % of both.
    let config = standard(10, filter::ToneCurve::Bt2390);
    let code = |percent: f64| [(64.0 + 8.76 * percent).round() as u16, 512, 512];
    let pq = mapped(&[code(58.0), code(38.0)], PQ, brightest(1000, 0), &config);
    let hlg = mapped(&[code(75.0), code(38.0)], HLG, HdrMetadata::default(), &config);
    for (pq, hlg) in pq.iter().zip(&hlg) {
        assert!((pq[0] - hlg[0]).abs() <= 3.0, "{pq:?} and {hlg:?}");
        assert_eq!(hlg[1..], [512.0, 512.0]);
    }
}

/// The whole way of a colour in double precision, by the formulas and without a table.
fn reference(light: [f64; 3], peak: f64) -> [f64; 3] {
    let brightest = light.into_iter().fold(1e-9, f64::max);
    let light = light.map(|l| l * eetf(brightest, peak) / brightest);
    let [i, t, p] = hdr::itp(light);
    let inside = |saturation: f64| {
        let shown = hdr::to_709(hdr::itp_light([i, t * saturation, p * saturation]));
        shown.iter().all(|l| (-0.02..=hdr::WHITE + 0.02).contains(l))
    };
    if inside(1.0 / 0.9) {
        return light;
    }
    let limit = (0..=1111).map(|n| f64::from(n) / 1000.0).take_while(|s| inside(*s)).last().unwrap_or(0.0);
    let saturation = limit * (0.9 + 0.1 * ((1.0 / limit.max(1e-6) - 0.9) / 0.1).tanh());
    hdr::itp_light([i, t * saturation, p * saturation])
}

/// Colours that a camera or a grading desk makes: of all hues, most not near the edge of BT.2020,
/// from a tenth to a thousand cd/m².
fn colors(count: usize, seed: u64) -> Vec<[u16; 3]> {
    let mut random = sv_testkit::Rng::new(seed);
    let mut unit = || random.below(1 << 20) as f64 / f64::from(1 << 20);
    let mut one = || {
        let bright = 0.1 * 10_000_f64.powf(unit());
        let light = [unit(), unit(), unit()];
        let most = light.into_iter().fold(0.0, f64::max);
        let signal = light.map(|l| hdr::pq_signal(l / most * bright));
        hdr::codes_2020(signal).map(|c| c.round() as u16)
    };
    (0..count).map(|_| one()).collect()
}

/// Mean, 95th percentile and largest.
fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (mean, values[values.len() * 95 / 100], *values.last().unwrap())
}

#[test]
fn colours_are_those_of_the_formulas() {
    let colors = colors(4096, 1);
    // Rounding to codes alone makes differences of 0.5 and 1.7 with ten bits, and 1.4 and 3.5 with eight,
    // because a tenth of the colours is nearly black.
    for (color, bits, limits) in [(PQ, 10, (1.4, 4.5)), (PQ, 8, (2.2, 5.5)), (HLG, 10, (1.0, 3.0))] {
        let out = mapped(&colors, color, brightest(1000, 0), &standard(bits, filter::ToneCurve::Bt2390));
        let differences = colors.iter().zip(&out).map(|(from, to)| {
            let from = from.map(f64::from);
            let light = if color.is_hlg() { hdr::hlg(from) } else { hdr::pq(from) };
            hdr::delta(reference(light, 1000.0), hdr::sdr(*to))
        });
        let (mean, most, largest) = spread(differences.collect());
        println!("{color:?}, {bits} bits: ΔE ITP {mean:.2}, 95 % below {most:.2}, largest {largest:.2}");
        assert!(mean < limits.0 && most < limits.1, "ΔE ITP {mean:.2}, 95 % below {most:.2}");
    }
}

#[test]
fn hues_stay_better_than_by_clipping_channels() {
    let Some(ffmpeg) = kit::ffmpeg() else { return };
    let colors = colors(4096, 2);
    let frame = picture(&colors, PQ, brightest(1000, 0));
    let chain = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv,\
        zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,\
        tonemap=tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=limited,format=yuv420p10le";
    let size = format!("{}x{}", frame.width, frame.height);
    let mut child = Command::new(ffmpeg)
        .args(["-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-s", &size, "-i", "-"])
        .args(["-vf", chain, "-f", "rawvideo", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input: Vec<u8> = (0..3).flat_map(|i| frame.picture.plane(i).unwrap().data.to_vec()).collect();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &input).unwrap();
    let output = child.wait_with_output().unwrap();
    if !output.status.success() {
        println!("skipped: no zscale here: {}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let (w, h) = (frame.width as usize, frame.height as usize);
    let (luma, rest) = output.stdout.split_at(w * h * 2);
    let (blue, red) = rest.split_at(w * h / 2);
    let planes = vec![(luma.to_vec(), w * 2), (blue.to_vec(), w), (red.to_vec(), w)];
    let picture = Arc::new(Planes { format: PixelFormat::Yuv420p10, planes });
    let theirs = read(&VideoFrame { picture, ..frame }, colors.len());
    let ours = mapped(&colors, PQ, brightest(1000, 0), &standard(10, filter::ToneCurve::Bt2390));
    let hues = |out: &[Codes]| {
        let one =
            |(from, to): (&[u16; 3], &Codes)| hdr::delta_hue(hdr::pq(from.map(f64::from)), hdr::sdr(*to));
        spread(colors.iter().zip(out).map(one).collect())
    };
    let (ours, theirs) = (hues(&ours), hues(&theirs));
    println!("ΔE ITP of hue (mean, 95 %, largest): ours {ours:.2?}, zscale and tonemap {theirs:.2?}");
    assert!(ours.0 < theirs.0 && ours.1 < theirs.1, "ours {ours:.2?}, theirs {theirs:.2?}");
}

#[test]
fn full_range_is_read_as_such() {
    let config = standard(10, filter::ToneCurve::Bt2390);
    let full = ColorInfo { full_range: true, ..PQ };
    let out = mapped(&[[0, 512, 512], [1023, 512, 512]], full, brightest(10_000, 0), &config);
    assert_eq!(out, [[64.0, 512.0, 512.0], [940.0, 512.0, 512.0]]);
}

#[test]
fn what_is_no_hdr_is_left_alone() {
    let frame = picture(&[[300, 400, 600]], ColorInfo::BT709, HdrMetadata::default());
    let out = filtered(frame.clone(), &standard(10, filter::ToneCurve::Bt2390)).unwrap();
    assert!(Arc::ptr_eq(&frame.picture, &out.picture));
}

#[test]
fn pictures_that_are_not_what_they_say_are_refused() {
    let config = standard(8, filter::ToneCurve::Bt2390);
    let whole = picture(&[[300, 400, 600]; 640], PQ, HdrMetadata::default());
    let cut = |index: usize, len: usize| {
        let mut planes: Vec<_> =
            (0..3).map(|i| whole.picture.plane(i).unwrap()).map(|p| (p.data.to_vec(), p.stride)).collect();
        planes[index].0.truncate(len);
        VideoFrame { picture: Arc::new(Planes { format: PixelFormat::Yuv420p10, planes }), ..whole.clone() }
    };
    for frame in [cut(0, 0), cut(0, 100), cut(1, 7), cut(2, 0)] {
        assert!(matches!(filtered(frame, &config), Err(Error::Invalid(_))));
    }
    let mut planes: Vec<_> = (0..3).map(|i| (whole.picture.plane(i).unwrap().data.to_vec(), 0)).collect();
    planes[1].1 = ROW * BLOCK;
    let flat = Arc::new(Planes { format: PixelFormat::Yuv420p10, planes });
    assert!(matches!(
        filtered(VideoFrame { picture: flat, ..whole.clone() }, &config),
        Err(Error::Invalid(_))
    ));
    let constant = ColorInfo { matrix: 10, ..PQ };
    let refused = filtered(picture(&[[300, 400, 600]], constant, HdrMetadata::default()), &config);
    assert!(matches!(refused, Err(Error::Incapable { .. })));
    // Codes above ten bits are read as the highest.
    let out =
        mapped(&[[u16::MAX, u16::MAX, u16::MAX], [1023, 1023, 1023]], PQ, HdrMetadata::default(), &config);
    assert_eq!(out[0], out[1]);
}
