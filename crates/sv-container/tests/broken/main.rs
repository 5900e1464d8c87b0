//! MP4 files that lie: huge counts, boxes within boxes without end, clocks of no ticks, references that go round in a
//! circle. Each is read to its end by a demuxer with the limits that everybody has, and takes no more than 64 MiB and
//! little reading. (A program of its own, for it counts what the whole program allocates.)

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use peak_alloc::PeakAlloc;
use sv_container::mp4;
use sv_core::{Item, Limits, ReadAt, Source as _};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Memory that a file may take, as an issue of ours has it.
const MOST: usize = 64 << 20;

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(body.len() + 8).unwrap().to_be_bytes().to_vec();
    out.extend(kind);
    out.extend(body);
    out
}

fn words(all: &[u32]) -> Vec<u8> {
    all.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn full(kind: &[u8; 4], version_and_flags: u32, body: &[u8]) -> Vec<u8> {
    boxed(kind, &[&version_and_flags.to_be_bytes()[..], body].concat())
}

/// A file of one track of Opus, box by box.
#[derive(Clone)]
struct Movie {
    movie_timescale: u32,
    media_timescale: u32,
    edits: Vec<u8>,
    entry: Vec<u8>,
    /// `stts`, `stsc`, `stsz`, `stco`, and what else there is.
    tables: Vec<(&'static [u8; 4], Vec<u8>)>,
    /// Behind the track.
    extends: Vec<u8>,
    /// Behind `moov`.
    rest: Vec<u8>,
}

impl Movie {
    fn new() -> Self {
        let opus = [&[0, 2][..], &312u16.to_be_bytes(), &48_000u32.to_be_bytes(), &[0, 0, 0]].concat();
        let mut entry = vec![0; 6];
        entry.extend([0, 1]);
        entry.extend([0; 8]);
        entry.extend([0, 2, 0, 16, 0, 0, 0, 0]);
        entry.extend((48_000u32 << 16).to_be_bytes());
        entry.extend(boxed(b"dOps", &[&[0u8][..], &opus[1..]].concat()));
        Self {
            movie_timescale: 1000,
            media_timescale: 48_000,
            edits: Vec::new(),
            entry: boxed(b"Opus", &entry),
            tables: vec![
                (b"stts", words(&[1, 4, 960])),
                (b"stsc", words(&[1, 1, 4, 1])),
                (b"stsz", words(&[0, 4, 10, 10, 10, 10])),
                (b"stco", words(&[1, 40])),
            ],
            extends: Vec::new(),
            rest: boxed(b"mdat", &[7; 4096]),
        }
    }

    fn table(mut self, kind: &'static [u8; 4], body: &[u32]) -> Self {
        self.tables.retain(|(k, _)| *k != kind);
        self.tables.push((kind, words(body)));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let tables = self.tables.iter().flat_map(|(kind, body)| full(kind, 0, body));
        let stsd = full(b"stsd", 0, &[&words(&[1]), &self.entry[..]].concat());
        let stbl = boxed(b"stbl", &[stsd, tables.collect()].concat());
        let dref = full(b"dref", 0, &[words(&[1]), full(b"url ", 1, &[])].concat());
        let minf = boxed(b"minf", &[full(b"smhd", 0, &[0; 4]), boxed(b"dinf", &dref), stbl].concat());
        let mdhd =
            full(b"mdhd", 0, &[words(&[0, 0, self.media_timescale, 3840]), vec![0x55, 0xC4, 0, 0]].concat());
        let hdlr = full(b"hdlr", 0, &[&[0; 4][..], b"soun", &[0; 13]].concat());
        let mdia = boxed(b"mdia", &[mdhd, hdlr, minf].concat());
        let tkhd = full(b"tkhd", 7, &[words(&[0, 0, 1, 0, 80]), vec![0; 60]].concat());
        let trak = boxed(b"trak", &[tkhd, self.edits.clone(), mdia].concat());
        let mvhd = full(b"mvhd", 0, &[words(&[0, 0, self.movie_timescale, 80]), vec![0; 80]].concat());
        let moov = boxed(b"moov", &[mvhd, trak, self.extends.clone()].concat());
        [boxed(b"ftyp", b"isom\0\0\0\0isom"), moov, self.rest.clone()].concat()
    }

    /// In fragments: no samples in `moov`, and these boxes behind it.
    fn fragmented(rest: Vec<u8>) -> Self {
        let trex = full(b"trex", 0, &words(&[1, 1, 960, 10, 0]));
        let mut movie = Self::new();
        for (kind, body) in
            [(b"stts", vec![0]), (b"stsc", vec![0]), (b"stsz", vec![0, 0]), (b"stco", vec![0])]
        {
            movie = movie.table(kind, &body);
        }
        movie.extends = boxed(b"mvex", &trex);
        movie.rest = rest;
        movie
    }
}

/// A `moof` of one `traf` with these boxes behind its `tfhd`.
fn moof(inner: &[u8]) -> Vec<u8> {
    let traf = boxed(b"traf", &[&full(b"tfhd", 0x2_0000, &words(&[1]))[..], inner].concat());
    boxed(b"moof", &[full(b"mfhd", 0, &words(&[1])), traf].concat())
}

/// Counts what is read.
struct Counting(Bytes, AtomicU64);

impl ReadAt for Counting {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.0.read_at(offset, buf)?;
        self.1.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }

    fn size(&self) -> u64 {
        self.0.size()
    }
}

struct Cost {
    packets: u64,
    peak: usize,
    read: u64,
    said: String,
}

fn read(data: Vec<u8>) -> Cost {
    let source = Arc::new(Counting(Bytes::from(data), AtomicU64::new(0)));
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let (mut packets, mut said) = (0, "read to its end".to_owned());
    match mp4::Demuxer::open(source.clone(), Limits::default()) {
        Ok(mut demuxer) => loop {
            match demuxer.next_item() {
                Ok(Some(Item::Packet(_))) => packets += 1,
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    said = error.to_string();
                    break;
                }
            }
        },
        Err(error) => said = error.to_string(),
    }
    let peak = MEMORY.peak_usage().saturating_sub(before);
    Cost { packets, peak, read: source.1.load(Ordering::Relaxed), said }
}

