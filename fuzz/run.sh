#!/bin/sh
# Runs every fuzz target, one after the other: run.sh [seconds each]. Needs nightly Rust and
# cargo-fuzz; begins with real media when STREAMVERSE_CORPUS names some.
set -eu
cd "$(dirname "$0")"
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    echo "cargo-fuzz on nightly Rust is needed: cargo install cargo-fuzz; rustup toolchain install nightly" >&2
    exit 1
fi
if [ -n "${STREAMVERSE_CORPUS:-}" ]; then
    ./seed.sh
fi
for target in mp4 ts webvtt ttml codec_headers mp4_roundtrip webm_roundtrip protected_roundtrip origin_request scte35 \
    keys program; do
    echo "fuzzing $target"
    cargo +nightly fuzz run "$target" -- -max_total_time="${1:-180}" -rss_limit_mb=512 -timeout=10
done
