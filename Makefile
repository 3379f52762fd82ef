# Switchboard's commands. `make test` is what CI runs; `make check` is for every commit.

CARGO ?= cargo
SEEDS ?= 10000
POWER_SEEDS ?= 1000
FRAMES ?= 400000
REQUESTS ?= 20000
BENCH_LIMIT_S ?= 500
BENCHES := $(shell sed -n '/^\[\[bench\]\]/{n;s/name = "\(.*\)"/\1/p;}' Cargo.toml)

.PHONY: run check test planted soak bench image-steps doc clean

## A server with the demonstration's users, queues and channels; data in ./data. Without the system's large pages, it
## is small rather than fast (docs/deploy.md).
run:
	$(CARGO) build --profile demo --package switchboard --package loadtest
	@echo 'When it is ready, in two other terminals:'
	@echo '  target/demo/loadtest talk --as anna    an operator'
	@echo '  target/demo/loadtest talk --as vera    a customer'
	MIMALLOC_ALLOW_THP=0 target/demo/switchboard serve --seed config/demo.toml --data data

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

## Benchmarks: floors and scenarios in short form, with reports in target/bench, then those of single parts. Beside the
## builds an hour at most (BENCH_LIMIT_S s for each line), minutes as a rule; the machine should do nothing else.
bench:
	$(CARGO) build --release --package switchboard --package loadtest
	mkdir -p target/bench
	$(call scenario,messages,--pairs 64 --floors echo$(,)forward$(,)durable --seconds 4 --rounds 3)
	$(call scenario,chats,--chats 1000 --messages 20000 --rounds 1,messages)
	$(call scenario,connections,--customers 1000 --hold 10 --rounds 1)
	$(call scenario,routing,--seconds 5 --rounds 1)
	$(call scenario,line,--line 1000 --seconds 5 --rounds 1,routing)
	$(call scenario,mixed,--seconds 10 --rounds 1)
	$(CARGO) bench --package switchboard --no-run
	for bench in $(BENCHES); do \
		timeout $(BENCH_LIMIT_S) $(CARGO) bench --package switchboard --bench $$bench || exit 1; done

, := ,
scenario = timeout $(BENCH_LIMIT_S) target/release/loadtest $(or $(3),$(1)) $(2) \
	--json target/bench/$(1).json --html target/bench/$(1).html

## The steps of the Dockerfile, in a clean folder, without Docker: a release build from nothing.
image-steps:
	if command -v hadolint >/dev/null; then hadolint Dockerfile; fi
	scripts/dockerfile-steps

doc:
	$(CARGO) doc --workspace --no-deps --document-private-items

clean:
	$(CARGO) clean
