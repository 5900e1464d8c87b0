//! Pictures of all directions stay such: ffprobe says so.

use std::path::Path;

use crate::kit;

/// Puts bytes at the end of a box, given by the names on the way to it (the first of each), and makes
/// the boxes around it larger. The header must lie behind the media, whose place doesn't change.
fn insert(file: &mut Vec<u8>, path: &[&[u8; 4]], bytes: &[u8]) {
    let (mut from, mut until) = (0, file.len());
    let mut sizes = Vec::new();
    for name in path {
        let mut at = from;
        loop {
            let size = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
            if &file[at + 4..at + 8] == *name {
                sizes.push(at);
                from = at + if *name == b"stsd" { 16 } else { 8 };
                until = at + size;
                break;
            }
            at += size;
            assert!(at < until, "{} is not there", String::from_utf8_lossy(*name));
        }
    }
    for at in sizes {
        let size = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) + bytes.len() as u32;
        file[at..at + 4].copy_from_slice(&size.to_be_bytes());
    }
    file.splice(until..until, bytes.iter().copied());
}

fn make_box(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], name, body].concat()
}

fn side_data(file: &Path) -> String {
    let args =
        ["-v", "error", "-select_streams", "v:0", "-show_entries", "stream_side_data", "-of", "compact"];
    kit::run(&sv_testkit::tool("ffprobe").unwrap(), &[&args[..], &[file.to_str().unwrap()]].concat())
}

fn vod(source: &Path, output: &Path, more: &[&str]) -> std::path::PathBuf {
    let args = ["vod", "--preset", "fastest", "--out"];
    let made = kit::sv().args(args).arg(output).arg(source).args(more).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    kit::joined(output, "360p-h264")
}

/// The XML of V1 around some elements. FFmpeg wants to know the software, too.
fn xml(more: &str) -> Vec<u8> {
    let id = *b"\xff\xcc\x82\x63\xf8\x55\x4a\x93\x88\x14\x58\x7a\x02\x52\x1f\xdd";
    let text = format!(
        "<rdf:SphericalVideo xmlns:GSpherical='http://ns.google.com/videos/1.0/spherical/'>\
         <GSpherical:Spherical>true</GSpherical:Spherical><GSpherical:Stitched>true</GSpherical:Stitched>\
         <GSpherical:StitchingSoftware>none</GSpherical:StitchingSoftware>\
         <GSpherical:ProjectionType>equirectangular</GSpherical:ProjectionType>{more}</rdf:SphericalVideo>"
    );
    make_box(b"uuid", &[&id[..], text.as_bytes()].concat())
}

#[test]
fn pose_and_eyes_come_from_every_container() {
    let dir = tempfile::tempdir().unwrap();
    // A track of time codes, as cameras write: FFmpeg reads the file then, and not our own demuxer.
    let pictures = ["-f", "lavfi", "-i", "testsrc2=s=720x360:r=25:d=2", "-c:v", "libx264"];
    let codes = ["-pix_fmt", "yuv420p", "-timecode", "00:00:00:00"];
    let Some(camera) = kit::make(dir.path(), "camera.mp4", &[&pictures[..], &codes].concat()) else { return };
    let mut bytes = std::fs::read(&camera).unwrap();
    insert(
        &mut bytes,
        &[b"moov", b"trak"],
        &xml("<GSpherical:StereoMode>top-bottom</GSpherical:StereoMode>"),
    );
    std::fs::write(&camera, bytes).unwrap();
    // The same without that track, and with a pose, which FFmpeg does not read from XML.
    let plain = kit::make(dir.path(), "plain.mp4", &[&pictures[..], &codes[..2]].concat()).unwrap();
    let mut bytes = std::fs::read(&plain).unwrap();
    let pose = "<GSpherical:InitialViewHeadingDegrees>45</GSpherical:InitialViewHeadingDegrees>\
                <GSpherical:InitialViewPitchDegrees>-10</GSpherical:InitialViewPitchDegrees>\
                <GSpherical:InitialViewRollDegrees>5</GSpherical:InitialViewRollDegrees>";
    insert(&mut bytes, &[b"moov", b"trak"], &xml(pose));
    std::fs::write(&plain, bytes).unwrap();
    let posed = vod(&plain, &dir.path().join("posed"), &[]);
    // FFmpeg's own copies of what we wrote: elements of Matroska, and its boxes of V2.
    let copy = ["-i", posed.to_str().unwrap(), "-c", "copy", "-strict", "unofficial"];
    let matroska = kit::make(dir.path(), "copy.mkv", &copy).unwrap();
    let boxes = kit::make(dir.path(), "copy.mp4", &copy).unwrap();
    let whole = "projection=equirectangular";
    let angles = ["yaw=45", "pitch=-10", "roll=5", whole];
    for wanted in angles {
        assert!(side_data(&posed).contains(wanted), "posed: {}", side_data(&posed));
    }
    for (source, wanted) in [(camera, &["top and bottom", whole][..]), (matroska, &angles), (boxes, &angles)]
    {
        let name = source.file_name().unwrap().to_str().unwrap();
        let (there, made) = (side_data(&source), vod(&source, &dir.path().join(format!("{name}.out")), &[]));
        let found = side_data(&made);
        for wanted in wanted {
            assert!(there.contains(wanted), "{name}, the source: {there}");
            assert!(found.contains(wanted), "{name}: {wanted} is not in {found}");
        }
    }
}

