//! Small pictures of the whole film, many to a file, to find a place by.
//!
//! DASH: [DASH-IF IOP 4.3, 6.2.6](https://dashif.org/docs/DASH-IF-IOP-v4.3.pdf), an adaptation set of images. HLS: the
//! [image media playlist](https://github.com/image-media-playlist/spec) that Roku and Shaka Player read. And a file
//! of WebVTT whose cues name parts of the files, which most players' skins read.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Sheets of small pictures: `NAME/0.jpg` and so on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tiles {
    /// Their name, and that of their folder.
    pub name: String,
    /// Width and height of each small picture.
    pub size: (u32, u32),
    /// Columns and rows of a sheet.
    pub grid: (u32, u32),
    /// How long each small picture stands for.
    pub every: Duration,
    /// Bytes of each sheet, in order.
    pub sheets: Vec<u64>,
    /// How long the film is.
    pub length: Duration,
}

impl Tiles {
    /// The media type of a sheet.
    pub const CONTENT_TYPE: &str = "image/jpeg";

    /// Where sheet `number` is stored.
    #[must_use]
    pub fn path(&self, number: usize) -> String {
        format!("{}/{number}.jpg", self.name)
    }

    /// Small pictures on a sheet.
    #[must_use]
    pub fn per_sheet(&self) -> u32 {
        self.grid.0.saturating_mul(self.grid.1).max(1)
    }

    /// How long a whole sheet stands for.
    #[must_use]
    pub fn sheet_length(&self) -> Duration {
        self.every.saturating_mul(self.per_sheet())
    }

    /// Bits per second, as if sheets were segments.
    #[must_use]
    pub fn bandwidth(&self) -> u64 {
        let largest = self.sheets.iter().copied().max().unwrap_or(0);
        let millis = self.sheet_length().min(self.length).as_millis().max(1);
        u64::try_from(u128::from(largest).saturating_mul(8000).checked_div(millis).unwrap_or(0))
            .unwrap_or(u64::MAX)
            .max(1)
    }

    /// `(sheet, left, top, begins, ends)` of each small picture.
    fn places(&self) -> impl Iterator<Item = (usize, u32, u32, Duration, Duration)> + '_ {
        let count = self.sheets.len().saturating_mul(usize::try_from(self.per_sheet()).unwrap_or(1));
        (0..u32::try_from(count).unwrap_or(u32::MAX)).map_while(move |index| {
            let begins = self.every.saturating_mul(index);
            if begins >= self.length {
                return None;
            }
            let on_sheet = index.checked_rem(self.per_sheet())?;
            let sheet = usize::try_from(index.checked_div(self.per_sheet())?).ok()?;
            let left = on_sheet.checked_rem(self.grid.0)?.saturating_mul(self.size.0);
            let top = on_sheet.checked_div(self.grid.0)?.saturating_mul(self.size.1);
            Some((sheet, left, top, begins, begins.saturating_add(self.every).min(self.length)))
        })
    }

    /// A file of WebVTT: each cue is the address of a small picture, as a part of a sheet
    /// ([media fragments](https://www.w3.org/TR/media-frags/#naming-space)).
    #[must_use]
    pub fn webvtt(&self) -> String {
        let mut out = String::from("WEBVTT\n");
        for (sheet, left, top, begins, ends) in self.places() {
            let (width, height) = self.size;
            let _ = write!(
                out,
                "\n{} --> {}\n{}#xywh={left},{top},{width},{height}\n",
                clock(begins),
                clock(ends),
                self.path(sheet)
            );
        }
        out
    }
}

fn clock(at: Duration) -> String {
    let seconds = at.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}", seconds % 60, at.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cues_end_with_the_film() {
        let tiles = Tiles {
            name: "thumbnails".into(),
            size: (160, 90),
            grid: (2, 2),
            every: Duration::from_secs(5),
            sheets: vec![100, 50],
            length: Duration::from_millis(22_500),
        };
        let text = tiles.webvtt();
        let cues: Vec<_> = text.split("\n\n").skip(1).map(|cue| cue.trim_end()).collect();
        assert_eq!(cues.len(), 5);
        assert_eq!(cues[3], "00:00:15.000 --> 00:00:20.000\nthumbnails/0.jpg#xywh=160,90,160,90");
        assert_eq!(cues[4], "00:00:20.000 --> 00:00:22.500\nthumbnails/1.jpg#xywh=0,0,160,90");
        assert_eq!(tiles.bandwidth(), 40);
    }
}
