//! RTMP with programs of others at the other end: nginx-rtmp takes what we push and pushes what we take, GStreamer sends.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use sv_ingest::gateway::Open;
use sv_ingest::push::{Push, Target};

use crate::kit::{Listening, Told, make, probe, run};

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn film(ffmpeg: &Path, folder: &Path) -> String {
    let inputs = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=30:d=3", "-f", "lavfi", "-i", "sine=d=3"];
    let coding =
        ["-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "30", "-c:a", "aac", "-ac", "2"];
    make(ffmpeg, folder, "film.mp4", &[&inputs[..], &coding].concat()).to_str().unwrap().to_owned()
}

fn hashes(told: Vec<Told>) -> Vec<String> {
    told.into_iter().map(|t| t.hash).collect()
}

/// nginx with its module for RTMP, and the port where it listens.
fn nginx(folder: &Path, more: &str) -> Option<(Process, u16)> {
    let program = ["/usr/sbin/nginx", "/usr/bin/nginx"].iter().map(Path::new).find(|p| p.is_file());
    let module = Path::new("/usr/lib/nginx/modules/ngx_rtmp_module.so");
    let Some(program) = program.filter(|_| module.is_file()) else {
        println!("skipped: nginx and libnginx-mod-rtmp are not installed");
        return None;
    };
    // Whoever has a port gives it back before nginx takes it.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (conf, at) = (folder.join("nginx.conf"), folder.display());
    let text = format!(
        "load_module {}; daemon off; master_process off; pid {at}/pid; error_log {at}/log crit;\n\
         events {{ }}\nrtmp {{ server {{ listen 127.0.0.1:{port}; application live {{ live on; {more} }} }} }}\n",
        module.display()
    );
    std::fs::write(&conf, text).unwrap();
    let child = Command::new(program).arg("-c").arg(&conf).arg("-p").arg(folder).spawn().unwrap();
    let process = Process(child);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::yield_now();
    }
    Some((process, port))
}

#[test]
fn nginx_takes_what_is_pushed() {
    let Some(ffmpeg) = sv_testkit::tool("ffmpeg") else { return };
    let folder = tempfile::tempdir().unwrap();
    let film = film(&ffmpeg, folder.path());
    let Some((_nginx, port)) = nginx(folder.path(), "") else { return };
    let near = Listening::new(Open);
    let (say, told) = std::sync::mpsc::channel();
    let url = format!("rtmp://127.0.0.1:{port}/live/there");
    let push = Push::start(near.gateway.hub(), "one", Target::parse(&url).unwrap(), move |p| {
        let _ = say.send(p);
    });
    let out = folder.path().join("out.flv");
    // It waits there until the stream comes, and nginx would have it wait for another one behind it.
    let mut player = Command::new(&ffmpeg)
        .args([
            "-v",
            "error",
            "-y",
            "-rtmp_live",
            "live",
            "-analyzeduration",
            "1500000",
            "-i",
            &url,
            "-c",
            "copy",
            "-t",
            "2",
        ])
        .arg(&out)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    // Twice, since who plays may take its time to come.
    let arguments = ["-re", "-stream_loop", "1", "-i", &film, "-c", "copy", "-f", "flv", &near.url("one")];
    assert!(run(&ffmpeg, &arguments).status.success());
    assert!(told.recv().is_ok());
    drop(push);
    player.wait().unwrap();
    let out = out.to_str().unwrap();
    for stream in ["v:0", "a:0"] {
        let (once, came) = (hashes(probe(&film, stream)), hashes(probe(out, stream)));
        let sent = [once.clone(), once].concat();
        assert!(came.len() > 30, "{} of {}", came.len(), sent.len());
        let from = sent.iter().position(|hash| *hash == came[0]);
        let from = from.unwrap_or_else(|| panic!("{stream}: {:?} was never sent", probe(out, stream)[0]));
        assert_eq!(came, sent[from..][..came.len()], "{stream}");
    }
}

#[test]
fn what_nginx_pushes_arrives_to_the_byte() {
    let Some(ffmpeg) = sv_testkit::tool("ffmpeg") else { return };
    let folder = tempfile::tempdir().unwrap();
    let film = film(&ffmpeg, folder.path());
    let listening = Listening::new(Open);
    let push = format!("push 127.0.0.1:{}/live;", listening.port);
    let Some((_nginx, port)) = nginx(folder.path(), &push) else { return };
    let mut feed = listening.gateway.hub().subscribe("one", 1 << 30);
    let url = format!("rtmp://127.0.0.1:{port}/live/one");
    assert!(run(&ffmpeg, &["-re", "-i", &film, "-c", "copy", "-f", "flv", &url]).status.success());
    let received = listening.collect(&mut feed);
    for (track, stream) in [(1, "v:0"), (2, "a:0")] {
        let (sent, came) = (hashes(probe(&film, stream)), hashes(received.of(track)));
        let from = sent.iter().position(|hash| *hash == came[0]).unwrap();
        assert_eq!(came, sent[from..], "{stream}");
        assert!(came.len() * 2 > sent.len(), "{} of {}", came.len(), sent.len());
    }
}

#[test]
fn what_gstreamer_sends_arrives_to_the_byte() {
    let (Some(ffmpeg), Some(gst)) = (sv_testkit::tool("ffmpeg"), sv_testkit::tool("gst-launch-1.0")) else {
        return;
    };
    let has = |element| Command::new("gst-inspect-1.0").arg(element).stdout(Stdio::null()).status();
    if !["rtmp2sink", "flvmux", "qtdemux", "h264parse"].iter().all(|e| has(e).is_ok_and(|s| s.success())) {
        println!("skipped: GStreamer lacks rtmp2sink, flvmux, qtdemux or h264parse");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let film = film(&ffmpeg, folder.path());
    let listening = Listening::new(Open);
    let mut feed = listening.gateway.hub().subscribe("one", 1 << 30);
    let pipeline = format!(
        "filesrc location={film} ! qtdemux name=d flvmux name=m streamable=true ! rtmp2sink location={} \
         d.video_0 ! queue ! h264parse ! m. d.audio_0 ! queue ! aacparse ! m.",
        listening.url("one")
    );
    let out = Command::new(gst).arg("-q").args(pipeline.split(' ')).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let received = listening.collect(&mut feed);
    for (track, stream) in [(1, "v:0"), (2, "a:0")] {
        let (sent, came) = (hashes(probe(&film, stream)), hashes(received.of(track)));
        // It leaves out the packet that the file's edit list cuts.
        assert_eq!(came, sent[..came.len()], "{stream}");
        assert!(came.len() + 1 >= sent.len(), "{} of {}", came.len(), sent.len());
    }
}
