//! The beginning of a connection: 1536 bytes each way, twice.
//!
//! The plain form is that of the [specification, 5.2](https://rtmp.veriskope.com/docs/spec/#52handshake). Flash's own
//! form hides a digest in these bytes; it is nowhere specified by its maker, and clients (FFmpeg's among them) look for it
//! where they have sent one themselves.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::{Error, Result};

const VERSION: u8 = 3;
const BLOCK: usize = 1536;
const DIGEST: usize = 32;
/// Where the four bytes stand that say where the digest is: two layouts are in use.
const LAYOUTS: [usize; 2] = [8, 772];

const CLIENT: &[u8] = b"Genuine Adobe Flash Player 001";
const SERVER: &[u8] = b"Genuine Adobe Flash Media Server 001";
/// Follows both names where a whole key is asked for. It is the same in all of Flash's programs, and no secret.
const TAIL: [u8; 32] = [
    0xF0, 0xEE, 0xC2, 0x4A, 0x80, 0x68, 0xBE, 0xE8, 0x2E, 0x00, 0xD0, 0xD1, 0x02, 0x9E, 0x7E, 0x57, 0x6E,
    0xEC, 0x5D, 0x2D, 0x29, 0x80, 0x6F, 0xAB, 0x93, 0xB8, 0xE6, 0x36, 0xCF, 0xEB, 0x31, 0xAE,
];

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; DIGEST] {
    let mut out = [0; DIGEST];
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) {
        parts.iter().for_each(|part| mac.update(part));
        out.copy_from_slice(&mac.finalize().into_bytes());
    }
    out
}

/// Where the digest of a block would be in that layout.
fn place(block: &[u8], layout: usize) -> usize {
    let sum = block.get(layout..).unwrap_or_default().iter().take(4).map(|b| usize::from(*b)).sum::<usize>();
    sum.wrapping_rem(728).saturating_add(layout).saturating_add(4)
}

/// A digest over all bytes of a block but its own.
fn digest(block: &[u8], at: usize, key: &[u8]) -> [u8; DIGEST] {
    let (before, rest) = block.split_at_checked(at).unwrap_or_default();
    mac(key, &[before, rest.get(DIGEST..).unwrap_or_default()])
}

/// The digest that a block holds, and in which layout.
fn find(block: &[u8], key: &[u8]) -> Option<(usize, [u8; DIGEST])> {
    LAYOUTS.into_iter().find_map(|layout| {
        let at = place(block, layout);
        let expected = digest(block, at, key);
        (block.get(at..)?.get(..DIGEST)? == expected).then_some((layout, expected))
    })
}

fn sign(block: &mut [u8], layout: usize, key: &[u8]) -> [u8; DIGEST] {
    let at = place(block, layout);
    let digest = digest(block, at, key);
    if let Some(place) = block.get_mut(at..).and_then(|rest| rest.get_mut(..DIGEST)) {
        place.copy_from_slice(&digest);
    }
    digest
}

/// The answer to a digest: random bytes, and a digest of them that only who knows the key can make.
fn answer(block: &mut [u8], name: &[u8], theirs: &[u8]) {
    let key = mac(&[name, &TAIL].concat(), &[theirs]);
    if let Some((random, place)) = block.split_at_mut_checked(BLOCK.saturating_sub(DIGEST)) {
        place.copy_from_slice(&mac(&key, &[random]));
    }
}

/// Bytes that nobody needs to be unable to guess: they only tell connections apart.
fn fill(block: &mut [u8], seed: u64) {
    let mut state = seed | 1;
    for byte in block {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        [*byte, ..] = state.to_be_bytes();
    }
}

/// Which side we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Server,
    Client,
}

#[derive(Debug)]
enum Step {
    /// A version and a block come.
    First,
    /// The answer to our block comes.
    Second,
    Done,
}

/// One side of a handshake.
#[derive(Debug)]
pub(super) struct Handshake {
    side: Side,
    seed: u64,
    step: Step,
    carry: Vec<u8>,
}

impl Handshake {
    /// And the bytes to begin with.
    pub(super) fn new(side: Side, seed: u64) -> (Self, Vec<u8>) {
        let hello = match side {
            Side::Server => Vec::new(),
            Side::Client => {
                let mut hello = vec![VERSION];
                let mut block = block(seed, [9, 0, 124, 2]);
                sign(&mut block, LAYOUTS[0], CLIENT);
                hello.extend_from_slice(&block);
                hello
            }
        };
        (Self { side, seed, step: Step::First, carry: Vec::new() }, hello)
    }

    pub(super) const fn is_done(&self) -> bool {
        matches!(self.step, Step::Done)
    }

    /// Takes what it needs of `input`, and gives what to send, which may be nothing.
    pub(super) fn receive(&mut self, input: &mut &[u8]) -> Result<Vec<u8>> {
        let needed = match self.step {
            Step::First => BLOCK.saturating_add(1),
            Step::Second => BLOCK,
            Step::Done => return Ok(Vec::new()),
        };
        let missing = needed.saturating_sub(self.carry.len());
        let (mine, rest) = input.split_at(missing.min(input.len()));
        self.carry.extend_from_slice(mine);
        *input = rest;
        // Another protocol is known by its first byte.
        if let (Step::First, Some(version)) = (&self.step, self.carry.first())
            && *version != VERSION
        {
            let problem = match version {
                6 => "it wants RTMPE, which nobody should rely on; use RTMPS",
                0x16 => "it begins with TLS; use the address for RTMPS",
                _ => "it is not RTMP",
            };
            return Err(Error::Malformed { what: "the handshake", problem });
        }
        if self.carry.len() < needed {
            return Ok(Vec::new());
        }
        let got = std::mem::take(&mut self.carry);
        Ok(match (&self.step, self.side) {
            (Step::First, Side::Server) => {
                self.step = Step::Second;
                self.reply(got.get(1..).unwrap_or_default())
            }
            (Step::First, Side::Client) => {
                self.step = Step::Second;
                let theirs = got.get(1..).unwrap_or_default();
                match find(theirs, SERVER) {
                    Some((_, digest)) => {
                        let mut second = vec![0; BLOCK];
                        fill(&mut second, !self.seed);
                        answer(&mut second, CLIENT, &digest);
                        second
                    }
                    None => theirs.to_vec(),
                }
            }
            _ => {
                self.step = Step::Done;
                Vec::new()
            }
        })
    }

    /// A server's answer to a client's first block.
    fn reply(&self, theirs: &[u8]) -> Vec<u8> {
        let mut out = vec![VERSION];
        // Who doesn't give a version knows nothing of digests.
        let versioned = theirs.get(4..8).is_some_and(|v| v != [0; 4]);
        match find(theirs, CLIENT).filter(|_| versioned) {
            Some((layout, digest)) => {
                let mut first = block(self.seed, [4, 0, 0, 1]);
                sign(&mut first, layout, SERVER);
                let mut second = vec![0; BLOCK];
                fill(&mut second, !self.seed);
                answer(&mut second, SERVER, &digest);
                out.extend_from_slice(&first);
                out.extend_from_slice(&second);
            }
            None => {
                out.extend_from_slice(&block(self.seed, [0; 4]));
                out.extend_from_slice(theirs);
            }
        }
        out
    }
}

fn block(seed: u64, version: [u8; 4]) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    fill(&mut block, seed);
    if let Some(head) = block.first_chunk_mut::<8>() {
        let [a, b, c, d] = version;
        *head = [0, 0, 0, 0, a, b, c, d];
    }
    block
}
