#!/usr/bin/env bash
# Our HDR to standard range beside FFmpeg's zscale and libplacebo: how far colours move, and processor
# time. Arguments: a clip of PQ, or none for a sweep of all hues. libplacebo needs a Vulkan device; a
# software one (Mesa's lavapipe) is named by VK_ICD_FILENAMES.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=${STREAMVERSE_PEERS:-$HOME/.cache/streamverse/peers}
program=$("$venv/bin/python" -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())' 2>/dev/null || command -v ffmpeg)
cd "$here/../.."
exec cargo run -q --release -p sv-transcode --no-default-features --example tone -- "$program" "$@"
