//! Videos that are cut into chunks, and who works on them.

use crate::service::{Service, clip};

#[test]
fn workers_and_their_chunks_are_shown_while_they_work() {
    let Some(clip) = clip("big_buck_bunny_trailer_720p24.mp4") else { return };
    let service = Service::start_new(&["--workers", "2"]);
    let idle = service.get("/v1/workers").json();
    assert_eq!((idle["running"].as_u64(), idle["workers"].as_array().map(Vec::len)), (Some(0), Some(0)));
    let id =
        service.upload(&[], "a.mp4", &std::fs::read(clip).unwrap()).json()["id"].as_str().unwrap().to_owned();
    let seen = service.wait(|| {
        let force = service.get("/v1/workers").json();
        let busy = force["workers"].as_array()?.iter().filter(|w| w["busy"] == true).count();
        (busy == 2).then_some(force)
    });
    let chunks = &seen["chunks"][0];
    assert_eq!(chunks["video_id"].as_str(), Some(id.as_str()));
    assert_eq!(chunks["running"].as_u64(), Some(2), "{seen}");
    assert!(!seen.to_string().contains(service.data.path().to_str().unwrap()), "{seen}");
    assert_eq!(service.wait_for(&id, &["ready", "failed"])["state"], "ready");
    let over = service.get("/v1/workers").json();
    assert_eq!(over["chunks"].as_array().map(Vec::len), Some(0), "{over}");
}
