//! What must hold for any bytes at all. The fuzz targets run these, and so do the tests.

use sv_container::flv::{Body, Demuxer, Kind, Muxer};
use sv_core::{Bytes, Item, Limits};
use sv_ingest::rtmp::{Client, Event, Name, Purpose, Server};

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.packet_bytes = 1 << 20;
    limits
}

/// Takes the bytes for bodies of tags, each behind its kind and length: what they hold is written and read the same.
pub(crate) fn flv(data: &[u8]) {
    let mut rest = Bytes::copy_from_slice(data);
    let (mut demuxer, mut millis) = (Demuxer::new(limits()), 0);
    while rest.len() >= 2 {
        let head = rest.split_to(2);
        let kind = if head[0] & 1 == 0 { Kind::Audio } else { Kind::Video };
        let body = rest.split_to(usize::from(head[1]).min(rest.len()));
        millis += i64::from(head[0] >> 1);
        let mut items = Vec::new();
        let _ = demuxer.push(kind, millis, &body, |item| items.push(item));
        for item in items {
            if let Item::Packet(packet) = item {
                let track =
                    demuxer.tracks().find(|t| t.id == packet.track).expect("a packet comes after its track");
                let mut muxer = Muxer::new();
                if muxer.track(track, 0).is_err() {
                    continue;
                }
                let Body { kind, millis, head, data, .. } =
                    muxer.packet(&packet).expect("its track was told");
                // A muxer of one track calls it the first of its kind.
                let mut again = Demuxer::new(limits());
                let mut twice = Vec::new();
                let told = muxer.track(track, 0).expect("it was told before");
                let bytes = |head: &Bytes, data: &Bytes| Bytes::from([&**head, &**data].concat());
                if let Some(told) = told {
                    let _ = again.push(told.kind, 0, &bytes(&told.head, &told.data), |_| {});
                }
                let _ = again.push(kind, millis, &bytes(&head, &data), |item| twice.push(item));
                for item in twice {
                    if let Item::Packet(second) = item {
                        assert_eq!(
                            (second.key, &second.data),
                            (packet.key || kind == Kind::Audio, &packet.data)
                        );
                    }
                }
            }
        }
    }
}

/// Brings a connection as far as publishing.
fn publish(server: &mut Server) {
    let name = Name::new("c");
    let mut client = Client::new(Purpose::Publish, "rtmp://a/b", "b", name, limits(), 1);
    loop {
        let (there, back) = (client.outgoing(), server.outgoing());
        if there.is_empty() && back.is_empty() {
            return;
        }
        for piece in there {
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

/// Takes the bytes for what comes behind a handshake, cut as their first byte says, on both sides.
pub(crate) fn rtmp(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else { return };
    let greeting = [&[3][..], &[0; 1536], &[0; 1536]].concat();
    let mut server = Server::new(limits(), 1);
    if cut & 1 == 0 {
        server.receive(&greeting).expect("a plain handshake is taken");
    } else {
        publish(&mut server);
    }
    for piece in data.chunks(usize::from(*cut) + 1) {
        let result = server.receive(piece);
        while let Some(event) = server.event() {
            if let Event::Publish { stream, .. } | Event::Play { stream, .. } = event {
                server.accept(stream);
            }
        }
        // What is kept is what has come, and a little ahead of it for each stream.
        assert!(server.held() <= 2 * data.len() + 64 * (16 << 10), "{}", server.held());
        let _ = server.outgoing();
        if result.is_err() {
            break;
        }
    }
    for purpose in [Purpose::Publish, Purpose::Play] {
        let mut client = Client::new(purpose, "rtmp://a/b", "b", Name::new("c"), limits(), 1);
        client.receive(&greeting).expect("a plain handshake is taken");
        for piece in data.chunks(usize::from(*cut) + 1) {
            let result = client.receive(piece);
            while client.event().is_some() {}
            let _ = client.outgoing();
            if result.is_err() {
                break;
            }
        }
    }
}

/// Takes the bytes for a fragment of a session description, and for a stream of datagrams, cut as their first byte says.
#[cfg(feature = "whip")]
pub(crate) fn whip(data: &[u8]) {
    use sv_ingest::whip::{Fragment, Framing, MOST_BYTES, frame};

    if let Ok(fragment) = Fragment::parse(&String::from_utf8_lossy(data)) {
        let built = fragment.build();
        // What we write, with lines of our own, may be longer than what was read.
        if built.len() <= MOST_BYTES {
            assert_eq!(Fragment::parse(&built).expect("what is written is read"), fragment);
        }
    }
    let Some((cut, data)) = data.split_first() else { return };
    let (mut framing, mut got) = (Framing::new(), Vec::new());
    for piece in data.chunks(usize::from(*cut) + 1) {
        framing.push(piece, |datagram| got.push(datagram));
    }
    let again: Vec<u8> = got.iter().flat_map(|datagram| frame(datagram).expect("it came behind its length")).collect();
    assert!(again.len() <= data.len());
    let (mut framing, mut whole) = (Framing::new(), Vec::new());
    framing.push(&again, |datagram| whole.push(datagram));
    assert_eq!(whole, got);
}
