//! What must hold for any bytes at all. The fuzz targets run these, and so do the tests.

use std::net::SocketAddr;
use std::time::Duration;

use sv_container::flv::{Body, Demuxer, Kind, Muxer};
use sv_core::{Bytes, Item, Limits};
use sv_ingest::rtmp::{Client, Event, Name, Purpose, Server};
use sv_ingest::srt::{
    Body as Said, Caller, Control, Heard, KeyMaterial, Listener, Mode, Packet, Passphrase, Session, Settings,
    StreamId,
};

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

/// Playlists of HLS, and what follows them: nothing panics, and a lane always says what to do.
pub(crate) fn hls(data: &[u8]) {
    use sv_ingest::hls::{Lane, Playlist, Step, parse};

    let text = String::from_utf8_lossy(data);
    let (playlist, media) = text.split_once("\u{1}").unwrap_or((&text, ""));
    if let Ok(Playlist::Master(master)) = parse(playlist) {
        assert!(master.choose(1_000_000).is_some());
    }
    let mut limits = Limits::default();
    limits.structure_bytes = 1 << 20;
    let mut lane = Lane::new(limits);
    let mut now = Duration::ZERO;
    for turn in 0..64 {
        match lane.step(now) {
            Step::Over => break,
            Step::Wait(left) => {
                assert!(!left.is_zero());
                now += left;
            }
            Step::Get(get) => {
                let body = if get.uri.is_empty() { playlist } else { media };
                let result = match turn % 7 {
                    6 => lane.failed(now, "it is not there"),
                    _ => lane.came(now, &Bytes::copy_from_slice(body.as_bytes())),
                };
                if result.is_err() {
                    break;
                }
            }
        }
        while lane.item().is_some() {}
    }
}

/// Takes the bytes for a datagram of SRT: what is read of it is written and read the same.
pub(crate) fn srt_packet(data: &[u8]) {
    let _ = StreamId::new(String::from_utf8_lossy(data)).wish();
    if let Ok(material) = KeyMaterial::parse(data) {
        assert_eq!(KeyMaterial::parse(&material.build()).expect("it was written so"), material);
    }
    let Ok(packet) = Packet::parse(data) else { return };
    let again = match &packet {
        Packet::Data(data) => data.build(),
        Packet::Control(control) => control.build(),
        _ => return,
    };
    assert_eq!(Packet::parse(&again).expect("it was written so"), packet);
}

/// Two ends of a connection, without a network.
fn connected(settings: &Settings) -> (Box<Session>, Box<Session>) {
    let from: SocketAddr = ([192, 0, 2, 1], 9).into();
    let listener = Listener::new([7; 32]);
    let id = StreamId::new("one");
    let mut caller = Caller::new(settings.clone(), Mode::Caller, id, from.ip(), [1; 32], Duration::ZERO);
    caller.tick(Duration::ZERO).expect("it has just begun");
    loop {
        let datagram = caller.outgoing().expect("there is something to say");
        let answer = match listener.receive(&datagram, from, Duration::ZERO) {
            Heard::Reply(reply) => reply,
            Heard::Knock(knock) => {
                let mut session =
                    knock.accept(settings, 5, [2; 32], Duration::ZERO).expect("both want the same");
                let reply = session.outgoing().expect("it answers");
                let caller = caller.receive(&reply, Duration::ZERO).expect("both want the same");
                return (caller.expect("it is complete"), session);
            }
            other => panic!("{other:?}"),
        };
        caller.receive(&answer, Duration::ZERO).expect("both want the same");
    }
}

