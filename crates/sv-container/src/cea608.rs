//! CEA-608 captions ([CTA-608-E](https://shop.cta.tech/products/line-21-data-services); also
//! [47 CFR 79.101](https://www.ecfr.gov/current/title-47/section-79.101)) as WebVTT cues: pop-on, roll-up and
//! paint-on. Colours, italics and where in a row text stands are left out; rows keep their order.

use std::collections::BTreeMap;

use sv_core::Timestamp;

use crate::webvtt::Cue;

/// Rows and columns of the screen (79.101 (d)).
const ROWS: u8 = 15;
const COLUMNS: u8 = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    PopOn,
    RollUp(u8),
    PaintOn,
    /// Not captions but pages of text, which nobody wants over pictures.
    Text,
}

type Screen = BTreeMap<u8, BTreeMap<u8, char>>;

/// Decodes one of the four channels, CC1 to CC4.
#[derive(Debug)]
pub struct Decoder {
    second_field: bool,
    second_channel: bool,
    /// Whether what comes now is for this channel.
    ours: bool,
    last: Option<[u8; 2]>,
    mode: Option<Mode>,
    shown: Screen,
    hidden: Screen,
    row: u8,
    column: u8,
    /// Since when something is shown.
    since: Option<Timestamp>,
    cues: Vec<Cue>,
}

impl Decoder {
    /// For channel 1 to 4.
    #[must_use]
    pub fn new(channel: u8) -> Self {
        Self {
            second_field: channel > 2,
            second_channel: matches!(channel, 2 | 4),
            ours: false,
            last: None,
            mode: None,
            shown: Screen::new(),
            hidden: Screen::new(),
            row: ROWS,
            column: 0,
            since: None,
            cues: Vec::new(),
        }
    }

    /// Takes two bytes of a field, which are shown at a moment in milliseconds; moments don't fall.
    pub fn push(&mut self, at: Timestamp, second_field: bool, pair: [u8; 2]) {
        let [a, b] = pair.map(|byte| byte & 0x7F);
        if second_field != self.second_field || (a, b) == (0, 0) {
            return;
        }
        if a < 0x10 {
            // Extended data services stand between captions of the second field.
            self.ours &= a == 0;
        }
        if (0x10..0x20).contains(&a) {
            // Each code is sent twice, so that one of them arrives.
            if self.last.take() == Some([a, b]) {
                return;
            }
            self.last = Some([a, b]);
            self.ours = (a & 8 != 0) == self.second_channel;
            if self.ours {
                self.control(at, a & 0x17, b);
            }
            return;
        }
        self.last = None;
        if self.ours && a >= 0x20 {
            self.put(at, basic(a));
            if b >= 0x20 {
                self.put(at, basic(b));
            }
        }
    }

    /// The cues that have ended so far.
    pub fn take(&mut self) -> Vec<Cue> {
        std::mem::take(&mut self.cues)
    }

    /// Ends what is shown as a cue and begins the same anew: for text that is cut while it is shown.
    pub fn cut(&mut self, at: Timestamp) {
        self.close(at);
        self.open(at);
    }

    /// Ends what is shown.
    pub fn finish(&mut self, at: Timestamp) {
        self.close(at);
    }

    fn control(&mut self, at: Timestamp, a: u8, b: u8) {
        match (a, b) {
            (0x14 | 0x15, 0x20..=0x2F) => self.command(at, b),
            (0x17, 0x21..=0x23) => self.column = self.column.saturating_add(b & 3).min(COLUMNS - 1),
            (0x11, 0x20..=0x2F) => self.put(at, ' '), // a change of style takes a place
            (0x11, 0x30..=0x3F) => self.put(at, of(SPECIAL, b & 0x0F)),
            (0x12 | 0x13, 0x20..=0x3F) => {
                // They replace the character before, which is for those who don't know them.
                self.column = self.column.saturating_sub(1);
                self.put(at, of(if a == 0x12 { SPANISH_FRENCH } else { PORTUGUESE_GERMAN }, b & 0x1F));
            }
            (_, 0x40..) => self.place(a, b),
            _ => {}
        }
    }

    /// A preamble address code: row and indent.
    fn place(&mut self, a: u8, b: u8) {
        let lower = u8::from(b & 0x20 != 0);
        let upper = match a & 7 {
            1 => 1,
            2 => 3,
            3 => 12,
            4 => 14,
            5 => 5,
            6 => 7,
            _ => 9,
        };
        let row = if a & 7 == 0 { 11 } else { lower.saturating_add(upper) };
        if let Some(Mode::RollUp(_)) = self.mode
            && row != self.row
        {
            // What has been rolled up moves with its base.
            let by = i16::from(row).saturating_sub(i16::from(self.row));
            let rows = std::mem::take(&mut self.shown).into_iter();
            let moved = rows
                .filter_map(|(r, line)| Some((u8::try_from(i16::from(r).saturating_add(by)).ok()?, line)));
            self.shown = moved.collect();
        }
        self.row = row;
        self.column = if b & 0x10 == 0 { 0 } else { (b & 0x0E) << 1 };
    }

