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
seed hls 8000 shaka/golden
find corpus/hls -type f ! -name '*.m3u8' -delete
mkdir -p corpus/program corpus/keys
for codec in libx264 libaom-av1 aac flac; do
    # What an encoder's program writes into a pipe; where there is none, the fuzzer begins with nothing.
    ffmpeg -v quiet -y -f lavfi -i testsrc2=s=64x36:d=0.2 -f lavfi -i sine=d=0.2 -map "$(case $codec in lib*) echo 0;; *) echo 1;; esac)" \
        -c $codec -f matroska - >"corpus/program/$codec" || true
done
kid=31323334353637383930313233343536
printf 'AUDIO %s:%s\n@1 %s:%s\n' $kid $kid $kid $kid >corpus/keys/file
printf '{"kids":["MTIzNDU2Nzg5MDEyMzQ1Ng"],"type":"temporary"}' >corpus/keys/request
printf '\000\000\000\064pssh\001\000\000\000\020\167\357\354\300\262M\002\254\343<\036R\342\373K\000\000\000\0011234567890123456\000\000\000\000' >corpus/keys/pssh
mkdir -p corpus/whip corpus/rtsp corpus/rtp
printf 'a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n' >corpus/whip/fragment
printf '\377ANNOUNCE rtsp://a/b/c RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 63\r\n\r\nv=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:0\r\n' >corpus/rtsp/announce
printf '\377SETUP rtsp://a/b/c/0 RTSP/1.0\r\nCSeq: 2\r\nTransport: RTP/AVP;client_port=2-3,RTP/AVP/TCP;interleaved=0-1\r\n\r\nRECORD rtsp://a/b/c RTSP/1.0\r\nCSeq: 3\r\n\r\n$\000\000\016\200\140\000\001\000\000\000\000\000\000\000\001\145\210' >corpus/rtsp/record
printf '\000\020\200\140\000\001\000\000\000\000\000\000\000\001\174\205\210\204\000\020\200\340\000\002\000\000\000\000\000\000\000\001\174\105\001\002' >corpus/rtp/parts
printf '\004\023\200\340\000\001\000\000\000\000\000\000\000\001\000\020\000\030\001\002\003\006\017\200\340\000\001\000\000\000\000\000\000\000\001\374\001\002' >corpus/rtp/sound
