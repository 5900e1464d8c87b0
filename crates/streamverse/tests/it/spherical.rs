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
