# Switchboard's commands. `make test` is what CI runs; `make check` is for every commit.

CARGO ?= cargo
SEEDS ?= 10000
POWER_SEEDS ?= 1000
FRAMES ?= 400000
REQUESTS ?= 20000

.PHONY: run check test planted soak bench image-steps doc clean

## A server with the demonstration's users, queues and channels; data in ./data.
run:
	$(CARGO) build --profile demo --package switchboard --package loadtest
	@echo 'When it is ready, in two other terminals:'
	@echo '  target/demo/loadtest talk --as anna    an operator'
	@echo '  target/demo/loadtest talk --as vera    a customer'
	target/demo/switchboard serve --seed config/demo.toml --data data

## Quick: format, lints, unit tests.
check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	$(CARGO) test --workspace --lib --quiet

## Everything, on a clean checkout.
test:
	CARGO="$(CARGO)" bash scripts/test

## Which test sees which planted fault (tests/planted): a build of its own, and minutes on two cores.
planted:
	$(CARGO) run --package planted

## What `make test` runs, over many more seeds, frames and requests; a failure prints its seed.
soak:
	SWITCHBOARD_SIM_SEEDS=$(SEEDS) $(CARGO) test --test simulation the_invariants -- --nocapture
	SWITCHBOARD_POWER_SEEDS=$(POWER_SEEDS) $(CARGO) test --test conformance nothing_acknowledged -- --nocapture
	$(CARGO) build --release --package switchboard --package loadtest
	target/release/loadtest fuzz --frames $(FRAMES) --requests $(REQUESTS)

## Benchmarks: ratios against a bare file, measured side by side.
bench:
	$(CARGO) bench

## The steps of the Dockerfile, in a clean folder, without Docker: a release build from nothing.
image-steps:
	if command -v hadolint >/dev/null; then hadolint Dockerfile; fi
	scripts/dockerfile-steps

doc:
	$(CARGO) doc --workspace --no-deps --document-private-items

clean:
	$(CARGO) clean
