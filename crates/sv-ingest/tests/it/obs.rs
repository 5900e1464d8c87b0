//! OBS sends, without a screen: a profile and a scene of ours in a folder of its own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use sv_container::ts::Muxer;
use sv_core::{Codec, Item};
use sv_ingest::Next;
use sv_ingest::gateway::Open;

use crate::kit::{Listening, Received, run};

/// Ends with this.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const PROFILE: &str = "[General]\nName=Ours\n[Output]\nMode=Simple\nReconnect=false\n\
    [SimpleOutput]\nVBitrate=600\nABitrate=96\nStreamEncoder=x264\nUseAdvanced=true\nPreset=ultrafast\n\
    [Video]\nBaseCX=320\nBaseCY=180\nOutputCX=320\nOutputCY=180\nFPSType=0\nFPSCommon=30\n\
    [Audio]\nSampleRate=48000\nChannelSetup=Stereo\n";
const GLOBAL: &str = "[General]\nFirstRun=true\nInfoIncrement=99\nLastVersion=486539266\nEnableAutoUpdates=false\n\
    [Basic]\nProfile=Ours\nProfileDir=Ours\nSceneCollection=Ours\nSceneCollectionFile=Ours\n";

#[test]
fn what_obs_sends_is_what_it_shows() {
    let tools = ["obs", "Xvfb", "ffmpeg"].map(sv_testkit::tool);
    let [Some(obs), Some(screen), Some(ffmpeg)] = tools else { return };
    let listening = Listening::new(Open);
    let mut feed = listening.gateway.hub().subscribe("studio", 1 << 30);
    let folder = tempfile::tempdir().unwrap();
    let basic = folder.path().join("obs-studio/basic");
    let (profile, scenes) = (basic.join("profiles/Ours"), basic.join("scenes"));
    std::fs::create_dir_all(&profile).unwrap();
    std::fs::create_dir_all(&scenes).unwrap();
    let server = format!("rtmp://127.0.0.1:{}/live", listening.port);
    let service = json!({ "type": "rtmp_custom", "settings": { "server": server, "key": "studio" } });
    // Green, in the upper left.
    let item = json!({ "name": "Green", "id": 1, "visible": true, "scale": { "x": 1.0, "y": 1.0 } });
    let scene = json!({ "id": "scene", "name": "Scene", "settings": { "id_counter": 1, "items": [item] } });
    let colour = json!({ "color": 0xFF00_FF00u32, "width": 200, "height": 100 });
    let green = json!({ "id": "color_source", "versioned_id": "color_source_v3", "name": "Green", "settings": colour });
    let collection = json!({ "name": "Ours", "current_scene": "Scene", "current_program_scene": "Scene",
        "scene_order": [{ "name": "Scene" }], "sources": [scene, green] });
    for (path, text) in [
        (profile.join("basic.ini"), PROFILE.to_owned()),
        (profile.join("service.json"), service.to_string()),
        (scenes.join("Ours.json"), collection.to_string()),
        (folder.path().join("obs-studio/global.ini"), GLOBAL.to_owned()),
    ] {
        std::fs::write(path, text).unwrap();
    }
    let mut screen = Command::new(screen)
        .args(["-displayfd", "1", "-screen", "0", "640x480x24"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut display = String::new();
    BufReader::new(screen.stdout.take().unwrap()).read_line(&mut display).unwrap();
    let _screen = Process(screen);
    let sender = Command::new(obs)
        .args(["--startstreaming", "--multi", "--profile", "Ours", "--collection", "Ours"])
        .env("DISPLAY", format!(":{}", display.trim()))
        .env("XDG_CONFIG_HOME", folder.path())
        .env("HOME", folder.path())
        .env("LIBGL_ALWAYS_SOFTWARE", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let sender = Process(sender);
    let mut received = Received::default();
    while received.packets.len() < 200 {
        match feed.next(Duration::from_secs(120)) {
            Next::Item(Item::Track(track)) => received.tracks.push(track),
            Next::Item(Item::Packet(packet)) => received.packets.push(packet),
            Next::Item(_) => {}
            _ => panic!("{} packets have come", received.packets.len()),
        }
    }
    drop(sender);
    let of = |codec| received.tracks.iter().find(|t| t.codec == codec).unwrap();
    let (video, audio) = (of(Codec::H264), of(Codec::Aac));
    assert_eq!((video.video().unwrap().width, audio.audio().unwrap().channels), (320, 2));
    for track in [video, audio] {
        let told = received.of(track.id.0);
        assert!(told.len() > 50 && told[0].key && told.windows(2).all(|w| w[0].dts < w[1].dts));
    }
    let packets: Vec<_> = received.packets.iter().filter(|p| p.track == video.id).cloned().collect();
    let file = folder.path().join("came.ts");
    std::fs::write(&file, Muxer::new(&[video]).unwrap().piece(&packets).unwrap().0).unwrap();
    let inside =
        ["-vf", "crop=2:2:50:50", "-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"];
    let out = run(&ffmpeg, &[&["-i", file.to_str().unwrap()][..], &inside].concat());
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    // The last picture may be cut off.
    assert!(out.stdout.len() + 12 >= packets.len() * 12, "{} of {}", out.stdout.len() / 12, packets.len());
    let [red, green, blue] = *out.stdout.last_chunk::<3>().unwrap();
    assert!(green > 200 && red < 60 && blue < 60, "{red} {green} {blue}");
}
