//! What an origin costs: `cargo run --release -p streamverse --features live --example live_origin -- [WAITERS]`.
//!
//! A presentation of three renditions with four hours of history, parts of half a second and segments of two.
//! It prints the bytes of a whole playlist and of a delta update, the time from a part's last packet to the moment
//! at which the part can be read, and how long WAITERS blocked requests take to be answered once the part
//! that they wait for is there: all of them asked of the router in this process, and through sockets.

use std::sync::Arc;
use std::time::{Duration as Length, Instant};

use axum::body::Body;
use axum::http::Request;
use streamverse::core::{
    AudioInfo, Bytes, Codec, Duration, Item, Media, Packet, Part, Segment, Stage as _, TimeBase, Timestamp,
    Track, TrackId,
};
use streamverse::live::Origin;
use streamverse::package::live::{Presentation, Settings, Stream, Window};
use streamverse::package::{Form, Segmenter};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower_service::Service as _;

const RATE: i64 = 48_000;
const NAMES: [&str; 3] = ["1080p-h264", "720p-h264", "audio-aac-2ch"];
const HISTORY: u64 = 7200;

fn track() -> Arc<Track> {
    Arc::new(Track {
        id: TrackId(1),
        codec: Codec::Aac,
        time_base: TimeBase::MILLIS,
        config: Bytes::from_static(&[0x11, 0x90]),
        media: Media::Audio(AudioInfo { sample_rate: 48_000, channels: 2, delay: 0, bit_depth: 0 }),
        language: None,
        label: None,
        default: true,
        duration: None,
        bitrate: None,
        protection: None,
    })
}

fn part(segment: u64, number: u32) -> Item {
    Item::Part(Part {
        track: TrackId(1),
        segment,
        number,
        start: Timestamp::new(segment as i64 * 2 * RATE),
        duration: Duration::new(RATE as u64 / 2),
        key: number == 0,
        kid: None,
        data: vec![Bytes::from(vec![0; 150_000])],
    })
}

fn whole(number: u64) -> Item {
    Item::Segment(Segment {
        track: TrackId(1),
        number,
        start: Timestamp::new(number as i64 * 2 * RATE),
        duration: Duration::new(2 * RATE as u64),
        key: true,
        key_bytes: 0,
        packets: 96,
        kid: None,
        data: Vec::new(),
    })
}

fn print(what: &str, mut times: Vec<Length>) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    println!("{what}: median {:.3} ms, p99 {:.3} ms, longest {:.3} ms", at(0.5), at(0.99), at(1.0));
}

fn main() {
    let waiters: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(10_000);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let mut settings = Settings::new(now - Length::from_secs(2 * HISTORY));
    settings.part = Some(Length::from_millis(500));
    settings.window = Window::Sliding(Length::from_secs(2 * HISTORY));
    let streams = NAMES.iter().map(|name| Stream::new(*name, Form::Cmaf)).collect();
    let folder = std::env::temp_dir().join("live-origin");
    let origin = Origin::new(Presentation::new(settings, streams), &folder);
    let mut audio = Track::clone(&track());
    audio.time_base = TimeBase::new(1, 48_000).unwrap_or(TimeBase::MILLIS);
    let audio = Arc::new(audio);
    for place in 0..NAMES.len() {
        origin.push(place, Item::Track(Arc::clone(&audio))).unwrap();
        for number in 0..HISTORY {
            for n in 0..4 {
                let item = part(number, n);
                // History has no bytes that anybody could still ask for.
                let item = match item {
                    Item::Part(p) if number + 8 < HISTORY => {
                        Item::Part(Part { data: vec![Bytes::from_static(b"x")], ..p })
                    }
                    other => other,
                };
                origin.push(place, item).unwrap();
            }
            origin.push(place, whole(number)).unwrap();
        }
    }

    // From packets to a part.
    let mut segmenter = Segmenter::new(Length::from_secs(2)).parts(Length::from_millis(500));
    segmenter.push(Item::Track(audio)).unwrap();
    let mut times = Vec::new();
    for n in 0..20_000i64 {
        let packet = Packet {
            track: TrackId(1),
            pts: Timestamp::new(n * 1024),
            dts: Timestamp::new(n * 1024),
            duration: Duration::new(1024),
            key: n % 96 == 0,
            data: Bytes::from(vec![0; 6000]),
            protection: None,
        };
        let begun = Instant::now();
        segmenter.push(Item::Packet(packet)).unwrap();
        let mut had = false;
        while let Some(item) = segmenter.pull().unwrap() {
            had |= matches!(item, Item::Part(_));
        }
        if had {
            times.push(begun.elapsed());
        }
    }
    print("from a part's last packet to its bytes", times);

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ask = |router: axum::Router, path: String| async move {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            let response = router.clone().call(request).await.unwrap();
            axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap()
        };
        let router = origin.router();
        let (all, delta) = (
            ask(router.clone(), "/1080p-h264.m3u8".into()).await,
            ask(router.clone(), "/1080p-h264.m3u8?_HLS_skip=YES".into()).await,
        );
        println!("four hours of history: {} bytes whole, {} as a delta update", all.len(), delta.len());

        let mut times = Vec::new();
        for n in 0..4 {
            let waiting: Vec<_> = (0..waiters)
                .map(|_| {
                    let path = format!("/1080p-h264.m3u8?_HLS_msn={HISTORY}&_HLS_part={n}&_HLS_skip=YES");
                    let router = router.clone();
                    tokio::spawn(async move { (ask(router, path).await.len(), Instant::now()) })
                })
                .collect();
            tokio::time::sleep(Length::from_millis(500)).await;
            let begun = Instant::now();
            origin.push(0, part(HISTORY, n)).unwrap();
            for task in waiting {
                let (_, answered) = task.await.unwrap();
                times.push(answered - begun);
            }
        }
        print(&format!("{waiters} blocked requests, in this process"), times);
        origin.push(0, whole(HISTORY)).unwrap();

        // Through sockets: a connection each, and both ends in this process.
        let sockets = waiters.min(9_000);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, router).into_future());
        let mut connections = Vec::new();
        for _ in 0..sockets {
            connections.push(tokio::net::TcpStream::connect(address).await.unwrap());
        }
        let mut times = Vec::new();
        for n in 0..4 {
            let mut waiting = Vec::new();
            for mut connection in connections.drain(..) {
                waiting.push(tokio::spawn(async move {
                    let path =
                        format!("/1080p-h264.m3u8?_HLS_msn={}&_HLS_part={n}&_HLS_skip=YES", HISTORY + 1);
                    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
                    connection.write_all(request.as_bytes()).await.unwrap();
                    let mut buffer = vec![0; 8192];
                    let mut got = 0;
                    while !buffer[..got].ends_with(b"LAST-PART=3\n") && got < buffer.len() {
                        let n = connection.read(&mut buffer[got..]).await.unwrap();
                        assert!(n > 0, "{}", String::from_utf8_lossy(&buffer[..got]));
                        got += n;
                    }
                    (connection, Instant::now())
                }));
            }
            tokio::time::sleep(Length::from_secs(2)).await;
            let begun = Instant::now();
            origin.push(0, part(HISTORY + 1, n)).unwrap();
            for task in waiting {
                let (connection, answered) = task.await.unwrap();
                times.push(answered - begun);
                connections.push(connection);
            }
        }
        print(&format!("{sockets} blocked requests, a connection each"), times);
    });
}
