//! One stored title that is open: its tables, and what it offers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sv_container::mp4;
use sv_core::{
    Bytes, Codec, ErrorKind, Grid, Item, Limits, ReadAt, Scheme, Segment, Stage as _, TimeBase, Timestamp,
    TrackKind,
};
use sv_drm::{aes128, cenc};
use sv_package::origin::{Member, Offer, Piece, Request, Table, Wanted};
use sv_package::{Form, dash, hls};

use super::words::{self, Words};
use super::{Answer, Settings, stock};
use crate::names::Names;
use crate::vod::Encryption;
use crate::{Error, Result};

/// Most samples of one file: 128 MiB of tables, which is 19 hours at 60 pictures a second.
const MOST_SAMPLES: usize = 4 << 20;

/// A title as its files are.
pub(super) struct Stored {
    /// Of everything that decides the bytes.
    pub(super) print: [u8; 32],
    readers: Vec<Arc<dyn ReadAt>>,
    forms: Vec<Shape>,
    tables: usize,
    /// How long segments are meant to be.
    segment: Duration,
}

/// What is offered in one form.
struct Shape {
    form: Form,
    /// Why there is none.
    offer: Result<Offer, String>,
    encryption: Option<Encryption>,
}

impl Stored {
    /// Reads the tables of all files. `stamp` is what tells these files from others.
    pub(super) fn open(
        name: &str,
        path: &Path,
        stamp: &str,
        settings: &Settings,
        encryption: Option<Vec<Encryption>>,
    ) -> Result<Self> {
        let stock = stock::open(path)?;
        let mut members = Vec::new();
        let (mut names, mut texts) = (Names::default(), Vec::new());
        for (source, stored) in stock.sources.iter().enumerate() {
            let (tables, words) = tables(source, stored, &mut names)?;
            members.extend(tables);
            texts.extend(words);
        }
        if members.is_empty() {
            let message = "there is neither clear video nor clear audio in it that HLS or DASH could name";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let begin = members.iter().filter_map(|m| {
            let first = m.table.samples.first()?;
            Some(
                Timestamp::new(first.pts())
                    .rescale(m.table.track.time_base, TimeBase::NANOS)
                    .max(Timestamp::ZERO),
            )
        });
        let begin = begin.min().unwrap_or(Timestamp::ZERO);
        for member in members.iter_mut().filter(|_| begin > Timestamp::ZERO) {
            let base = member.table.track.time_base;
            Arc::make_mut(&mut member.table).rebase(begin.rescale(TimeBase::NANOS, base).ticks());
        }
        texts
            .iter_mut()
            .for_each(|words| words.rebase(begin.rescale(TimeBase::NANOS, TimeBase::MILLIS).ticks()));
        for path in &stock.texts {
            texts.push(words::file(path, &mut names)?);
        }
        let fast = members
            .iter()
            .filter_map(|m| {
                m.table.track.video().map(|v| (u64::from(v.width) * u64::from(v.height), m.name.clone()))
            })
            .min();
        let mut print = Sha256::new();
        let segment = settings.segment.as_nanos().to_be_bytes();
        for part in [&b"1"[..], name.as_bytes(), stamp.as_bytes(), &segment] {
            print.update(part.len().to_be_bytes());
            print.update(part);
        }
        for member in &members {
            print.update(member.name.as_bytes());
            digest(&member.table, &mut print);
        }
        for e in encryption.iter().flatten() {
            print.update(told(e));
        }
        let print: [u8; 32] = print.finalize().into();

        let mut forms = Vec::new();
        for form in [Form::Cmaf, Form::Ts] {
            let own = encryption
                .as_ref()
                .map(|all| all.iter().find(|e| e.scheme.fourcc().is_none() == (form == Form::Ts)).cloned());
            let offer = match &own {
                Some(None) => {
                    Err("what is served here is encrypted, and no scheme is set for that form".to_owned())
                }
                _ => {
                    let encryption = own.as_ref().and_then(Option::as_ref);
                    let fast = fast.as_ref().map(|(_, name)| name);
                    // What one form has no place for may have one in the other.
                    offer(form, settings, &members, fast, &texts, encryption, &print)
                        .map_err(|e| e.to_string())
                }
            };
            forms.push(Shape { form, offer, encryption: own.flatten() });
        }
        if let [Shape { offer: Err(first), .. }, Shape { offer: Err(second), .. }] = forms.as_slice() {
            let message = format!("{first}; and as transport streams: {second}");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let tables = members.iter().map(|m| m.table.weight()).sum();
        let readers = stock.sources.into_iter().map(|source| source.reader).collect();
        Ok(Self { print, readers, forms, tables, segment: settings.segment })
    }

    /// Bytes that it takes in memory, about.
    pub(super) fn weight(&self) -> usize {
        let offers = self.forms.iter().filter_map(|s| s.offer.as_ref().ok()).map(Offer::weight);
        offers.fold(self.tables.saturating_add(64 << 10), usize::saturating_add)
    }

    fn shape(&self, ts: bool) -> Result<(&Offer, Option<&Encryption>)> {
        let form = if ts { Form::Ts } else { Form::Cmaf };
        let nothing = |why: &str| Error::new(ErrorKind::NotFound, why.to_owned());
        let shape =
            self.forms.iter().find(|s| s.form == form).ok_or_else(|| nothing("there is no such form"))?;
        let offer = shape.offer.as_ref().map_err(|why| nothing(why))?;
        Ok((offer, shape.encryption.as_ref()))
    }

    /// A manifest, a playlist or a text.
    pub(super) fn written(&self, request: &Request) -> Result<Answer> {
        if !request.query.delay.is_zero() {
            let message = "delay is for live presentations, and this is none";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let (offer, _) = self.shape(request.wanted.is_ts())?;
        let text = offer.written_for(&request.wanted, &request.query).map_err(|e| match e {
            sv_package::Error::Empty => {
                Error::new(ErrorKind::NotFound, "the query leaves nothing of this title")
            }
            other => other.into(),
        })?;
        let (text, content_type) = text.ok_or_else(missing)?;
        let mut hash = Sha256::new();
        hash.update(text.as_bytes());
        Ok(Answer { data: text.into(), content_type, tag: stock::digits(hash), lasting: false })
    }

    /// A segment or an initialisation, made now.
    pub(super) fn segment(&self, wanted: &Wanted) -> Result<(Bytes, &'static str)> {
        let (offer, encryption) = self.shape(wanted.is_ts())?;
        match wanted {
            Wanted::Init { name, epoch: 0 } => offer.init(name)?.ok_or_else(missing),
            Wanted::Segment { name, number, .. } => {
                let piece = offer.piece(name, *number).ok_or_else(missing)?;
                Ok((self.make(name, &piece, encryption)?, piece.content_type()))
            }
            _ => Err(missing()),
        }
    }

    fn make(&self, name: &str, piece: &Piece, encryption: Option<&Encryption>) -> Result<Bytes> {
        let reader = self.readers.get(piece.source()).ok_or_else(missing)?;
        let mut read = Vec::new();
        for (offset, length) in piece.ranges() {
            if offset.saturating_add(length) > reader.size() {
                return Err(Error::new(ErrorKind::Malformed, "the stored file has become shorter"));
            }
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
            reader.read_exact_at(offset, &mut bytes)?;
            read.push(Bytes::from(bytes));
        }
        let broken = || Error::new(ErrorKind::Internal, "the samples do not lie where they were read");
        let mut items = piece.items(&read).ok_or_else(broken)?;
        drop(read);
        if let Some(encryption) = encryption {
            let grid = Grid::new(self.segment);
            let first = piece.first();
            items = encrypted(encryptor(name, piece.track(), encryption, &self.print, first, grid)?, items)?;
        }
        whole(piece.write(items)?, encryption)
    }
}

/// The items of one segment, encrypted.
pub(super) fn encrypted(mut encryptor: cenc::Encryptor, items: Vec<Item>) -> Result<Vec<Item>> {
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        encryptor.push(item)?;
        while let Some(item) = encryptor.pull()? {
            out.push(item);
        }
    }
    Ok(out)
}

/// A segment as one run of bytes, encrypted as a whole where that is the scheme.
pub(super) fn whole(segment: Segment, encryption: Option<&Encryption>) -> Result<Bytes> {
    let sealed = encryption.filter(|e| e.scheme == Scheme::Aes128);
    if let (Some(encryption), Some(kid)) = (sealed, segment.kid) {
        let key = encryption.keys.named(kid);
        let key =
            key.ok_or_else(|| Error::new(ErrorKind::Internal, "a segment is under a key that is not there"))?;
        return Ok(aes128::encrypt(key, aes128::vector(segment.number), &segment.data));
    }
    Ok(match segment.data.as_slice() {
        [one] => one.clone(),
        all => all.concat().into(),
    })
}

pub(super) fn missing() -> Error {
    Error::new(ErrorKind::NotFound, "this title has nothing of that name")
}

/// The tracks of a source that can be served: where their samples lie, and their text.
fn tables(source: usize, stored: &stock::Source, names: &mut Names) -> Result<(Vec<Member>, Vec<Words>)> {
    let named = |e: sv_container::Error| match &stored.stem {
        Some(stem) => Error::from(e).context(stem),
        None => e.into(),
    };
    let mut limits = Limits::default();
    limits.samples = MOST_SAMPLES;
    let mut demuxer = mp4::Demuxer::open(Arc::clone(&stored.reader), limits).map_err(named)?;
    let (mut tables, mut texts) = (Vec::new(), Vec::new());
    for track in demuxer.tracks() {
        let serves = track.kind() != TrackKind::Text && sv_codec::rfc6381::string(track).is_some();
        if track.protection.is_some() {
            let message = "it is encrypted already, and the origin encrypts what is clear";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        if matches!(track.codec, Codec::WebVtt | Codec::Ttml) {
            texts.push(Arc::clone(track));
        } else if serves {
            tables.push(Table::new(Arc::clone(track)));
        } else {
            tracing::warn!("{} in {:?} is not served", track.codec, stored.stem);
        }
    }
    let ids: Vec<_> = tables.iter().map(|t| t.track.id).collect();
    demuxer.select(&ids);
    while let Some(located) = demuxer.next_place().map_err(named)? {
        if let Some(table) = tables.iter_mut().find(|t| t.track.id == located.packet.track) {
            table.push(&located);
        }
    }
    let alone = tables.len() == 1;
    let member = |mut table: Table| {
        table.samples.shrink_to_fit();
        let name = match stored.stem.as_deref().filter(|_| alone) {
            Some(stem) => names.unique(stem),
            None => names.for_track(&table.track),
        };
        Member::new(name, source, Arc::new(table))
    };
    let members = tables.into_iter().filter(|t| !t.samples.is_empty()).map(member).collect();
    let texts = texts.iter().map(|track| words::track(stored, track, names));
    Ok((members, texts.collect::<Result<_>>()?))
}

/// What there is to ask for in one form.
fn offer(
    form: Form,
    settings: &Settings,
    members: &[Member],
    fast: Option<&String>,
    texts: &[Words],
    encryption: Option<&Encryption>,
    print: &[u8; 32],
) -> Result<Offer> {
    let all = shape(form, members, fast, encryption, print)?;
    if all.is_empty() {
        let message = "nothing of this title has a place in transport streams";
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    let mut hls = hls::Options::default();
    hls.key_url = encryption.and_then(|e| e.key_url.clone());
    let mut dash = dash::Options::default();
    dash.license_url.clone_from(&settings.license_url);
    let mut offer = Offer::new(form, settings.segment, all, hls, dash)?;
    for words in texts {
        offer.text(&words.name, words.info.clone(), words.document.clone());
    }
    Ok(offer)
}

/// The renditions of one form.
fn shape(
    form: Form,
    members: &[Member],
    fast: Option<&String>,
    encryption: Option<&Encryption>,
    print: &[u8; 32],
) -> Result<Vec<Member>> {
    let mut out = Vec::new();
    for member in members {
        let codec = member.table.track.codec;
        if form == Form::Ts && !sv_container::ts::Muxer::supports(codec) {
            continue;
        }
        let mut all = vec![member.clone()];
        // The smallest picture is the one to show in fast motion, which is for DASH.
        if form == Form::Cmaf && fast == Some(&member.name) {
            let mut keys =
                Member::new(format!("{}-trick", member.name), member.source, Arc::new(member.table.keys()));
            keys.trick_play_of = Some(member.name.clone());
            all.push(keys);
        }
        for mut member in all {
            if let Some(encryption) = encryption {
                let track = &member.table.track;
                encryption.check(&whole_track(&member.table))?;
                member.turns = encryption.turns(track);
                let mut protection = protected(&member.name, track, encryption, print)?.protection;
                if let Some(protection) = protection.as_mut().filter(|_| !encryption.pssh_in_stream) {
                    protection.pssh.clear();
                }
                member.protection = protection;
            }
            out.push(member);
        }
    }
    out.sort_by_key(|member| member.trick_play_of.is_some());
    Ok(out)
}

/// A track as it is once it is encrypted.
pub(super) fn protected(
    name: &str,
    track: &sv_core::Track,
    encryption: &Encryption,
    print: &[u8; 32],
) -> Result<sv_core::Track> {
    let grid = Grid::new(Duration::MAX);
    Ok(encryptor(name, track, encryption, print, 0, grid)?.protect(track)?)
}

/// The track of a table with the length that its samples have, for which there have to be keys.
fn whole_track(table: &Table) -> sv_core::Track {
    let mut track = sv_core::Track::clone(&table.track);
    let end = table.samples.last().map_or(0, |last| last.dts.saturating_add(i64::from(last.duration)));
    track.duration = Some(sv_core::Duration::new(end.max(0).unsigned_abs()));
    track
}

/// What of an encryption decides bytes, without its keys.
pub(super) fn told(encryption: &Encryption) -> String {
    let e = encryption;
    let keys: Vec<_> = e.keys.iter().map(|(label, kid, _)| (label, kid)).collect();
    let mut out = format!("{:?} {keys:?} {:?} {}", e.scheme, e.pssh, e.pssh_in_stream);
    if !e.clear_lead.is_zero() || e.crypto_period.is_some() {
        out += &format!(" {:?} {:?}", e.clear_lead, e.crypto_period);
    }
    out
}

/// What encrypts from sample `first` of a rendition on, the segments of which were cut on `grid`. Its vectors are told by everything that decides the clear bytes:
/// no two of different bytes are the same, and those of the same bytes are always the same.
pub(super) fn encryptor(
    name: &str,
    track: &sv_core::Track,
    encryption: &Encryption,
    print: &[u8; 32],
    first: u64,
    grid: Grid,
) -> Result<cenc::Encryptor> {
    let (_, key) = encryption.keys.of(track)?;
    let iv = key.vector(&[print, name.as_bytes(), encryption.scheme.as_str().as_bytes()]);
    encryption.encryptor(track, grid, iv, first)
}

/// Everything of a table but where it lies.
fn digest(table: &Table, hash: &mut Sha256) {
    let track = &table.track;
    hash.update(format!("{:?} {:?} {}", track.codec, track.time_base, table.samples.len()));
    hash.update(&track.config);
    for sample in &table.samples {
        hash.update(sample.dts.to_be_bytes());
        hash.update(sample.shift.to_be_bytes());
        hash.update(sample.size.to_be_bytes());
        hash.update(sample.duration.to_be_bytes());
    }
}
