//! The OpenAPI document, made from the handlers. The committed copy is `openapi.json` beside `src`.

use utoipa::openapi::{ContactBuilder, InfoBuilder, LicenseBuilder, OpenApi};

/// The document as it is committed: pretty, with a line feed at the end.
pub(crate) fn text() -> String {
    let document = finish(super::documented().split_for_parts().1);
    document.to_pretty_json().map(|json| json + "\n").unwrap_or_default()
}

pub(super) fn finish(mut document: OpenApi) -> OpenApi {
    // The router's sign for "the rest of the path" means nothing in OpenAPI.
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    document.info = InfoBuilder::new()
        .title("StreamVerse reference service")
        .description(Some("Upload, transcode, protect and play video."))
        .version(env!("CARGO_PKG_VERSION"))
        .contact(Some(ContactBuilder::new().name(Some("The StreamVerse founders")).build()))
        .license(Some(LicenseBuilder::new().name("MIT OR Apache-2.0").build()))
        .build();
    document
}