const HUGE: u32 = u32::MAX;

fn cases() -> Vec<(&'static str, Vec<u8>)> {
    let plain = Movie::new;
    let nested = |kind: &[u8; 4], depth: usize| (0..depth).fold(Vec::new(), |inner, _| boxed(kind, &inner));
    let mut out = Vec::new();
    let mut add = |name: &'static str, data: Vec<u8>| out.push((name, data));

    // Counts.
    add("more times than there are", plain().table(b"stts", &[HUGE, 4, 960]).bytes());
    add("a run of times without end", plain().table(b"stts", &[1, HUGE, 0]).bytes());
    add("more sizes than there are", plain().table(b"stsz", &[0, HUGE, 10]).bytes());
    add("all samples of one size, four thousand million", plain().table(b"stsz", &[10, HUGE]).bytes());
    let many = plain().table(b"stsz", &[0, 0]).table(b"stsc", &[1, 1, HUGE, 1]);
    add("no samples in a chunk of all", many.bytes());
    let empty = plain().table(b"stsz", &[0, 1 << 24]).table(b"stsc", &[1, 1, HUGE, 1]);
    add("sizes are promised, and none are there", empty.bytes());
    let mut compact = plain();
    compact.tables.retain(|(kind, _)| *kind != b"stsz");
    compact.tables.push((b"stz2", [&[0, 0, 0, 4][..], &HUGE.to_be_bytes()].concat()));
    add("compact sizes of four bits, and none are there", compact.bytes());
    let zero =
        plain().table(b"stsz", &[1, 16 << 20]).table(b"stsc", &[1, 1, HUGE, 1]).table(b"stts", &[1, HUGE, 1]);
    add("sixteen million samples of a byte in four thousand", zero.bytes());
    add("more chunks than there are", plain().table(b"stco", &[HUGE, 40]).bytes());
    add("more runs of chunks than there are", plain().table(b"stsc", &[HUGE, 1, 4, 1]).bytes());
    add("no samples in any chunk", plain().table(b"stsc", &[1, 1, 0, 1]).bytes());
    add(
        "all chunks at one place",
        plain().table(b"stco", &[4, 40, 40, 40, 40]).table(b"stsc", &[1, 1, 1, 1]).bytes(),
    );
    let mut again = vec![1000];
    again.extend([40; 1000]);
    let again =
        plain().table(b"stco", &again).table(b"stsz", &[1, 4_000_000]).table(b"stsc", &[1, 1, 4000, 1]);
    add("four million samples of the same bytes", again.table(b"stts", &[1, HUGE, 1]).bytes());
    add("a chunk behind the end", plain().table(b"stco", &[1, HUGE]).bytes());
    add("a chunk in its own table", plain().table(b"stco", &[1, 8]).bytes());
    add("a sample larger than the file", plain().table(b"stsz", &[0, 1, HUGE]).bytes());
    add("more key samples than there are", plain().table(b"stss", &[HUGE, 1]).bytes());
    add("offsets of two thousand million", plain().table(b"ctts", &[1, 4, 0x8000_0000]).bytes());
    add("more offsets than there are", plain().table(b"ctts", &[HUGE, 4, 0]).bytes());
    add("descriptions that aren't there", plain().table(b"stsc", &[1, 1, 4, HUGE]).bytes());
    let mut stsd = plain();
    stsd.entry = Vec::new();
    add("no description", stsd.bytes());
    let mut edits = plain();
    edits.edits = boxed(b"edts", &full(b"elst", 0, &words(&[HUGE, 80, 0, 0x1_0000])));
    add("more edits than there are", edits.bytes());
    edits.edits = boxed(b"edts", &full(b"elst", 1, &[&words(&[1])[..], &[0x7F; 16], &[0; 4]].concat()));
    add("an edit at the end of time", edits.bytes());

    // Clocks.
    for (name, movie, media) in
        [("no movie clock", 0, 48_000), ("no media clock", 1000, 0), ("no clock", 0, 0)]
    {
        let mut movie_ = plain();
        (movie_.movie_timescale, movie_.media_timescale) = (movie, media);
        add(name, movie_.bytes());
    }
    let mut fast = plain().table(b"stts", &[1, 4, HUGE]);
    fast.media_timescale = HUGE;
    add("the fastest clock", fast.bytes());

    // Boxes within boxes, and sizes.
    for kind in [b"moov", b"trak", b"mdia", b"stbl", b"udta", b"meta", b"moof", b"sinf"] {
        add(
            "a thousand boxes within each other",
            [boxed(b"ftyp", b"isom\0\0\0\0"), nested(kind, 1000)].concat(),
        );
        let mut inside = plain();
        inside.extends = nested(kind, 1000);
        add("a thousand boxes within each other, in moov", inside.bytes());
        inside.extends = Vec::new();
        inside.entry = boxed(b"Opus", &[&plain().entry[8..], &nested(kind, 1000)].concat());
        add("a thousand boxes within each other, in a description", inside.bytes());
    }
    let mut sizes = plain();
    for (name, size) in [
        ("of no size", 0u32),
        ("smaller than its head", 7),
        ("larger than the file", HUGE),
        ("of a long size that isn't there", 1),
    ] {
        sizes.rest = [&size.to_be_bytes()[..], b"moof", &[0; 64]].concat();
        add(name, sizes.bytes());
        sizes.rest =
            [&1u32.to_be_bytes()[..], b"mdat", &(u64::MAX - u64::from(size)).to_be_bytes(), &[0; 64]]
                .concat();
        add("of a long size beyond all", sizes.bytes());
    }
    sizes.rest = boxed(b"free", &[]).repeat(200_000);
    add("two hundred thousand empty boxes", sizes.bytes());
    sizes.rest = boxed(b"moof", &[]).repeat(200_000);
    add("two hundred thousand empty fragments", sizes.bytes());
    sizes.rest = Vec::new();
    sizes.extends = boxed(b"trak", &[]).repeat(100_000);
    add("a hundred thousand empty tracks", sizes.bytes());
    let one = plain();
    let whole = one.bytes();
    let trak = whole.windows(4).position(|at| at == b"trak").unwrap() - 4;
    let length = u32::from_be_bytes(whole[trak..trak + 4].try_into().unwrap()) as usize;
    sizes.extends = whole[trak..trak + length].repeat(2000);
    add("two thousand tracks of one number", sizes.bytes());

    // Fragments.
    let fragmented =
        |inner: Vec<u8>| Movie::fragmented([moof(&inner), boxed(b"mdat", &[7; 4096])].concat()).bytes();
    add("a run of four thousand million samples", fragmented(full(b"trun", 0, &words(&[HUGE]))));
    add("a run of a million samples of default size", fragmented(full(b"trun", 0, &words(&[1 << 20]))));
    add("a run of more sizes than there are", fragmented(full(b"trun", 0x200, &words(&[HUGE, 10]))));
    add("a run that begins before the file", fragmented(full(b"trun", 1, &words(&[4, 0x8000_0000]))));
    add("a run in its own head", fragmented(full(b"trun", 1, &words(&[4, 0]))));
    let runs = full(b"trun", 0, &words(&[1 << 16])).repeat(1000);
    add("a thousand runs of many samples", fragmented(runs));
    let nothing = full(b"tfhd", 0x2_0010, &words(&[1, 0]));
    let run = [nothing, full(b"trun", 0, &words(&[(1 << 24) - 1]))].concat();
    let traf = boxed(b"moof", &[full(b"mfhd", 0, &words(&[1])), boxed(b"traf", &run)].concat());
    add("sixteen million samples of nothing", Movie::fragmented(traf).bytes());
    let bytes = full(b"tfhd", 0x2_0010, &words(&[1, 1]));
    let run = [bytes, full(b"trun", 0, &words(&[1 << 12]))].concat();
    let traf = boxed(b"moof", &[full(b"mfhd", 0, &words(&[1])), boxed(b"traf", &run)].concat());
    add("forty million samples, again and again", Movie::fragmented(traf.repeat(10_000)).bytes());
    let far = full(b"tfdt", 0x0100_0000, &[0xFF; 8]);
    add("the end of time", fragmented([far, full(b"trun", 0, &words(&[4]))].concat()));
    let circle = boxed(b"traf", &full(b"tfhd", 1, &[&words(&[1])[..], &0u64.to_be_bytes()].concat()));
    let circle = boxed(b"moof", &[full(b"mfhd", 0, &words(&[1])), circle].concat());
    add("fragments whose base is the file's head", Movie::fragmented(circle.repeat(1000)).bytes());
    let references: Vec<u32> = [[0x8000_0000u32 | 8, 0, 0]; 1000].concat();
    let sidx = full(b"sidx", 0, &[words(&[1, 48_000, 0, 0, 1000]), words(&references)].concat());
    add("an index that refers to itself", Movie::fragmented(sidx.repeat(100)).bytes());

    // Encryption.
    let tenc = full(b"tenc", 0, &[&[0, 0, 1, 8][..], &[3; 16]].concat());
    let sinf = [
        boxed(b"frma", b"Opus"),
        full(b"schm", 0, &[&b"cenc"[..], &[0, 1, 0, 0]].concat()),
        boxed(b"schi", &tenc),
    ];
    let locked = |mut movie: Movie| {
        let entry = [&movie.entry[8..], &boxed(b"sinf", &sinf.concat())].concat();
        movie.entry = boxed(b"enca", &entry);
        movie
    };
    for (name, inner) in [
        ("more vectors than there are", full(b"senc", 0, &words(&[HUGE]))),
        (
            "more subsamples than there are",
            full(b"senc", 2, &[&words(&[4])[..], &[9; 8], &[0xFF; 64]].concat()),
        ),
        ("more sizes of vectors than there are", full(b"saiz", 0, &[&[0][..], &words(&[HUGE])].concat())),
        (
            "vectors of one size, four thousand million",
            full(b"saiz", 0, &[&[8][..], &words(&[HUGE])].concat()),
        ),
        (
            "vectors at the file's head",
            [full(b"saiz", 0, &[&[8][..], &words(&[4])].concat()), full(b"saio", 0, &words(&[1, 0]))]
                .concat(),
        ),
        ("vectors at more places than there are", full(b"saio", 0, &words(&[HUGE, 0]))),
        (
            "groups of more than there are",
            full(b"sbgp", 0, &[&b"seig"[..], &words(&[HUGE, HUGE, 1])].concat()),
        ),
        (
            "more groups than there are",
            full(b"sgpd", 0x0100_0000, &[&b"seig"[..], &words(&[20, HUGE])].concat()),
        ),
    ] {
        let inner = [inner, full(b"trun", 0, &words(&[4]))].concat();
        let movie = locked(Movie::fragmented([moof(&inner), boxed(b"mdat", &[7; 4096])].concat()));
        add(name, movie.bytes());
    }
    let mut keys = locked(plain());
    keys.extends = full(b"pssh", 0x0100_0000, &[&[1; 16][..], &words(&[HUGE])].concat());
    add("more keys than there are", keys.bytes());
    out
}

#[test]
fn no_file_takes_more_than_it_may() {
    let sound = read(Movie::new().bytes());
    assert_eq!((sound.packets, sound.said.as_str()), (4, "read to its end"), "what all others are made from");
    for (name, data) in cases() {
        let size = data.len() as u64;
        let cost = read(data);
        println!(
            "{name}: {} packets, {} kB, {} bytes read of {size}: {}",
            cost.packets,
            cost.peak >> 10,
            cost.read,
            cost.said
        );
        assert!(cost.peak <= MOST, "{name} takes {} MiB", cost.peak >> 20);
        // A piece may be read again for a sample that crosses its end; whoever reads more goes round in a circle.
        assert!(cost.read <= size * 64 + (1 << 20), "{name}: {} bytes are read of {size}", cost.read);
        assert!(
            cost.packets <= size.max(1 << 16),
            "{name}: {} packets come out of {size} bytes",
            cost.packets
        );
    }
}
