#!/usr/bin/env bash
# Installs the system packages that are missing: `setup.sh run` or `setup.sh test`.
# Does nothing, quickly, when all are there.
set -euo pipefail

what=${1:-run}
packages=(build-essential pkg-config clang libclang-dev nasm cmake
  libavcodec-dev libavformat-dev libavutil-dev libavfilter-dev libswscale-dev libswresample-dev)
if [ "$what" = test ]; then
  # ffmpeg, xmllint and chromium judge what we make; nats-server carries work between machines; Mesa's Vulkan
  # driver of the CPU is a device whose frames leave and come back, without a card; PostgreSQL keeps a shared
  # queue (tests start their own server; the one that Debian sets up is not used); srt-live-transmit speaks SRT.
  packages+=(ffmpeg libxml2-utils chromium fonts-dejavu-core nats-server postgresql python3-venv libvulkan1 mesa-vulkan-drivers
    srt-tools)
fi

# Another FFmpeg than the system's, and a store like S3, for tests: where they can't be had, those say so and
# skip.
peers=${STREAMVERSE_PEERS:-$HOME/.cache/streamverse/peers}
python_peers() {
  [ "$what" = test ] || return 0
  "$peers/bin/python" -c 'import imageio_ffmpeg, moto.server' 2>/dev/null && return 0
  { python3 -m venv "$peers" && "$peers/bin/pip" -q install imageio-ffmpeg==0.8.1 'moto[server]'; } ||
    echo "setup: FFmpeg 9.0.2 or moto (from Python's packages) can't be had; tests with them will skip" >&2
}

if ! command -v cargo >/dev/null 2>&1; then
  echo "setup: Rust is needed: install it with rustup (https://rustup.rs), then run this again" >&2
  exit 1
fi

node_is_new_enough() {
  command -v npm >/dev/null 2>&1 && node -e 'process.exit(+process.versions.node.split(".")[0] >= 18 ? 0 : 1)' 2>/dev/null
}
node_is_new_enough || packages+=(nodejs npm)

if ! command -v dpkg-query >/dev/null 2>&1; then
  # Not Debian's family: trust pkg-config, and name what it misses.
  for library in libavcodec libavformat libavutil libavfilter libswscale libswresample; do
    if ! pkg-config --exists "$library" 2>/dev/null; then
      echo "setup: this is not Debian or Ubuntu; install the equivalents of: ${packages[*]}" >&2
      exit 1
    fi
  done
  exit 0
fi

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  python_peers
  exit 0
fi

echo "setup: installing ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null 2>&1; then
    echo "setup: run as root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
python_peers
