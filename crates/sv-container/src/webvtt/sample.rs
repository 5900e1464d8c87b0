//! WebVTT in MP4: what a `wvtt` sample holds
//! ([ISO/IEC 14496-30](https://www.iso.org/standard/75394.html), 7.4).

use bytes::{BufMut, Bytes, BytesMut};
use sv_codec::Reader;

use super::Cue;
use crate::num::{u32_of, usize_of};

/// The sample that shows these cues; the empty one (`vtte`) of none.
#[must_use]
pub fn build<'a>(cues: impl IntoIterator<Item = &'a Cue>) -> Bytes {
    let mut out = BytesMut::new();
    for cue in cues {
        write(&mut out, cue.id.as_deref().unwrap_or_default(), &cue.settings, cue.text.as_bytes());
    }
    finish(out)
}

/// A cue as a packet carries it: its text, or its `vttc` box where it has more than that. The two can't
/// be taken for each other, since text holds no zero bytes.
#[must_use]
pub fn payload(cue: &Cue) -> Bytes {
    if cue.id.is_none() && cue.settings.is_empty() { Bytes::from(cue.text.clone()) } else { build([cue]) }
}

/// The cue that a packet carries, without its times.
#[must_use]
pub fn cue(payload: &[u8]) -> Cue {
    let boxed = if is_boxed(payload) { parse(payload).pop() } else { None };
    boxed.unwrap_or_else(|| Cue { text: String::from_utf8_lossy(payload).into_owned(), ..Cue::default() })
}

fn is_boxed(payload: &[u8]) -> bool {
    matches!(payload, [0, _, _, _, b'v', b't', b't', b'c', ..])
}

/// As [`build`], of what packets carry.
pub(crate) fn of_payloads<'a>(payloads: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut out = BytesMut::new();
    for payload in payloads {
        if is_boxed(payload) {
            out.put_slice(payload);
        } else {
            write(&mut out, "", "", payload);
        }
    }
    finish(out)
}

fn finish(mut out: BytesMut) -> Bytes {
    if out.is_empty() {
        boxed(&mut out, b"vtte", &[]);
    }
    out.freeze()
}

fn write(out: &mut BytesMut, id: &str, settings: &str, text: &[u8]) {
    let mut body = BytesMut::new();
    if !id.is_empty() {
        boxed(&mut body, b"iden", id.as_bytes());
    }
    if !settings.is_empty() {
        boxed(&mut body, b"sttg", settings.as_bytes());
    }
    boxed(&mut body, b"payl", text);
    boxed(out, b"vttc", &body);
}

fn boxed(out: &mut BytesMut, kind: &[u8; 4], body: &[u8]) {
    out.put_u32(u32_of(body.len().saturating_add(8)));
    out.put_slice(kind);
    out.put_slice(body);
}

/// The cues that a sample shows; none for a gap. Their times are those of the sample, which is not
/// known here: they are zero. A broken sample shows what comes before its break.
#[must_use]
pub fn parse(sample: &[u8]) -> Vec<Cue> {
    let mut out = Vec::new();
    for (kind, body) in boxes(sample) {
        if &kind != b"vttc" {
            continue;
        }
        let mut cue = Cue::default();
        for (kind, body) in boxes(body) {
            let text = String::from_utf8_lossy(body).into_owned();
            match &kind {
                b"iden" => cue.id = Some(text),
                b"sttg" => cue.settings = text,
                b"payl" => cue.text = text,
                _ => {}
            }
        }
        out.push(cue);
    }
    out
}

fn boxes(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut r = Reader::new("the WebVTT sample", bytes);
    std::iter::from_fn(move || {
        let size = usize_of(r.u32().ok()?).checked_sub(8)?;
        let kind = r.array().ok()?;
        Some((kind, r.take(size).ok()?))
    })
}
