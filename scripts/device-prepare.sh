#!/usr/bin/env bash
# Makes `.device/` for `scripts/device-check.sh`: the program, media of every codec, and what
# software makes of each picture. Needs FFmpeg and the corpus.
set -euo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-target}"
source="${STREAMVERSE_CORPUS:?}/clips/big_buck_bunny_trailer_720p24.mp4"
mkdir -p .device
cargo build --locked --release -p sv-transcode --example nvcheck --no-default-features --features ffmpeg
cp "$target/release/examples/nvcheck" .device/nvcheck-software

make() { # name, seconds, filter, options of the encoder
  ffmpeg -v error -y -ss 8 -t "$2" -i "$source" -an -vf "$3" "${@:4}" ".device/$1.mp4"
}
cp "$STREAMVERSE_CORPUS/clips/big_buck_bunny_720p25_5s.mp4" .device/h264_720p.mp4
make h264_322x182 3 scale=322:182 -c:v libx264 -preset fast -bf 3 -pix_fmt yuv420p
make hevc_8 3 null -c:v libx265 -preset fast -pix_fmt yuv420p -tag:v hvc1 -x265-params log-level=error
make hevc_10 3 null -c:v libx265 -preset fast -pix_fmt yuv420p10le -tag:v hvc1 -x265-params log-level=error
make av1_8 3 null -c:v libsvtav1 -preset 8 -crf 35 -pix_fmt yuv420p
make av1_10 3 null -c:v libsvtav1 -preset 8 -crf 35 -pix_fmt yuv420p10le
make av1_322x182 2 scale=322:182 -c:v libsvtav1 -preset 8 -crf 35 -pix_fmt yuv420p
make vp9_8 3 null -c:v libvpx-vp9 -deadline realtime -cpu-used 6 -b:v 2M -pix_fmt yuv420p
make vp9_10 2 scale=640:360 -c:v libvpx-vp9 -deadline realtime -cpu-used 6 -b:v 1M -profile:v 2 -pix_fmt yuv420p10le
make vp9_321x181 2 scale=321:181 -c:v libvpx-vp9 -deadline realtime -cpu-used 6 -b:v 500k -pix_fmt yuv420p
for media in .device/*.mp4; do
  .device/nvcheck-software --software "${media%.mp4}.txt" "$media"
done
rm .device/nvcheck-software

# The last build is the one to carry: it needs no library but those of C and C++.
cargo build --locked --release -p sv-transcode --example nvcheck --no-default-features --features pure,nvcodec
cp "$target/release/examples/nvcheck" .device/nvcheck
# The command, and sources that software without FFmpeg decodes to the last bit (openh264 doesn't with
# B-pictures), so that both ways must give the same files.
cargo build --locked --release -p streamverse --no-default-features --features cli,pure,nvcodec
cp "$target/release/sv" .device/sv
mkdir -p .device/vod
plain=(-c:v libx264 -preset veryfast -bf 0 -refs 1 -weightp 0 -crf 20)
ffmpeg -v error -y -i "$source" "${plain[@]}" -c:a copy .device/vod/720p.mp4
ffmpeg -v error -y -ss 8 -t 6 -i "$source" -an -vf scale=3840:2160 "${plain[@]}" .device/vod/2160p.mp4
ldd .device/nvcheck
du -sh .device
