//! Pictures that know their own number.

use std::sync::Arc;

use sv_core::{
    ColorInfo, Duration, HdrMetadata, Media, PixelFormat, Planes, Ratio, TimeBase, Timestamp, Track, TrackId,
    VideoFrame, VideoInfo,
};

use crate::font::glyph;

/// Blocks of the code, from left to right: white, black, 20 bits of the number from the highest
/// on, 4 bits of check, black, white.
const BLOCKS: usize = 28;
const NUMBER_BITS: usize = 20;

/// Numbers above this wrap around.
pub const MOST_FRAMES: u32 = 1 << NUMBER_BITS;

/// A moving test picture: colour bars, travelling waves, a bouncing square, the timecode and the
/// frame number in large digits, and along the bottom the number as black and white blocks.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// Width in samples, at least 64; may be odd.
    pub width: u32,
    /// Height in samples, at least 64; may be odd.
    pub height: u32,
    /// Planar 4:2:0 of 8 or 10 bits.
    pub format: PixelFormat,
    /// Frames per second: the timecode, and the times of [`frame`](Self::frame).
    pub rate: Ratio,
    /// What the pictures say about their colours; the samples are those of BT.709, studio range.
    pub color: ColorInfo,
}

impl Pattern {
    /// An 8-bit BT.709 pattern.
    ///
    /// # Panics
    /// When a side is shorter than 64 samples.
    #[must_use]
    pub fn new(width: u32, height: u32, rate: Ratio) -> Self {
        assert!(width >= 64 && height >= 64, "the code needs 64 samples");
        Self { width, height, format: PixelFormat::Yuv420p8, rate, color: ColorInfo::BT709 }
    }

    /// The time base in which frames are one tick apart.
    #[must_use]
    pub fn time_base(&self) -> TimeBase {
        TimeBase::new(self.rate.den(), self.rate.num()).unwrap_or(TimeBase::MILLIS)
    }

    /// A raw track for these pictures, as a decoder would announce it.
    #[must_use]
    pub fn track(&self, id: u32) -> Track {
        let mut info = VideoInfo::new(self.width, self.height);
        info.frame_rate = Some(self.rate);
        info.color = self.color;
        info.bit_depth = if self.format == PixelFormat::Yuv420p10 { 10 } else { 8 };
        Track {
            id: TrackId(id),
            codec: sv_core::Codec::Other("rawvideo"),
            time_base: self.time_base(),
            config: sv_core::Bytes::new(),
            media: Media::Video(info),
            language: None,
            label: None,
            default: true,
            duration: None,
            bitrate: None,
            protection: None,
        }
    }

    /// Frame `n`, one tick of [`time_base`](Self::time_base) long.
    #[must_use]
    pub fn frame(&self, n: u32) -> VideoFrame {
        self.frame_at(n, Timestamp::new(n.into()), Duration::new(1))
    }

    /// Frame `n` at another time: for variable rates.
    #[must_use]
    pub fn frame_at(&self, n: u32, pts: Timestamp, duration: Duration) -> VideoFrame {
        let mut canvas = Canvas::new(self);
        canvas.background(n);
        canvas.square(n);
        canvas.text(&self.timecode(n), 7);
        canvas.text(&format!("#{n:06}"), 10);
        canvas.code(n);
        VideoFrame {
            pts,
            duration,
            width: self.width,
            height: self.height,
            color: self.color,
            hdr: HdrMetadata::default(),
            dynamic: sv_core::color::DynamicMetadata::default(),
            picture: Arc::new(canvas.finish()),
        }
    }

    /// `HH:MM:SS:FF` of a frame, counting nominal whole frames a second.
    #[must_use]
    pub fn timecode(&self, n: u32) -> String {
        let fps = self.rate.num().div_ceil(self.rate.den()).max(1);
        let seconds = n / fps;
        format!("{:02}:{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60, n % fps)
    }
}

/// Samples of 8 bits, widened at the end where the format asks for it.
struct Canvas {
    width: usize,
    height: usize,
    planes: [Vec<u8>; 3],
    format: PixelFormat,
}

/// Y'CbCr of 75 % bars: white, yellow, cyan, green, magenta, red, blue, grey.
const BARS: [[u8; 3]; 8] = [
    [180, 128, 128],
    [168, 44, 136],
    [145, 147, 44],
    [133, 63, 52],
    [63, 193, 204],
    [51, 109, 212],
    [28, 212, 120],
    [104, 128, 128],
];

impl Canvas {
    fn new(pattern: &Pattern) -> Self {
        let (width, height) = (pattern.width as usize, pattern.height as usize);
        let chroma = width.div_ceil(2) * height.div_ceil(2);
        let planes = [vec![16; width * height], vec![128; chroma], vec![128; chroma]];
        Self { width, height, planes, format: pattern.format }
    }

