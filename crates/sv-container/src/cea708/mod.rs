//! CEA-708 captions ([CTA-708-E](https://shop.cta.tech/products/digital-television-dtv-closed-captioning); also
//! [47 CFR 79.102](https://www.ecfr.gov/current/title-47/section-79.102)) as WebVTT cues. A cue is what one window
//! shows for some time: windows that pop on and off, roll up and are painted. Colours, italics and where in a row text
//! stands are left out; a window in the upper half of the screen says so by its line.

mod code;
mod window;

use std::collections::{BTreeMap, VecDeque};

use sv_core::Timestamp;

use crate::webvtt::Cue;
use code::{Act, Code};
use window::Window;

/// Codes that a service holds back during a delay (79.102 (c): the input buffer).
const HELD: usize = 128;

/// Decodes all services, 1 to 63.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The packet that is being collected, without its head.
    packet: Vec<u8>,
    /// How many bytes it will have.
    size: usize,
    sequence: Option<u8>,
    services: BTreeMap<u8, Service>,
    cues: Vec<(u8, Cue)>,
}

impl Decoder {
    /// One that has heard nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes two bytes, which are shown at a moment in milliseconds; moments don't fall. `start` is said of the first
    /// bytes of a packet.
    pub fn push(&mut self, at: Timestamp, start: bool, pair: [u8; 2]) {
        let [head, second] = pair;
        if start {
            // What is missing of the last packet doesn't come any more.
            self.packet(at);
            let (sequence, code) = (head >> 6, head & 0x3F);
            // Some encoders don't count.
            let next = |last: u8| sequence == last || sequence == last.wrapping_add(1) & 3;
            if self.sequence.is_some_and(|last| !next(last)) {
                self.services.values_mut().for_each(|service| service.reset(at));
            }
            self.sequence = Some(sequence);
            self.size = if code == 0 { 127 } else { usize::from(code).saturating_mul(2).saturating_sub(1) };
            self.packet.push(second);
        } else if self.size > 0 {
            self.packet.push(head);
            self.packet.push(second);
        }
        if self.size > 0 && self.packet.len() >= self.size {
            self.packet.truncate(self.size);
            self.packet(at);
        }
    }

    /// The cues that have ended so far, each with the number of its service; those of several windows may overlap.
    pub fn take(&mut self) -> Vec<(u8, Cue)> {
        for (number, service) in &mut self.services {
            self.cues.extend(service.cues.drain(..).map(|cue| (*number, cue)));
        }
        std::mem::take(&mut self.cues)
    }

    /// The services that have been heard of so far.
    pub fn services(&self) -> impl Iterator<Item = u8> {
        self.services.keys().copied()
    }

    /// Ends what is shown.
    pub fn finish(&mut self, at: Timestamp) {
        self.packet(at);
        for service in self.services.values_mut() {
            service.release(at, true);
            service.reset(at);
        }
    }

    /// The blocks of services that the packet has (CTA-708, 6).
    fn packet(&mut self, at: Timestamp) {
        self.size = 0;
        let packet = std::mem::take(&mut self.packet);
        let mut rest = packet.as_slice();
        while let [head, after @ ..] = rest {
            let size = usize::from(head & 0x1F);
            let (number, after) = match (head >> 5, after) {
                (7, [more, after @ ..]) if size > 0 => (more & 0x3F, after),
                (number, after) => (number, after),
            };
            let Some((block, after)) = after.split_at_checked(size) else { break };
            rest = after;
            // Service 0 fills packets.
            if number > 0 && !block.is_empty() {
                self.services.entry(number).or_default().block(at, block);
            }
        }
        self.packet = packet;
        self.packet.clear();
    }
}

#[derive(Debug, Default)]
struct Service {
    windows: [Option<Window>; 8],
    /// Which of them text is for.
    current: u8,
    /// What waits for the end of a delay.
    held: VecDeque<Code>,
    until: Option<Timestamp>,
    cues: Vec<Cue>,
}

impl Service {
    fn block(&mut self, at: Timestamp, mut bytes: &[u8]) {
        self.release(at, false);
        while let Some(code) = code::next(&mut bytes) {
            match code {
                Code::Nothing => {}
                Code::Undelay => self.release(at, true),
                // Also what waits is forgotten.
                Code::Reset => self.reset(at),
                code if self.until.is_some() => {
                    self.held.push_back(code);
                    if self.held.len() > HELD {
                        self.release(at, true);
                    }
                }
                code => self.run(at, code),
            }
        }
    }

    /// Does what was held back until now; all of it, where a delay is over in any case.
    fn release(&mut self, at: Timestamp, all: bool) {
        while let Some(until) = self.until.filter(|until| all || *until <= at) {
            self.until = None;
            while self.until.is_none()
                && let Some(code) = self.held.pop_front()
            {
                self.run(until.min(at), code);
            }
        }
    }

    fn reset(&mut self, at: Timestamp) {
        self.held.clear();
        self.until = None;
        self.act(at, Act::Delete, 0xFF);
        self.current = 0;
    }

    fn run(&mut self, at: Timestamp, code: Code) {
        match code {
            Code::Current(number) => self.current = number,
            Code::Windows(act, which) => self.act(at, act, which),
            Code::Define(number, definition) => {
                self.current = number;
                let Some(place) = self.windows.get_mut(usize::from(number)) else { return };
                match place {
                    Some(window) => window.define(at, definition, &mut self.cues),
                    None => *place = Some(Window::new(definition)),
                }
            }
            Code::Delay(tenths) => {
                let more = i64::from(tenths).saturating_mul(100);
                self.until = (more > 0).then(|| at.offset(more));
            }
            code => {
                let current = self.windows.get_mut(usize::from(self.current)).and_then(Option::as_mut);
                if let Some(window) = current {
                    window.run(at, code, &mut self.cues);
                }
            }
        }
    }

    fn act(&mut self, at: Timestamp, act: Act, which: u8) {
        for (number, place) in (0u32..).zip(&mut self.windows) {
            let Some(window) = place.as_mut().filter(|_| which.wrapping_shr(number) & 1 == 1) else {
                continue;
            };
            match act {
                Act::Clear => window.clear(at, &mut self.cues),
                Act::Display => window.show(at, true, &mut self.cues),
                Act::Hide => window.show(at, false, &mut self.cues),
                Act::Toggle => window.show(at, !window.is_shown(), &mut self.cues),
                Act::Delete => {
                    window.show(at, false, &mut self.cues);
                    *place = None;
                }
            }
        }
    }
}