/// Takes the bytes for what a network does to a connection: for each datagram, whether it is lost, late, damaged, comes
/// twice, or comes from nowhere; and how much time passes.
pub(crate) fn srt_session(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    let mut settings = Settings::default();
    settings.buffer = 64;
    settings.refresh = 40;
    settings.passphrase =
        (mode & 1 == 1).then(|| Passphrase::new("a passphrase").expect("it is long enough"));
    let (mut one, mut two) = connected(&settings);
    let (ours, theirs) = (one.id(), two.id());
    let mut now = Duration::ZERO;
    let mut held: Vec<Bytes> = Vec::new();
    for chunk in data.chunks(4) {
        let &[what, at, bit, time] = chunk else { return };
        now += Duration::from_micros(u64::from(time) * 400);
        let payload = [what; 40];
        let (sender, receiver) = if what & 1 == 0 { (&mut one, &mut two) } else { (&mut two, &mut one) };
        let _ = sender.send(&payload, now);
        sender.tick(now);
        let mut datagrams: Vec<Bytes> = std::iter::from_fn(|| sender.outgoing()).collect();
        let place = usize::from(at) % datagrams.len().max(1);
        match (what >> 1) & 7 {
            0 if !datagrams.is_empty() => drop(datagrams.remove(place)),
            1 if !datagrams.is_empty() => held.push(datagrams.remove(place)),
            2 => datagrams.append(&mut held),
            3 if !datagrams.is_empty() => datagrams.push(datagrams[place].clone()),
            4 if !datagrams.is_empty() => {
                let mut damaged = datagrams[place].to_vec();
                let byte = usize::from(bit) % damaged.len();
                damaged[byte] ^= 1 << (at & 7);
                datagrams[place] = damaged.into();
            }
            5 => {
                let to = if receiver.id() == ours { ours } else { theirs };
                let (first, last) = (u32::from(at) << 23, u32::from(bit) << 23);
                let body = match time & 3 {
                    0 => Said::Nak(vec![(first, last), (last, last)]),
                    1 => Said::Drop { message: 0, first, last },
                    2 => Said::Ack { number: u32::from(at), seq: last, about: None },
                    _ => Said::KeyRequest(Bytes::copy_from_slice(data)),
                };
                datagrams.push(Control { time: first, to, body }.build());
            }
            6 => datagrams.push(Bytes::copy_from_slice(data)),
            _ => {}
        }
        held.truncate(64);
        for datagram in datagrams {
            receiver.receive(&datagram, now);
        }
        while receiver.delivered().is_some() {}
        let waiting = std::iter::from_fn(|| receiver.outgoing()).count();
        // A datagram is answered by a few, and what is sent again is what is kept.
        assert!(waiting <= 4 * 64 + 64, "{waiting}");
        assert!(receiver.over().is_some() || receiver.deadline().is_some());
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
    let again: Vec<u8> =
        got.iter().flat_map(|datagram| frame(datagram).expect("it came behind its length")).collect();
    assert!(again.len() <= data.len());
    let (mut framing, mut whole) = (Framing::new(), Vec::new());
    framing.push(&again, |datagram| whole.push(datagram));
    assert_eq!(whole, got);
}

/// Who records four media, each of another coding, on channels 0, 2, 4 and 6.
#[cfg(feature = "rtsp")]
fn recorder() -> sv_ingest::rtsp::Server {
    let sdp = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:0\r\n\
        m=video 0 RTP/AVP 96\r\na=rtpmap:96 H265/90000\r\na=fmtp:96 sprop-max-don-diff=1\r\na=control:1\r\n\
        m=audio 0 RTP/AVP 96\r\na=rtpmap:96 MPEG4-GENERIC/48000/2\r\n\
        a=fmtp:96 config=1190;sizelength=13;indexlength=3;indexdeltalength=3\r\na=control:2\r\n\
        m=audio 0 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\na=control:3\r\n";
    let mut server = sv_ingest::rtsp::Server::new(limits(), "session");
    let now = Duration::ZERO;
    let text =
        format!("ANNOUNCE rtsp://a/b/c RTSP/1.0\r\nCSeq: 1\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len());
    server.receive(text.as_bytes(), now).expect("it is a message");
    server.accept();
    for n in 0..4 {
        let channels = format!("{}-{}", 2 * n, 2 * n + 1);
        let text = format!(
            "SETUP rtsp://a/b/c/{n} RTSP/1.0\r\nCSeq: 2\r\nTransport: RTP/AVP/TCP;interleaved={channels}\r\n\r\n"
        );
        server.receive(text.as_bytes(), now).expect("it is a message");
    }
    server.receive(b"RECORD rtsp://a/b/c RTSP/1.0\r\nCSeq: 3\r\n\r\n", now).expect("it is a message");
    server
}

/// Takes the bytes for what comes on a connection of RTSP, cut as their first byte says, from its beginning and behind RECORD.
#[cfg(feature = "rtsp")]
pub(crate) fn rtsp(data: &[u8]) {
    use sv_ingest::rtsp::{Event, Message, Parser, Server};

    let Some((cut, data)) = data.split_first() else { return };
    for mut server in [Server::new(limits(), "session"), recorder()] {
        for (n, piece) in (0u64..).zip(data.chunks(usize::from(*cut) + 1)) {
            let result = server.receive(piece, Duration::from_millis(n));
            while let Some(event) = server.event() {
                match event {
                    Event::Publish { .. } => server.accept(),
                    Event::Udp { medium, from } => server.ports(medium, from, Some((2, 3))),
                    _ => {}
                }
            }
            let _ = server.outgoing();
            if result.is_err() {
                break;
            }
        }
    }
    let mut parser = Parser::new();
    parser.push(data);
    while let Ok(Some(message)) = parser.message() {
        let built = match &message {
            Message::Request(request) => request.build(),
            Message::Response(response) => response.build(),
            Message::Interleaved { channel, data } => sv_ingest::rtsp::interleaved(*channel, data),
        };
        // A body has its length twice then, which is the same twice.
        let mut again = Parser::new();
        again.push(&built);
        let _ = again.message();
    }
    let _ = sv_ingest::rtsp::describe(data);
}

/// Takes the bytes for packets of RTP and RTCP, each behind its channel and length.
#[cfg(feature = "rtsp")]
pub(crate) fn rtp(data: &[u8]) {
    let (mut server, mut rest, mut now) = (recorder(), data, 0);
    let mut times = std::collections::BTreeMap::new();
    while let [channel, len, more @ ..] = rest {
        let (packet, left) = more.split_at(usize::from(*len).min(more.len()));
        rest = left;
        now += u64::from(*channel >> 3);
        let at = Duration::from_millis(now);
        let _ = server.receive(&sv_ingest::rtsp::interleaved(*channel & 7, packet), at);
        server.tick(at);
        while let Some(event) = server.event() {
            if let sv_ingest::rtsp::Event::Item(Item::Packet(packet)) = event {
                assert!(packet.dts <= packet.pts && packet.data.len() <= limits().packet_bytes);
                let last = times.insert(packet.track, packet.dts);
                assert!(last.is_none_or(|last| last < packet.dts), "time goes back");
            }
        }
    }
}
