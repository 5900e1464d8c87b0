//! The committed OpenAPI document is the one that the handlers make.

use std::process::Command;

use serde_json::Value;

use crate::service::{PROGRAM, Service};

#[test]
fn the_committed_document_is_up_to_date() {
    let out = Command::new(PROGRAM).arg("--print-openapi").output().unwrap();
    let made = String::from_utf8(out.stdout).unwrap();
    // Cargo runs tests in the package's folder.
    let committed = std::fs::read_to_string("openapi.json").unwrap_or_default();
    assert!(
        made == committed,
        "openapi.json is out of date: cargo run -p reference-service -- --print-openapi > examples/reference-service/openapi.json"
    );
}

#[test]
fn the_document_is_served_and_names_what_there_is() {
    let service = Service::start();
    let document: Value = service.get("/v1/openapi.json").json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for (path, methods) in [
        ("/v1/videos", &["get"][..]),
        ("/v1/videos/upload", &["post"]),
        ("/v1/videos/{id}", &["get", "delete"]),
        ("/v1/videos/{id}/transcode", &["post"]),
        ("/v1/videos/{id}/play/{token}/{path}", &["get"]),
        ("/v1/uploads", &["post", "options"]),
        ("/v1/uploads/{id}", &["head", "patch", "delete"]),
        ("/v1/live", &["get"]),
        ("/v1/live/start", &["post"]),
        ("/v1/live/{id}", &["get", "delete"]),
        ("/v1/live/{id}/stop", &["post"]),
        ("/v1/live/{id}/key", &["post"]),
        ("/v1/live/{id}/publish", &["post"]),
        ("/v1/live/{id}/recordings", &["get"]),
        ("/v1/live/{id}/recordings/{recording}", &["get"]),
        ("/v1/live/{id}/parts/{part}", &["get"]),
        ("/v1/events", &["get"]),
        ("/v1/license/clearkey", &["post"]),
        ("/healthz", &["get"]),
        ("/metrics", &["get"]),
    ] {
        for method in methods {
            let operation = &document["paths"][path][method];
            assert!(operation["operationId"].is_string(), "{method} {path} is not described");
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
        }
    }
}