    fn background(&mut self, n: u32) {
        let n = n as usize;
        let bars = |y: usize, height: usize| y < height / 3;
        for y in 0..self.height {
            for x in 0..self.width {
                let bar = BARS[(x * 8 / self.width) % 8][0];
                let wave = 44 + wave((x + 2 * y + 3 * n) / 2, 120) / 2;
                self.planes[0][y * self.width + x] = if bars(y, self.height) { bar } else { wave };
            }
        }
        let (w, h) = (self.width.div_ceil(2), self.height.div_ceil(2));
        for y in 0..h {
            for x in 0..w {
                let bar = BARS[(x * 8 / w) % 8];
                let moving = [bar[0], 132 + wave(x + n, 100) / 8, 104 + wave(y + n, 80) / 5];
                let color = if bars(y, h) { bar } else { moving };
                self.planes[1][y * w + x] = color[1];
                self.planes[2][y * w + x] = color[2];
            }
        }
    }

    fn square(&mut self, n: u32) {
        let side = self.height / 6;
        let bounce = |at: usize, room: usize| {
            let at = at % (2 * room.max(1));
            if at < room { at } else { 2 * room.max(1) - at }
        };
        let x = bounce(n as usize * 5, self.width - side);
        let y = bounce(n as usize * 3, self.height * 7 / 8 - side);
        self.fill((x, y), (side, side), [190, 60, 160]);
    }

    fn fill(&mut self, (x, y): (usize, usize), (w, h): (usize, usize), [luma, u, v]: [u8; 3]) {
        for row in y..(y + h).min(self.height) {
            let end = (x + w).min(self.width);
            self.planes[0][row * self.width + x.min(end)..row * self.width + end].fill(luma);
        }
        let (cw, ch) = (self.width.div_ceil(2), self.height.div_ceil(2));
        for row in y / 2..(y + h).div_ceil(2).min(ch) {
            let end = (x + w).div_ceil(2).min(cw);
            let range = row * cw + (x / 2).min(end)..row * cw + end;
            self.planes[1][range.clone()].fill(u);
            self.planes[2][range].fill(v);
        }
    }

    /// A centred line whose top is so many sixteenths of the height down.
    fn text(&mut self, text: &str, sixteenths: usize) {
        const BLACK: [u8; 3] = [16, 128, 128];
        const WHITE: [u8; 3] = [235, 128, 128];
        let dot = (self.width / (text.len() * 6 + 24)).min(self.height / 56).max(1);
        let (w, h) = (text.len() * 6 * dot, 7 * dot);
        let (left, top) = (self.width.saturating_sub(w) / 2, self.height * sixteenths / 16);
        let corner = (left.saturating_sub(2 * dot), top.saturating_sub(2 * dot));
        self.fill(corner, (w + 3 * dot, h + 4 * dot), BLACK);
        for (i, character) in text.chars().enumerate() {
            for (row, bits) in glyph(character).into_iter().enumerate() {
                for column in (0..5).filter(|c| bits >> (4 - c) & 1 == 1) {
                    self.fill((left + (i * 6 + column) * dot, top + row * dot), (dot, dot), WHITE);
                }
            }
        }
    }

    fn code(&mut self, n: u32) {
        for (i, white) in code_of(n).into_iter().enumerate() {
            let (from, to) = (i * self.width / BLOCKS, (i + 1) * self.width / BLOCKS);
            let top = self.height * 7 / 8;
            let level = if white { 235 } else { 16 };
            // Neutral, so that conversions to other colour spaces can't tint the blocks.
            self.fill((from, top), (to - from, self.height - top), [level, 128, 128]);
        }
    }

