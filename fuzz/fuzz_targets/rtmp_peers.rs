//! Chunks and values of RTMP as we read them beside programs that know nothing of ours: `sapflow-rtmp`, and `rml_rtmp` where a stream is
//! sound and one message comes after the other (it keeps one unfinished message for all streams, and panics on what is broken).
//!
//! What differs and may: chunk streams that begin with a relative header are taken here and refused there; extended times that are
//! missing in chunks that go on are noticed here alone; values nested deeper than 8 are refused here, than 16 there; names that are
//! empty are taken here and refused there.
#![no_main]

use rml_rtmp::chunk_io::ChunkDeserializer;
use sapflow_rtmp::amf0::{Amf0Error, Value as Theirs, decode_all};
use sapflow_rtmp::chunk::{ChunkReader, Read};
use sv_container::amf0::Value;
use sv_container::flv::Kind;
use sv_core::Limits;
use sv_ingest::rtmp::{Client, Event, Name, Purpose, Server};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((mode, data)) = data.split_first() else { return };
    match mode % 3 {
        0 => values(data),
        1 => broken(data),
        _ => sound(data, mode & 128 != 0),
    }
});

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.packet_bytes = 1 << 20;
    limits
}

/// Kind, time and body.
type Message = (u8, u32, Vec<u8>);

/// Our side of a connection that publishes, and all that it has been sent behind its handshake.
fn publishing() -> (Server, Vec<u8>) {
    let mut server = Server::new(limits(), 1);
    let mut client = Client::new(Purpose::Publish, "rtmp://a/b", "b", Name::new("c"), limits(), 1);
    let mut said = Vec::new();
    loop {
        let (there, back) = (client.outgoing(), server.outgoing());
        if there.is_empty() && back.is_empty() {
            // Version, and two pieces of the same length.
            return (server, said.split_off(1 + 2 * 1536));
        }
        for piece in there {
            said.extend_from_slice(&piece);
            server.receive(&piece).expect("our client keeps to the protocol");
            while let Some(event) = server.event() {
                if let Event::Publish { stream, .. } = event {
                    server.accept(stream);
                }
            }
        }
        for piece in back {
            client.receive(&piece).expect("our server keeps to the protocol");
        }
    }
}

/// What we take of `bytes` that come in pieces of so many, and whether to the end.
fn ours(mut server: Server, bytes: &[u8], piece: usize) -> (Vec<Message>, bool) {
    let mut out = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        let fine = server.receive(piece).is_ok();
        while let Some(event) = server.event() {
            if let Event::Media { kind, millis, body, .. } = event
                && kind != Kind::Script
            {
                out.push((kind.number(), millis as u32, body.to_vec()));
            }
        }
        if !fine {
            return (out, false);
        }
    }
    (out, true)
}

