//! What packaging on request costs: `cargo run --release -p streamverse --features live --example stored_origin -- FILE [TIMES]`.
//!
//! Every segment of an MP4 file, TIMES over (4 if nothing is said), asked of the router in this process, without a cache:
//! clear CMAF, each scheme of encryption, and transport streams. It prints processor seconds for each gigabyte that
//! leaves (Linux; elsewhere seconds), and how long opening the file takes.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use streamverse::core::{Bytes, KeyId, Scheme};
use streamverse::drm::{ContentKey, Keys};
use streamverse::origin::{KeyPlace, Origin, Protect, Settings};
use tower_service::Service as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let file = args.next().ok_or("name an MP4 file")?;
    let times: u32 = args.next().map_or(Ok(4), |n| n.parse())?;
    let keys = Keys::one(KeyId([1; 16]), ContentKey::new([2; 16]));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ways = [
        (None, "hls.m3u8"),
        (Some(Scheme::Cbcs), "hls.m3u8"),
        (Some(Scheme::Cenc), "hls.m3u8"),
        (None, "ts.m3u8"),
        (Some(Scheme::SampleAes), "ts.m3u8"),
        (Some(Scheme::Aes128), "ts.m3u8"),
    ];
    for (scheme, manifest) in ways {
        let mut settings = Settings::default();
        settings.segment_bytes = 0;
        settings.protect = scheme.map(|scheme| {
            let mut protect = Protect::new(vec![scheme], KeyPlace::One(keys.clone()));
            protect.key_url = Some("https://keys.invalid/{kid}".into());
            protect
        });
        let began = Instant::now();
        let mut origin = Origin::new(settings);
        origin.add("film", &file)?;
        let opened = began.elapsed();
        let mut router = origin.router();
        runtime.block_on(async {
            let segments = segments(&mut router, manifest).await;
            let before = spent();
            let mut bytes = 0;
            for path in (0..times).flat_map(|_| &segments) {
                bytes += get(&mut router, path).await.len();
            }
            let seconds = (spent() - before).as_secs_f64();
            let gigabytes = bytes as f64 / 1e9;
            let name = scheme.map_or("clear", Scheme::as_str);
            println!(
                "{manifest:8} {name:10} {:6.3} s for each GB ({gigabytes:.2} GB, {} segments; opened in {:.1} ms)",
                seconds / gigabytes,
                segments.len(),
                opened.as_secs_f64() * 1e3
            );
        });
    }
    Ok(())
}

async fn get(router: &mut Router, path: &str) -> Bytes {
    let request = Request::get(format!("/film/{path}")).body(Body::empty()).expect("an address");
    let Ok(response) = router.call(request).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    to_bytes(response.into_body(), usize::MAX).await.expect("a body")
}

/// Every segment that the playlists of a manifest name.
async fn segments(router: &mut Router, manifest: &str) -> Vec<String> {
    let text = String::from_utf8(get(router, manifest).await.to_vec()).expect("text");
    let uri =
        |line: &str| line.split("URI=\"").nth(1).and_then(|rest| Some(rest.split_once('"')?.0.to_owned()));
    let of_lines = text.lines().filter(|l| !l.starts_with('#')).map(str::to_owned);
    let media = text.lines().filter(|l| l.starts_with("#EXT-X-MEDIA:")).filter_map(uri).chain(of_lines);
    let mut out = Vec::new();
    for playlist in media {
        let folder = playlist.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let list = String::from_utf8(get(router, &playlist).await.to_vec()).expect("text");
        out.extend(list.lines().filter(|l| !l.starts_with('#')).map(|l| format!("{folder}{l}")));
    }
    out
}

/// Processor time of this process, in hundredths of a second; time where nobody says.
fn spent() -> Duration {
    static BEGAN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let ticks = || -> Option<u64> {
        let text = std::fs::read_to_string("/proc/self/stat").ok()?;
        let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
        Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
    };
    ticks().map_or_else(|| BEGAN.elapsed(), |ticks| Duration::from_millis(ticks * 10))
}