    fn finish(self) -> Planes {
        let strides = [self.width, self.width.div_ceil(2), self.width.div_ceil(2)];
        let wide = self.format == PixelFormat::Yuv420p10;
        let planes = self.planes.into_iter().zip(strides).map(|(plane, stride)| match wide {
            false => (plane, stride),
            true => (plane.into_iter().flat_map(|s| (u16::from(s) << 2).to_le_bytes()).collect(), stride * 2),
        });
        Planes { format: self.format, planes: planes.collect() }
    }
}

/// Up and down between 0 and `half`, which is at most 255.
fn wave(at: usize, half: usize) -> u8 {
    let at = at % (2 * half);
    (if at < half { at } else { 2 * half - at }) as u8
}

fn code_of(n: u32) -> [bool; BLOCKS] {
    let n = n % MOST_FRAMES;
    let mut blocks = [false; BLOCKS];
    (blocks[0], blocks[BLOCKS - 1]) = (true, true);
    let word = (n << 4) | check(n);
    for bit in 0..NUMBER_BITS + 4 {
        blocks[2 + bit] = word >> (NUMBER_BITS + 3 - bit) & 1 == 1;
    }
    blocks
}

/// Four bits that change with every bit of the number, and are not zero for zero.
fn check(n: u32) -> u32 {
    (0..5).fold(0b0101, |sum, i| (sum * 3 + (n >> (4 * i) & 15)) & 15)
}

/// The number that a picture carries, or `None` when it carries none or it can't be read for sure.
/// Works on any size and depth, after any decent scaling and compression.
#[must_use]
pub fn read_code(frame: &VideoFrame) -> Option<u32> {
    let bytes = match frame.picture.format() {
        PixelFormat::Yuv420p8 => 1,
        PixelFormat::Yuv420p10 => 2,
        _ => return None,
    };
    let luma = frame.picture.plane(0)?;
    let (width, height) = (frame.width as usize, frame.height as usize);
    // The middle of each block, away from blurred edges.
    let top = height * 7 / 8;
    let (from, to) = (top + (height - top) * 2 / 5, top + (height - top) * 4 / 5);
    let mut levels = [0.0f64; BLOCKS];
    for (i, level) in levels.iter_mut().enumerate() {
        let (left, right) = (i * width / BLOCKS, (i + 1) * width / BLOCKS);
        let margin = (right - left) / 4;
        let (mut sum, mut count) = (0.0, 0.0);
        for y in from..to.max(from + 1) {
            for x in left + margin..right - margin {
                let at = y * luma.stride + x * bytes;
                let value = match bytes {
                    1 => f64::from(*luma.data.get(at)?) * 4.0,
                    _ => f64::from(u16::from_le_bytes([*luma.data.get(at)?, *luma.data.get(at + 1)?])),
                };
                sum += value;
                count += 1.0;
            }
        }
        *level = sum / f64::max(count, 1.0);
    }
    let (white, black) = ((levels[0] + levels[BLOCKS - 1]) / 2.0, (levels[1] + levels[BLOCKS - 2]) / 2.0);
    if white - black < 200.0 {
        return None;
    }
    let middle = (white + black) / 2.0;
    let word = levels[2..BLOCKS - 2].iter().fold(0u32, |word, level| word << 1 | u32::from(*level > middle));
    let n = word >> 4;
    (check(n) == word & 15).then_some(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_back() {
        let rate = Ratio::new(25, 1).unwrap();
        for (w, h) in [(64, 64), (321, 181), (640, 360)] {
            let mut pattern = Pattern::new(w, h, rate);
            for n in [0, 1, 2, 24, 1023, 65_535, 1_000_000] {
                assert_eq!(read_code(&pattern.frame(n)), Some(n), "{w}x{h} {n}");
            }
            pattern.format = PixelFormat::Yuv420p10;
            assert_eq!(read_code(&pattern.frame(77)), Some(77));
        }
    }

    #[test]
    fn a_damaged_code_is_not_read() {
        let pattern = Pattern::new(320, 180, Ratio::new(25, 1).unwrap());
        let frame = pattern.frame(5);
        for block in 2..BLOCKS - 2 {
            let mut planes = frame.picture.as_any().downcast_ref::<Planes>().unwrap().clone();
            let (data, stride) = &mut planes.planes[0];
            for y in 180 * 7 / 8..180 {
                for x in block * 320 / BLOCKS..(block + 1) * 320 / BLOCKS {
                    data[y * *stride + x] = 251 - data[y * *stride + x];
                }
            }
            let damaged = VideoFrame { picture: Arc::new(planes), ..frame.clone() };
            assert_eq!(read_code(&damaged), None, "block {block}");
        }
        let grey = Planes {
            format: PixelFormat::Yuv420p8,
            planes: vec![(vec![128; 320 * 180], 320), (vec![128; 160 * 90], 160), (vec![128; 160 * 90], 160)],
        };
        assert_eq!(read_code(&VideoFrame { picture: Arc::new(grey), ..frame }), None);
    }

    #[test]
    fn timecodes_count() {
        let pattern = Pattern::new(64, 64, Ratio::new(30000, 1001).unwrap());
        assert_eq!(pattern.timecode(0), "00:00:00:00");
        assert_eq!(pattern.timecode(30 * 3661 + 7), "01:01:01:07");
    }
}
