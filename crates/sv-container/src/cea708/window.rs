//! A window: where text is put, and since when it is shown.

use std::collections::BTreeMap;

use sv_core::Timestamp;

use super::code::Code;
use crate::webvtt::Cue;

/// A row has fewer columns than this; what goes beyond a window's own is kept, as a cue has room.
const COLUMNS: u8 = 64;

#[derive(Debug)]
pub(super) struct Window {
    definition: [u8; 6],
    shown: bool,
    rows: u8,
    /// Whether rows move down when there is no room.
    down: bool,
    text: BTreeMap<u8, BTreeMap<u8, char>>,
    row: u8,
    column: u8,
    /// Since when something is shown.
    since: Option<Timestamp>,
}

impl Window {
    pub(super) fn new(definition: [u8; 6]) -> Self {
        let mut window = Self {
            definition: [0; 6],
            shown: false,
            rows: 1,
            down: false,
            text: BTreeMap::new(),
            row: 0,
            column: 0,
            since: None,
        };
        window.take(definition);
        window
    }

    /// Defines it once more; said again and again for those who join, which changes nothing (CTA-708, 8.4.7).
    pub(super) fn define(&mut self, at: Timestamp, definition: [u8; 6], cues: &mut Vec<Cue>) {
        if definition != self.definition {
            self.close(at, cues);
            self.take(definition);
            self.open(at);
        }
    }

    fn take(&mut self, definition: [u8; 6]) {
        let [flags, _, _, rows, _, styles] = definition;
        self.definition = definition;
        self.shown = flags & 0x20 != 0;
        self.rows = (rows & 15).saturating_add(1);
        self.text.retain(|row, _| *row < self.rows);
        self.row = self.row.min(self.rows.saturating_sub(1));
        // Every window style that there is moves text up, or sideways.
        self.down &= styles & 0x38 == 0;
    }

    pub(super) const fn is_shown(&self) -> bool {
        self.shown
    }

    pub(super) fn show(&mut self, at: Timestamp, shown: bool, cues: &mut Vec<Cue>) {
        if self.shown != shown {
            self.close(at, cues);
            self.shown = shown;
            self.open(at);
        }
    }

    pub(super) fn clear(&mut self, at: Timestamp, cues: &mut Vec<Cue>) {
        self.close(at, cues);
        self.text.clear();
    }

    pub(super) fn run(&mut self, at: Timestamp, code: Code, cues: &mut Vec<Cue>) {
        match code {
            Code::Put(character) => self.put(at, character),
            Code::Icon => "[CC]".chars().for_each(|character| self.put(at, character)),
            Code::Back => {
                self.column = self.column.saturating_sub(1);
                self.text.entry(self.row).or_default().remove(&self.column);
            }
            Code::Empty => {
                self.clear(at, cues);
                (self.row, self.column) = (0, 0);
            }
            Code::EmptyRow => {
                self.close(at, cues);
                self.text.remove(&self.row);
                self.column = 0;
                self.open(at);
            }
            Code::NewLine => {
                self.close(at, cues);
                self.new_line();
                self.open(at);
            }
            Code::Pen { row, column } => {
                (self.row, self.column) = (row.min(self.rows.saturating_sub(1)), column);
            }
            // The direction in which text moves (8.4.8): up and down are told apart.
            Code::Attributes([_, _, third, _]) => self.down = third & 0x0C == 0x08,
            _ => {}
        }
    }

    fn put(&mut self, at: Timestamp, character: char) {
        self.text.entry(self.row).or_default().insert(self.column, character);
        self.column = self.column.saturating_add(1).min(COLUMNS.saturating_sub(1));
        self.open(at);
    }

    fn new_line(&mut self) {
        self.column = 0;
        let last = self.rows.saturating_sub(1);
        match (self.down, self.row) {
            (false, row) if row < last => self.row = row.saturating_add(1),
            (true, row) if row > 0 => self.row = row.saturating_sub(1),
            (false, _) => {
                let up = std::mem::take(&mut self.text).into_iter();
                self.text = up.filter_map(|(row, line)| Some((row.checked_sub(1)?, line))).collect();
            }
            (true, _) => {
                let down = std::mem::take(&mut self.text).into_iter().filter(|(row, _)| *row < last);
                self.text = down.map(|(row, line)| (row.saturating_add(1), line)).collect();
            }
        }
    }

    fn open(&mut self, at: Timestamp) {
        if self.shown && self.since.is_none() && !self.lines().is_empty() {
            self.since = Some(at);
        }
    }

    fn close(&mut self, at: Timestamp, cues: &mut Vec<Cue>) {
        if let Some(start) = self.since.take().filter(|start| *start < at) {
            let text = self.lines();
            if !text.is_empty() {
                cues.push(Cue { start, end: at, text, settings: self.settings(), ..Cue::default() });
            }
        }
    }

    fn lines(&self) -> String {
        let line = |line: &BTreeMap<u8, char>| -> String {
            let (Some((first, _)), Some((last, _))) = (line.first_key_value(), line.last_key_value()) else {
                return String::new();
            };
            let whole: String =
                (*first..=*last).map(|column| line.get(&column).copied().unwrap_or(' ')).collect();
            whole.trim().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
        };
        let lines: Vec<String> = self.text.values().map(line).filter(|line| !line.is_empty()).collect();
        lines.join("\n")
    }

    /// Where it stands, if that is in the upper half: players put text at the bottom by themselves.
    fn settings(&self) -> String {
        let [_, vertical, _, anchor, ..] = self.definition;
        let at = u16::from(vertical & 0x7F);
        // In hundredths of the screen, or rows of 75 (8.4.3).
        let at = if vertical & 0x80 == 0 { at.saturating_mul(4).wrapping_div(3) } else { at };
        // Fifteen rows of a usual size fill the screen.
        let height = u16::from(self.rows).saturating_mul(20).wrapping_div(3);
        // What of it stands at that place: its top, its middle or its bottom.
        let top = match anchor >> 4 {
            0..=2 => at,
            3..=5 => at.saturating_sub(height.wrapping_div(2)),
            _ => at.saturating_sub(height),
        };
        if top.saturating_add(height) <= 50 { format!("line:{top}%") } else { String::new() }
    }
}
