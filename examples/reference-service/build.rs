//! Makes sure that there is a page to carry: the real one is built by Vite, which `make` calls.

use std::fs;
use std::path::Path;

const PLACEHOLDER: &str = "<!doctype html><meta charset=utf-8><title>StreamVerse</title>\
    <p>The page was not built. Run <code>make run</code>, or <code>npm ci && npm run build</code> in \
    <code>examples/reference-service/web</code>, and build the service again. The API works.";

fn main() -> std::io::Result<()> {
    let page = Path::new("web/dist/index.html");
    if !page.exists() {
        fs::create_dir_all("web/dist")?;
        fs::write(page, PLACEHOLDER)?;
    }
    println!("cargo::rerun-if-changed=web/dist");
    Ok(())
}
