#!/usr/bin/env bash
# Compares the backend `nvcodec` with software, picture by picture, on a machine with an NVIDIA
# device, and asks for its encoder, which devices such as the H200 don't have. It needs nothing but the driver: `.device/` holds the program and what to decode, made by
# `scripts/device-prepare.sh` elsewhere.
set -uo pipefail
cd "$(dirname "$0")/../.device" || exit 2

nvidia-smi -L
ls -l /usr/lib/x86_64-linux-gnu/libnvcuvid* /usr/local/nvidia/lib64/libnvcuvid* 2>&1
export LD_LIBRARY_PATH="/usr/local/nvidia/lib64:/usr/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"

chmod +x nvcheck 2>/dev/null
failed=0
for media in *.mp4; do
  timeout 60 ./nvcheck "$media" "${media%.mp4}.txt" || { echo "FAILED: $media ($?)"; failed=1; }
done
[ "$failed" = 0 ] && echo "all pictures are the same"

chmod +x sv
./sv doctor | grep -E '^nvcodec|^  device'
rm -rf out-nvenc
if ./sv vod vod/720p.mp4 --out out-nvenc --encoder nvenc 2>err.log; then
  echo "nvenc encodes"
elif ./sv doctor | grep -q '^  device nvenc: off' && grep -q 'choose the software backend' err.log; then
  # What a device without an encoder has to say: one sentence, the same as the doctor's.
  echo "nvenc does not encode: $(tail -1 err.log)"
else
  echo "FAILED: nvenc"; tail -3 err.log; failed=1
fi
for media in vod/*.mp4; do
  rm -rf out-*
  for how in software device auto; do
    ./sv vod "$media" --out "out-$how" --decode "$how" 2>err.log || { tail -3 err.log; failed=1; }
  done
  ./sv vod "$media" --out out-chunks-software --workers 4 --chunk 12s 2>/dev/null || failed=1
  ./sv vod "$media" --out out-chunks-device --decode device --workers 4 --chunk 12s 2>/dev/null || failed=1
  for pair in "software device" "software auto" "chunks-software chunks-device"; do
    read -r one other <<<"$pair"
    if diff -rq "out-$one" "out-$other" | grep -v report.json; then echo "FAILED: $media: $pair"; failed=1; fi
  done
done
[ "$failed" = 0 ] && echo "all presentations are the same"
exit "$failed"