    fn command(&mut self, at: Timestamp, b: u8) {
        match b {
            0x20 => self.mode = Some(Mode::PopOn),
            0x21 => {
                self.column = self.column.saturating_sub(1);
                let (row, column) = (self.row, self.column);
                self.screen().entry(row).or_default().remove(&column);
            }
            0x24 => {
                let (row, column) = (self.row, self.column);
                self.screen().entry(row).or_default().retain(|c, _| *c < column);
            }
            0x25..=0x27 => {
                if !matches!(self.mode, Some(Mode::RollUp(_))) {
                    self.close(at);
                    self.shown.clear();
                    self.hidden.clear();
                    self.row = ROWS;
                }
                self.mode = Some(Mode::RollUp(b.saturating_sub(0x23)));
                self.column = 0;
            }
            0x29 => self.mode = Some(Mode::PaintOn),
            0x2A | 0x2B => self.mode = Some(Mode::Text),
            0x2C => {
                self.close(at);
                self.shown.clear();
            }
            0x2D => {
                let Some(Mode::RollUp(rows)) = self.mode else { return };
                self.close(at);
                let top = self.row.saturating_sub(rows).saturating_add(1);
                let up = std::mem::take(&mut self.shown).into_iter().filter(|(row, _)| *row > top);
                self.shown = up.map(|(row, line)| (row.saturating_sub(1), line)).collect();
                self.column = 0;
                self.open(at);
            }
            0x2E => self.hidden.clear(),
            0x2F => {
                self.close(at);
                std::mem::swap(&mut self.shown, &mut self.hidden);
                self.mode = Some(Mode::PopOn);
                self.open(at);
            }
            _ => {}
        }
    }

    fn screen(&mut self) -> &mut Screen {
        if self.mode == Some(Mode::PopOn) { &mut self.hidden } else { &mut self.shown }
    }

    fn put(&mut self, at: Timestamp, c: char) {
        if matches!(self.mode, None | Some(Mode::Text)) {
            return;
        }
        let (row, column) = (self.row, self.column);
        self.screen().entry(row).or_default().insert(column, c);
        self.column = column.saturating_add(1).min(COLUMNS - 1);
        if self.mode != Some(Mode::PopOn) {
            self.open(at);
        }
    }

    fn open(&mut self, at: Timestamp) {
        if self.since.is_none() && !self.text().is_empty() {
            self.since = Some(at);
        }
    }

    fn close(&mut self, at: Timestamp) {
        let text = self.text();
        if let Some(start) = self.since.take()
            && start < at
            && !text.is_empty()
        {
            self.cues.push(Cue { start, end: at, text, ..Cue::default() });
        }
    }

    fn text(&self) -> String {
        let line = |line: &BTreeMap<u8, char>| -> String {
            let (Some((first, _)), Some((last, _))) = (line.first_key_value(), line.last_key_value()) else {
                return String::new();
            };
            let whole: String =
                (*first..=*last).map(|column| line.get(&column).copied().unwrap_or(' ')).collect();
            whole.trim().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
        };
        let lines: Vec<String> = self.shown.values().map(line).filter(|line| !line.is_empty()).collect();
        lines.join("\n")
    }
}

/// Characters of one byte: ASCII, with exceptions.
fn basic(byte: u8) -> char {
    match byte {
        0x2A => 'á',
        0x5C => 'é',
        0x5E => 'í',
        0x5F => 'ó',
        0x60 => 'ú',
        0x7B => 'ç',
        0x7C => '÷',
        0x7D => 'Ñ',
        0x7E => 'ñ',
        0x7F => '█',
        other => char::from(other),
    }
}

fn of(table: &str, index: u8) -> char {
    table.chars().nth(usize::from(index)).unwrap_or(' ')
}

const SPECIAL: &str = "®°½¿™¢£♪à èâêîôû";
const SPANISH_FRENCH: &str = "ÁÉÓÚÜü‘¡*’—©℠•“”ÀÂÇÈÊËëÎÏïÔÙùÛ«»";
const PORTUGUESE_GERMAN: &str = "ÃãÍÌìÒòÕõ{}\\^_|~ÄäÖöß¥¤│ÅåØø┌┐└┘";