#[test]
fn half_a_sphere_stays_half_a_sphere() {
    let dir = tempfile::tempdir().unwrap();
    let pictures =
        ["-f", "lavfi", "-i", "testsrc2=s=720x360:r=25:d=2", "-c:v", "libx264", "-pix_fmt", "yuv420p"];
    let Some(source) = kit::make(dir.path(), "half.mp4", &pictures) else { return };
    let part = [
        ("FullPanoWidth", 1440),
        ("FullPanoHeight", 720),
        ("CroppedAreaImageWidth", 720),
        ("CroppedAreaImageHeight", 360),
        ("CroppedAreaLeft", 360),
        ("CroppedAreaTop", 180),
    ];
    let part =
        part.map(|(name, n)| format!("<GSpherical:{name}Pixels>{n}</GSpherical:{name}Pixels>")).concat();
    let mut bytes = std::fs::read(&source).unwrap();
    insert(&mut bytes, &[b"moov", b"trak"], &xml(&part));
    std::fs::write(&source, bytes).unwrap();
    // ffprobe tells in samples what is missing at each side.
    let found = side_data(&vod(&source, &dir.path().join("out"), &[]));
    assert!(found.contains("projection=tiled equirectangular"), "{found}");
    for (side, wanted) in [("left", 360u32), ("right", 360), ("top", 180), ("bottom", 180)] {
        let (_, rest) = found.split_once(&format!("bound_{side}=")).unwrap_or_else(|| panic!("{found}"));
        let number: u32 = rest.split(['|', '\n']).next().unwrap().trim().parse().unwrap();
        assert!(number.abs_diff(wanted) <= 1, "{side}: {found}");
    }
}

#[test]
fn all_directions_are_kept_from_both_kinds_of_metadata() {
    let dir = tempfile::tempdir().unwrap();
    let pictures =
        ["-f", "lavfi", "-i", "testsrc2=s=720x360:r=25:d=2", "-c:v", "libx264", "-pix_fmt", "yuv420p"];
    let Some(flat) = kit::make(dir.path(), "flat.mp4", &pictures) else { return };
    let flat = std::fs::read(flat).unwrap();

    // The second kind: boxes. A pose of 90 degrees to the side, one eye above the other.
    let name = make_box(b"svhd", b"\0\0\0\0by hand\0");
    let pose = make_box(b"prhd", &[&[0; 4][..], &(90i32 << 16).to_be_bytes(), &[0; 8]].concat());
    let bounds = make_box(b"equi", &[0; 20]);
    let sv3d = make_box(b"sv3d", &[name, make_box(b"proj", &[pose, bounds].concat())].concat());
    let st3d = make_box(b"st3d", &[0, 0, 0, 0, 1]);
    let mut boxes = flat.clone();
    let entry: &[&[u8; 4]] = &[b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"];
    insert(&mut boxes, entry, &[st3d, sv3d].concat());
    // The first kind: XML.
    let xml = "<rdf:SphericalVideo xmlns:GSpherical='http://ns.google.com/videos/1.0/spherical/'>\
               <GSpherical:Spherical>true</GSpherical:Spherical><GSpherical:Stitched>true</GSpherical:Stitched>\
               <GSpherical:StereoMode>left-right</GSpherical:StereoMode>\
               <GSpherical:ProjectionType>equirectangular</GSpherical:ProjectionType></rdf:SphericalVideo>";
    let id = *b"\xff\xcc\x82\x63\xf8\x55\x4a\x93\x88\x14\x58\x7a\x02\x52\x1f\xdd";
    let mut text = flat.clone();
    insert(&mut text, &[b"moov", b"trak"], &make_box(b"uuid", &[&id[..], xml.as_bytes()].concat()));

    for (name, bytes, yaw, stereo) in
        [("boxes", boxes, "yaw=90", "top and bottom"), ("xml", text, "yaw=0", "side by side")]
    {
        let source = dir.path().join(format!("{name}.mp4"));
        std::fs::write(&source, bytes).unwrap();
        for (how, more) in [("one", &[][..]), ("chunks", &["--workers", "2"])] {
            let found = side_data(&vod(&source, &dir.path().join(format!("{name}-{how}")), more));
            for wanted in ["projection=equirectangular", yaw, stereo] {
                assert!(found.contains(wanted), "{name}, {how}: {wanted} is not in {found}");
            }
        }
    }
    let source = dir.path().join("boxes.mp4");
    let cropped = dir.path().join("cropped");
    let args = ["vod", "--preset", "fastest", "--crop", "640:360:0:0", "--out"];
    assert!(kit::sv().args(args).arg(&cropped).arg(&source).status().unwrap().success());
    assert!(
        !side_data(&kit::joined(&cropped, "360p-h264")).contains("projection"),
        "a part is not all around"
    );
}
