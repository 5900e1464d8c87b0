//! Small pictures of a whole film, many to a file, for players to show where a seek would go.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sv_core::{Frame, Item, Object, Source as _, Track, VideoFrame};
use sv_package::Tiles;
use sv_transcode::filter::Crop;
use sv_transcode::poster::Sheet;
use sv_transcode::{decode, filter};

use crate::input::Input;
use crate::title::through;
use crate::{Error, Result};

/// Their name in a presentation.
pub(crate) const NAME: &str = "thumbnails";

/// What is made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Thumbnails {
    /// How far apart. Each is the last key picture of the source at or before its moment: decoding key pictures alone
    /// is a small part of decoding all.
    pub every: Duration,
    /// How wide each is.
    pub width: u32,
    /// Columns and rows of a file.
    pub grid: (u32, u32),
}

impl Default for Thumbnails {
    /// One for each 10 seconds, 160 wide, a hundred to a file.
    fn default() -> Self {
        Self { every: Duration::from_secs(10), width: 160, grid: (10, 10) }
    }
}

/// `5`, `5,320` or `5,320,5x5`: seconds, width, columns and rows.
impl FromStr for Thumbnails {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("{text:?} isn't SECONDS[,WIDTH[,COLUMNSxROWS]]");
        let mut out = Self::default();
        let mut fields = text.split(',');
        let seconds: f64 = fields.next().unwrap_or_default().parse().map_err(|_| wrong())?;
        if !(0.1..=3600.0).contains(&seconds) {
            return Err("thumbnails are a tenth of a second to an hour apart".into());
        }
        out.every = Duration::from_millis((seconds * 1000.0) as u64);
        if let Some(width) = fields.next() {
            out.width = width.parse().map_err(|_| wrong())?;
        }
        if let Some(grid) = fields.next() {
            let (columns, rows) = grid.split_once('x').ok_or_else(wrong)?;
            out.grid = (columns.parse().map_err(|_| wrong())?, rows.parse().map_err(|_| wrong())?);
        }
        let (columns, rows) = out.grid;
        let fair =
            (16..=1920).contains(&out.width) && (1..=100).contains(&columns) && (1..=100).contains(&rows);
        if fields.next().is_some() || !fair || out.width.saturating_mul(columns) > 16_384 {
            return Err(wrong() + ", 16 to 1920 wide, and no more than 16384 in a row");
        }
        Ok(out)
    }
}

/// Makes them of a track, and gives each file to `put`. `input` is read from where it is.
pub(crate) fn make(
    mut input: Input,
    track: &Arc<Track>,
    crop: Option<Crop>,
    wanted: &Thumbnails,
    length: Duration,
    mut put: impl FnMut(Object) -> Result<()>,
) -> Result<Tiles> {
    input.select(&[track.id]);
    let mut config = filter::Video::default();
    config.crop = crop;
    config.bit_depth = Some(8);
    config.dynamic_range = filter::DynamicRange::Standard;
    let mut stages = [decode::open(track, &decode::Options::default())?, filter::video(track, &config)?];
    let mut sheets =
        Sheets { wanted, length, sheet: None, shown: None, done: 0, sizes: Vec::new(), put: &mut put };
    loop {
        let item = input.next_item()?;
        let ended = item.is_none();
        // Pictures between key pictures are not even decoded.
        let wanted = item.filter(|item| !matches!(item, Item::Packet(packet) if !packet.key));
        if !ended && wanted.is_none() {
            continue;
        }
        let mut items: Vec<Item> = wanted.into_iter().collect();
        for stage in &mut stages {
            items = through(stage, items, ended)?;
        }
        for item in items {
            if let Item::Frame(_, Frame::Video(frame)) = item {
                let at = frame.pts.to_seconds(track.time_base).max(0.0);
                sheets.picture(frame, Duration::from_secs_f64(at))?;
            }
        }
        if ended {
            return sheets.finish();
        }
    }
}

struct Sheets<'a> {
    wanted: &'a Thumbnails,
    length: Duration,
    sheet: Option<(Sheet, (u32, u32))>,
    /// The last key picture so far.
    shown: Option<VideoFrame>,
    /// Places taken, on all sheets.
    done: u32,
    sizes: Vec<u64>,
    put: &'a mut dyn FnMut(Object) -> Result<()>,
}

impl Sheets<'_> {
    /// A key picture, shown at `at`: the one before it stands for every moment until then.
    fn picture(&mut self, frame: VideoFrame, at: Duration) -> Result<()> {
        if self.shown.is_some() {
            self.fill(at)?;
        }
        self.shown = Some(frame);
        Ok(())
    }

    fn fill(&mut self, until: Duration) -> Result<()> {
        while self.wanted.every.saturating_mul(self.done) < until.min(self.length) {
            let Some(frame) = &self.shown else { return Ok(()) };
            if self.sheet.is_none() {
                let size = size(frame, self.wanted.width);
                self.sheet = Some((Sheet::new(size, self.wanted.grid)?, size));
            }
            let Some((sheet, _)) = &mut self.sheet else { return Ok(()) };
            sheet.add(frame)?;
            self.done += 1;
            if sheet.is_full() {
                self.store()?;
            }
        }
        Ok(())
    }

    fn store(&mut self) -> Result<()> {
        let Some((sheet, _)) = &mut self.sheet else { return Ok(()) };
        let jpeg = sheet.take()?;
        let path = format!("{NAME}/{}.jpg", self.sizes.len());
        self.sizes.push(jpeg.len() as u64);
        (self.put)(Object::whole(path, Tiles::CONTENT_TYPE, jpeg))
    }

    fn finish(mut self) -> Result<Tiles> {
        self.fill(self.length)?;
        let grid = self.wanted.grid;
        if !self.done.is_multiple_of(grid.0 * grid.1) {
            self.store()?;
        }
        let (_, size) = self.sheet.ok_or_else(|| {
            Error::new(sv_core::ErrorKind::Malformed, "no key picture of the source could be decoded")
        })?;
        Ok(Tiles {
            name: NAME.into(),
            size,
            grid,
            every: self.wanted.every,
            sheets: self.sizes,
            length: self.length,
        })
    }
}

/// As wide as wanted but no wider than the picture, and as high as its shape says.
fn size(frame: &VideoFrame, width: u32) -> (u32, u32) {
    let width = width.min(frame.width).max(1);
    let height = u64::from(frame.height) * u64::from(width) / u64::from(frame.width.max(1));
    (width, u32::try_from(height).unwrap_or(u32::MAX).max(1))
}
