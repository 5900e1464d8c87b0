//! What packaging costs without any file: `cargo run --release -p streamverse --example package_memory -- FILE [RUNS]`.
//!
//! FILE, an MP4, is read once. From then on its bytes go through demuxer, encryptor and segmenter on one thread, and
//! the segments are dropped. It prints gigabytes of the file for each second of processor time, the median of RUNS,
//! and for scale what copying the file's bytes costs.

use std::sync::Arc;
use std::time::Duration;

use streamverse::container::mp4::Demuxer;
use streamverse::core::{Bytes, Item, KeyId, Limits, Scheme, Source as _, Stage as _};
use streamverse::drm::{ContentKey, cenc};
use streamverse::package::Segmenter;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("which file?")?;
    let runs = arguments.next().map_or(Ok(9), |runs| runs.parse())?;
    let file = Bytes::from(std::fs::read(&path)?);
    println!("{path}: {:.0} MB, median of {runs}", file.len() as f64 / 1e6);
    let copy = measure(runs, file.len(), || {
        // In pieces that a cache holds, as a packager would.
        Ok(file.chunks(256 << 10).map(|piece| std::hint::black_box(piece.to_vec()).len()).sum())
    })?;
    println!("{:<8}{copy:6.2} GB/s", "copy");
    for scheme in [None, Some(Scheme::Cenc), Some(Scheme::Cbcs)] {
        let speed = measure(runs, file.len(), || package(&file, scheme))?;
        println!("{:<8}{speed:6.2} GB/s", scheme.map_or("clear", Scheme::as_str));
    }
    Ok(())
}

/// Bytes of all segments.
fn package(file: &Bytes, scheme: Option<Scheme>) -> Outcome<usize> {
    let mut demuxer = Demuxer::open(Arc::new(file.clone()), Limits::default())?;
    let tracks: Vec<_> = demuxer.tracks().to_vec();
    let mut lanes = tracks
        .iter()
        .map(|track| {
            let encryptor = scheme.map(encryptor).transpose()?;
            Ok((track.id, encryptor, Segmenter::new(Duration::from_secs(4))))
        })
        .collect::<Outcome<Vec<_>>>()?;
    let mut bytes = 0;
    let mut cut = |segmenter: &mut Segmenter, item| -> Outcome<()> {
        segmenter.push(item)?;
        while let Some(item) = segmenter.pull()? {
            if let Item::Segment(segment) = item {
                bytes += usize::try_from(segment.len())?;
            }
        }
        Ok(())
    };
    while let Some(item) = demuxer.next_item()? {
        for (id, encryptor, segmenter) in &mut lanes {
            if item.track() != Some(*id) {
                continue;
            }
            let Some(encryptor) = encryptor else {
                cut(segmenter, item)?;
                break;
            };
            encryptor.push(item)?;
            while let Some(item) = encryptor.pull()? {
                cut(segmenter, item)?;
            }
            break;
        }
    }
    Ok(bytes)
}

fn encryptor(scheme: Scheme) -> Outcome<cenc::Encryptor> {
    let config = cenc::Config {
        scheme,
        kid: KeyId([1; 16]),
        key: ContentKey::from_hex("32333435363738393021323334353637")?,
        iv: [7; 16],
        first_sample: 0,
        pssh: Vec::new(),
    };
    Ok(cenc::Encryptor::new(config).together(16))
}

/// Gigabytes for each second of this thread's processor time.
fn measure(runs: usize, bytes: usize, mut work: impl FnMut() -> Outcome<usize>) -> Outcome<f64> {
    let mut seconds = Vec::new();
    for _ in 0..=runs {
        let before = processor()?;
        let made = work()?;
        seconds.push((processor()? - before).as_secs_f64());
        if made < bytes / 2 {
            return Err(format!("only {made} bytes came out").into());
        }
    }
    seconds.remove(0);
    seconds.sort_by(f64::total_cmp);
    Ok(bytes as f64 / 1e9 / seconds.get(runs / 2).copied().unwrap_or(f64::NAN))
}

/// What the scheduler has counted for this thread: user and system time.
fn processor() -> Outcome<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = text.split_whitespace().next().ok_or("no schedstat")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}
