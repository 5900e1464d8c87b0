#!/usr/bin/env bash
# A thousand stub workers at a NATS server of their own: prints their efficiency.
set -euo pipefail

folder=$(mktemp -d)
nats-server -js -a 127.0.0.1 -p -1 --ports_file_dir "$folder" -sd "$folder/jetstream" >"$folder/log" 2>&1 &
server=$!
trap 'kill "$server"; rm -rf "$folder"' EXIT
until ports=$(cat "$folder"/*.ports 2>/dev/null) && [ -n "$ports" ]; do
  kill -0 "$server" || { cat "$folder/log" >&2; exit 1; }
done
url=$(grep -o 'nats://[0-9.:]*' <<<"$ports" | head -1)
"${CARGO_TARGET_DIR:-target}/release/examples/stub_workers" "$url" "${1:-1000}" "${2:-5}" "${3:-5}"
