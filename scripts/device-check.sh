#!/usr/bin/env bash
# Compares the backend `nvcodec` with software, picture by picture, on a machine with an NVIDIA
# device. It needs nothing but the driver: `.device/` holds the program and what to decode, made by
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
exit "$failed"