/// What they take of the same, and whether to the end. It ends, too, at messages that do something else than carry media.
fn theirs(before: &[u8], bytes: &[u8]) -> (Vec<Message>, bool) {
    let all = [before, bytes].concat();
    let (mut reader, mut rest, mut out) = (ChunkReader::new(8 << 20), &all[..], Vec::new());
    loop {
        let begun = before.len() <= all.len() - rest.len();
        match reader.read(rest) {
            Ok(Read::NeedMore) => return (out, true),
            Err(_) => return (out, false),
            Ok(Read::Chunk { consumed, message }) => {
                rest = &rest[consumed..];
                let Some(message) = message else { continue };
                let word = message.payload.first_chunk::<4>().map(|four| u32::from_be_bytes(*four));
                match (message.type_id, word) {
                    (1, Some(size)) if reader.set_chunk_size(size).is_ok() => {}
                    (2, Some(id)) => reader.abort(id),
                    (5, Some(_)) => {}
                    (1 | 2 | 5, _) => return (out, false),
                    (15 | 17 | 20 | 22, _) if begun => return (out, false),
                    (8 | 9, _) if message.stream_id == 1 => {
                        out.push((message.type_id, message.timestamp, message.payload));
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Takes the bytes for what comes behind `publish`, however broken: what both take is the same.
fn broken(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else { return };
    let (server, before) = publishing();
    let (us, whole) = ours(server, data, usize::from(*cut));
    let (them, wholly) = theirs(&before, data);
    let both = us.len().min(them.len());
    assert_eq!(us[..both], them[..both]);
    if whole && plain(data) {
        assert!(us.len() >= them.len(), "we miss {:?}", &them[both..]);
        assert!(!wholly || us.len() == them.len(), "they miss {:?}", &us[both..]);
    }
}

/// Whether no time may stand elsewhere, which is where we look twice.
fn plain(data: &[u8]) -> bool {
    !data.windows(3).any(|three| three == [0xFF; 3])
}

/// One chunk stream as a sender remembers it.
#[derive(Clone, Default)]
struct Memory {
    told: bool,
    kind: u8,
    time: u32,
    field: u32,
    body: Vec<u8>,
    /// What of it has not been sent.
    left: Vec<u8>,
}

/// Takes the bytes for what a sender does: it cuts messages into chunks with every form of header that it may use, on streams that take
/// turns where `together`. All read what was sent.
fn sound(data: &[u8], together: bool) {
    let mut dice = data.iter().copied();
    let (server, before) = publishing();
    let (mut wire, mut sent) = (Vec::new(), Vec::new());
    // Our client's chunks.
    let mut chunk = 60_000;
    let mut streams: Vec<Memory> = vec![Memory::default(); 6];
    let ids = [4u32, 6, 63, 64, 319, 65_599];
    while let Some(what) = dice.next() {
        let mut next = || usize::from(dice.next().unwrap_or(0));
        let place = usize::from(what & 7) % ids.len();
        if what & 0xE0 == 0xE0 && streams.iter().all(|s| s.left.is_empty()) {
            // What says so must itself fit into one.
            chunk = (next() * 4).max(4);
            header(&mut wire, 0, 2);
            wire.extend([0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0]);
            wire.extend((chunk as u32).to_be_bytes());
            continue;
        }
        let place = match streams.iter().position(|s| !s.left.is_empty()) {
            Some(busy) if !together => busy,
            _ => place,
        };
        let stream = &mut streams[place];
        if stream.left.is_empty() {
            let (kind, length) = (8 + (what >> 3 & 1), next() * (1 + next() % 5));
            let step = match what >> 4 & 3 {
                0 => next() as u32,
                1 => 0x00FF_FFF0 + next() as u32 % 32,
                2 => stream.field,
                _ => 0x7FFF_0000,
            };
            let same = stream.told && kind == stream.kind && length == stream.body.len();
            let form = match next() % 4 {
                3 if same && step == stream.field => 3,
                2 | 3 if same => 2,
                1..=3 if stream.told => 1,
                _ => 0,
            };
            stream.time = if form == 0 { step } else { stream.time.wrapping_add(step) };
            (stream.kind, stream.field, stream.told) = (kind, step, true);
            stream.body = (0..length).map(|n| (n * 7 + sent.len()) as u8).collect();
            stream.left = stream.body.clone();
            header(&mut wire, form, ids[place]);
            let short = step.min(0xFF_FFFF).to_be_bytes();
            if form < 3 {
                wire.extend(&short[1..]);
            }
            if form < 2 {
                wire.extend(&(length as u32).to_be_bytes()[1..]);
                wire.push(kind);
            }
            if form == 0 {
                wire.extend(1u32.to_le_bytes());
            }
        } else {
            header(&mut wire, 3, ids[place]);
        }
        if stream.field >= 0xFF_FFFF {
            wire.extend(stream.field.to_be_bytes());
        }
        let piece: Vec<u8> = stream.left.drain(..chunk.min(stream.left.len())).collect();
        wire.extend(&piece);
        if stream.left.is_empty() {
            sent.push((stream.kind, stream.time, stream.body.clone()));
        }
    }
    let piece = 1 + data.len() % 300;
    let (us, whole) = ours(server, &wire, piece);
    assert!(whole, "we refuse what is sound");
    assert_eq!(us, sent);
    let (them, wholly) = theirs(&before, &wire);
    assert!(wholly, "they refuse what is sound");
    assert_eq!(them, sent);
    if !together {
        let (mut reader, mut out) = (ChunkDeserializer::new(), Vec::new());
        let all = [&before[..], &wire].concat();
        let mut input = &all[..];
        while let Some(message) = reader.get_next_message(input).expect("it is sound") {
            input = &[];
            match message.type_id {
                1 => {
                    let size = message.data.first_chunk::<4>().map_or(128, |four| u32::from_be_bytes(*four));
                    reader.set_max_chunk_size(size as usize).expect("it is possible");
                }
                8 | 9 => out.push((message.type_id, message.timestamp.value, message.data.to_vec())),
                _ => {}
            }
        }
        assert_eq!(out, sent);
    }
}

fn header(wire: &mut Vec<u8>, form: u8, id: u32) {
    let form = form << 6;
    match id {
        2..=63 => wire.push(form | id as u8),
        64..=319 => wire.extend([form, (id - 64) as u8]),
        _ => {
            wire.push(form | 1);
            wire.extend(((id - 64) as u16).to_le_bytes());
        }
    }
}

/// Takes the bytes for values: what both read is the same, and who refuses it has a reason that is known.
fn values(data: &[u8]) {
    match (Value::read_all(data), decode_all(data)) {
        (Ok(us), Ok(them)) => assert!(
            us.len() == them.len() && us.iter().zip(&them).all(|(a, b)| alike(a, b)),
            "{us:?} {them:?}"
        ),
        (Ok(us), Err(problem)) => assert!(
            matches!(problem, Amf0Error::BadEndMarker | Amf0Error::TooManyValues),
            "{us:?}: they refuse it: {problem}"
        ),
        (Err(problem), Ok(them)) => {
            assert!(problem.to_string().contains("nested too deeply"), "{them:?}: we refuse it: {problem}");
        }
        (Err(_), Err(_)) => {}
    }
}

fn alike(us: &Value, them: &Theirs) -> bool {
    match (us, them) {
        (Value::Number(a), Theirs::Number(b)) | (Value::Date(a), Theirs::Date(b)) => a.to_bits() == b.to_bits(),
        (Value::Boolean(a), Theirs::Boolean(b)) => a == b,
        (Value::String(a), Theirs::String(b)) => a == b,
        (Value::Null, Theirs::Null) | (Value::Undefined, Theirs::Undefined) => true,
        (Value::Object(a), Theirs::Object(b) | Theirs::EcmaArray(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((m, v), (n, w))| m == n && alike(v, w))
        }
        (Value::Array(a), Theirs::StrictArray(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(v, w)| alike(v, w))
        }
        _ => false,
    }
}
