# `make run` and `make test` are all that a newcomer needs: each does its own set-up.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Outside the clone, so that a fresh clone builds warm.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/streamverse/target
# Everything that this machine can have.
PRODUCTION := streamverse/cli,streamverse/ffmpeg,streamverse/nvcodec,streamverse/nats,streamverse/ffmpeg-cli,streamverse/s3,streamverse/postgres,reference-service/ffmpeg,reference-service/nats,make-sample/ffmpeg
WEB := examples/reference-service/web
E2E := examples/reference-service/e2e
SAMPLE ?=
LISTEN ?= 127.0.0.1:8080
DATA ?= ./data

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: run
run: setup-run web ## build everything, start the service on LISTEN, publish a first video
	cargo build --release --locked -p reference-service -p make-sample --features reference-service/ffmpeg,reference-service/nats,make-sample/ffmpeg
	mkdir -p $(DATA)
	sample='$(SAMPLE)'; \
	if [ -z "$$sample" ]; then \
	  sample=$(DATA)/sample.mp4; \
	  [ -s "$$sample" ] || "$$CARGO_TARGET_DIR/release/make-sample" "$$sample" 20; \
	fi; \
	SAMPLE="$$sample" exec "$$CARGO_TARGET_DIR/release/reference-service" --listen $(LISTEN) --data $(DATA)

.PHONY: build
build: setup-run ## leave the command `sv`, with every backend, at release/sv in the target folder
	cargo build --release --locked -p streamverse --features cli,ffmpeg,ffmpeg-cli,nvcodec,nats,s3,postgres
	@echo "built $$CARGO_TARGET_DIR/release/sv"

.PHONY: test
test: setup-test web lint ## everything that the gate needs
	cargo test --locked --workspace --features $(PRODUCTION)
	cargo test --locked -p sv-transcode -p streamverse --features streamverse/cli
	$(MAKE) e2e

.PHONY: lint
lint: ## formatting, clippy, docs, dependency edges, generated files
	cargo fmt --all --check
	cargo run --locked -q -p xtask -- check
	cargo clippy --locked --workspace --all-targets --features $(PRODUCTION) -- -D warnings
	cargo clippy --locked -p streamverse --all-targets --features cli -- -D warnings
	cargo clippy --locked -p streamverse --lib --features ffmpeg -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --locked --workspace --no-deps --features $(PRODUCTION)

.PHONY: e2e
e2e: ## the service in a real browser
	cargo build --locked -p streamverse -p reference-service -p make-sample --features $(PRODUCTION)
	cd $(E2E) && npm ci --no-audit --no-fund --loglevel=error && npm test

.PHONY: web
web: ## the page, built into the service
	cd $(WEB) && if [ ! -d node_modules ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then \
	  npm ci --no-audit --no-fund --loglevel=error; fi
	cd $(WEB) && npm run --silent build

.PHONY: fuzz
fuzz: ## every parser for SECONDS each (default 180); needs nightly Rust and cargo-fuzz
	fuzz/run.sh $${SECONDS_EACH:-180}

.PHONY: soak-workers
soak-workers: setup-test ## kill workers a hundred times, here and over NATS: the bytes must stay the same
	SV_KILLS=$${SV_KILLS:-100} cargo test --locked -p streamverse --features cli,ffmpeg,ffmpeg-cli,nvcodec,nats,s3 --test it -- --nocapture killed

.PHONY: soak-ingest
soak-ingest: setup-test ## publishers come and go for half an hour (SV_CHURN seconds): no descriptor and no memory is left behind
	SV_CHURN=$${SV_CHURN:-1800} cargo test --release --locked -p sv-ingest --test it -- --nocapture many_come_and_go

.PHONY: soak-record
soak-record: setup-test ## kill a recorder a hundred times at random moments: the last second may be missing, nothing else
	SV_KILLS=$${SV_KILLS:-100} cargo test --locked -p sv-ingest --test it -- --nocapture behind_a_kill

.PHONY: bench-workers
bench-workers: setup-test ## a thousand workers that only wait: how much of their time is work
	cargo build --release --locked -p sv-pipeline --features nats --example stub_workers
	benches/peers/workers.sh

SOURCE ?= $(STREAMVERSE_CORPUS)/clips/big_buck_bunny_trailer_720p24.mp4
.PHONY: bench-live
bench-live: setup-run ## how late a live ladder gets beside three films (SOURCE: an MP4)
	cargo run --release --locked -p streamverse --features ffmpeg --example live_share -- '$(SOURCE)' 20 3

.PHONY: bench-origin
bench-origin: setup-run ## a live origin: playlists of four hours, parts, ten thousand requests that wait
	ulimit -n 20000; cargo run --release --locked -p streamverse --no-default-features --features live --example live_origin

.PHONY: bench-stored-origin
bench-stored-origin: setup-run ## what packaging on request costs for each gigabyte (SOURCE: an MP4)
	cargo run --release --locked -p streamverse --no-default-features --features live --example stored_origin -- '$(SOURCE)'

PUBLISHERS ?= 100 200 400
.PHONY: bench-ingest
bench-ingest: setup-run ## what publishers of RTMP cost beside nginx-rtmp, where that is installed
	cargo build --release --locked -p sv-ingest --examples
	benches/peers/ingest.py $(PUBLISHERS)

.PHONY: bench-srt
bench-srt: setup-run ## what receiving SRT costs beside libsrt, and what is lost for good, where srt-live-transmit is installed; MANY=200: many senders at once
	cargo build --release --locked -p sv-ingest --examples
	benches/peers/srt.py $(MBIT)

.PHONY: bench-live-ladder
bench-live-ladder: build ## what a live ladder costs beside one FFmpeg that makes the same rungs
	benches/peers/live_ladder.py

.PHONY: bench-memory
bench-memory: setup-run ## packaging without files: gigabytes for each second of processor time (SOURCE: an MP4)
	cargo run --release --locked -p streamverse --example package_memory -- '$(SOURCE)' 9

.PHONY: players
players: setup-test web ## every codec, scheme and kind of stream in three players for a minute each, and twenty kills of the origin under them
	cargo build --locked -p streamverse --features cli,ffmpeg --bin sv
	cd $(E2E) && npm ci --no-audit --no-fund --loglevel=error && SECONDS=60 KILLS=20 node --test --test-reporter=spec --test-concurrency=1 live.test.mjs origin.test.mjs packaged.test.mjs webm.test.mjs ladder.test.mjs

.PHONY: bench-peers
bench-peers: build ## our programs beside FFmpeg and shaka-packager; prints ratios
	benches/peers/run.sh

.PHONY: setup-run setup-test
setup-run:
	@scripts/setup.sh run
setup-test:
	@scripts/setup.sh test
