//! Passes on which FFmpeg was found, as `cfg(ffmpeg_6_0)` and so on: each is set for that version
//! and all later ones.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for version in ["6_0", "6_1", "7_0", "7_1", "8_0", "9_0"] {
        println!("cargo:rustc-check-cfg=cfg(ffmpeg_{version})");
        // `ffmpeg-sys-next` has `links = "ffmpeg"`, so its findings arrive as DEP_FFMPEG_*.
        let found = std::env::var(format!("DEP_FFMPEG_FFMPEG_{version}")).is_ok_and(|v| v == "true");
        if found {
            println!("cargo:rustc-cfg=ffmpeg_{version}");
        }
    }
}
