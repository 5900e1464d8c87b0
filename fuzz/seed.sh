#!/bin/sh
# Fills corpus/<target>/ from the real media that STREAMVERSE_CORPUS names, for the fuzz targets to
# begin with. Large files are cut: headers are what matters.
set -eu
cd "$(dirname "$0")"
: "${STREAMVERSE_CORPUS:?set STREAMVERSE_CORPUS to the folder with real media}"

seed() { # target, largest size, folders...
    target=$1 max=$2
    shift 2
    mkdir -p "corpus/$target"
    for folder in "$@"; do
        find "$STREAMVERSE_CORPUS/$folder" -type f | while read -r file; do
            name=$(echo "$folder/$(basename "$file")" | tr '/' '_')
            head -c "$max" "$file" >"corpus/$target/$name"
        done
    done
}

seed mp4 100000 exoplayer/mp4 exoplayer/drm
seed ts 20000 exoplayer/ts
seed webvtt 4000 exoplayer/webvtt exoplayer/subrip
seed ttml 4000 exoplayer/ttml
seed codec_headers 4000 exoplayer/mp4 exoplayer/ts
for file in "$STREAMVERSE_CORPUS"/shaka/inputs/*.mp4; do
    head -c 60000 "$file" >"corpus/mp4/shaka_$(basename "$file")"
done
for file in "$STREAMVERSE_CORPUS"/shaka/inputs/*.ts; do
    head -c 20000 "$file" >"corpus/ts/shaka_$(basename "$file")"
done
for file in "$STREAMVERSE_CORPUS"/shaka/inputs/*.h26? "$STREAMVERSE_CORPUS"/shaka/inputs/*I-frame*; do
    head -c 2000 "$file" >"corpus/codec_headers/shaka_$(basename "$file")"
done
