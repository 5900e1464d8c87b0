//! Content steering: the same presentation at several places. What players do with it, the service's e2e folder tests.

use crate::kit;

#[test]
fn every_pathway_has_everything_and_groups_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 3) else { return };
    let output = dir.path().join("out");
    let ways = ["--pathway", "near=", "--pathway", "far.b=https://far.example/talk/"];
    let done = kit::sv().arg("package").arg(&source).args(ways).arg("--out").arg(&output).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let master = std::fs::read(output.join("master.m3u8")).unwrap();
    let m3u8_rs::Playlist::MasterPlaylist(playlist) = m3u8_rs::parse_playlist_res(&master).unwrap() else {
        panic!("not a multivariant playlist")
    };
    let text = String::from_utf8(master).unwrap();
    assert!(
        text.contains("#EXT-X-CONTENT-STEERING:SERVER-URI=\"steering.json\",PATHWAY-ID=\"near\"\n"),
        "{text}"
    );
    for (id, base) in [("near", ""), ("far.b", "https://far.example/talk/")] {
        let of: Vec<_> = playlist
            .variants
            .iter()
            .filter(|v| {
                v.other_attributes
                    .as_ref()
                    .is_some_and(|o| o.get("PATHWAY-ID").is_some_and(|p| p.as_str() == id))
            })
            .collect();
        assert_eq!(of.iter().filter(|v| !v.is_i_frame).count(), 1, "{id}");
        assert_eq!(of.iter().filter(|v| v.is_i_frame).count(), 1, "{id}");
        for variant in of {
            assert_eq!(
                variant.uri.strip_prefix(base).map(|rest| rest.contains('/')),
                Some(false),
                "{}",
                variant.uri
            );
            if let Some(group) = &variant.audio {
                let sound: Vec<_> = playlist.alternatives.iter().filter(|a| a.group_id == *group).collect();
                assert_eq!(sound.len(), 1, "{group}");
                assert!(sound[0].uri.as_ref().unwrap().starts_with(base) && group.ends_with(id));
            }
        }
    }
    let manifest = std::fs::read_to_string(output.join("manifest.mpd")).unwrap();
    assert!(manifest.contains("<BaseURL serviceLocation=\"near\">./</BaseURL>"), "{manifest}");
    assert!(manifest.contains("<BaseURL serviceLocation=\"far.b\">https://far.example/talk/</BaseURL>"));
    assert!(manifest.contains(
        "<ContentSteering defaultServiceLocation=\"near\" queryBeforeStart=\"false\">steering.json<"
    ));
    let answer: serde_json::Value =
        serde_json::from_slice(&std::fs::read(output.join("steering.json")).unwrap()).unwrap();
    assert_eq!(answer["VERSION"], 1);
    assert_eq!(answer["PATHWAY-PRIORITY"], serde_json::json!(["near", "far.b"]));
}

#[test]
fn what_manifests_cant_say_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out");
    for ways in
        [["--pathway", "a b="], ["--pathway", "a=https://a.example/x"], ["--steering", "https://s.example/"]]
    {
        let done =
            kit::sv().args(["package", "film.mp4"]).args(ways).arg("--out").arg(&output).output().unwrap();
        assert!(!done.status.success(), "{ways:?}");
    }
}

/// What goes on says so from its first manifest on, and each that comes.
#[test]
fn a_live_presentation_is_steered_too() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 3) else { return };
    let out = dir.path().join("out");
    let ways = ["--pathway", "near=", "--pathway", "far=https://far.example/talk/", "--segment", "1s"];
    let live = crate::live::Live::start(&source, &out, std::process::Stdio::null(), &ways);
    let master = live.text("master.m3u8");
    assert!(master.contains("#EXT-X-CONTENT-STEERING:SERVER-URI=\"steering.json\",PATHWAY-ID=\"near\"\n"));
    assert_eq!(master.matches("\nhttps://far.example/talk/360p-h264.m3u8\n").count(), 1, "{master}");
    let manifest = live.text("manifest.mpd");
    assert!(manifest.contains("type=\"dynamic\""), "{manifest}");
    let bases = manifest.find("<BaseURL serviceLocation=\"far\">https://far.example/talk/</BaseURL>");
    assert!(bases.unwrap() < manifest.find("<PatchLocation").unwrap(), "{manifest}");
    let answer: serde_json::Value = serde_json::from_str(&live.text("steering.json")).unwrap();
    assert_eq!(answer["PATHWAY-PRIORITY"], serde_json::json!(["near", "far"]));
    live.wait();
    let manifest = std::fs::read_to_string(out.join("manifest.mpd")).unwrap();
    assert!(manifest.contains("<ContentSteering defaultServiceLocation=\"near\""), "{manifest}");
}
