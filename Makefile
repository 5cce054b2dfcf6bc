# Two commands do everything: `make demo` and `make test`. See README.md.

export PATH := $(HOME)/.cargo/bin:$(PATH)
export CARGO_TERM_COLOR ?= auto

DATA ?=
LISTEN ?=
# How long the campaign of `make chaos` goes on after the fault tests, and what it draws from (a number repeats a campaign).
SECONDS ?= 900
SEED ?=

.PHONY: help demo up build test chaos fuzz bench lint clean

help:
	@echo "make demo               meter and bill five real guests on two nodes; two minutes once built"
	@echo "make up [DATA=dir]      run Weir on this machine: http://127.0.0.1:8080"
	@echo "make test               every test, on real guests, a real PostgreSQL, and the demo"
	@echo "make chaos [SECONDS=n]  every fault test at length, then a campaign of n seconds; about 45 min with n=900"
	@echo "make fuzz               five minutes of odd requests to the API; make test does one"
	@echo "make bench              what Weir costs, as ratios to the limits of this machine"
	@echo "make lint               formatting, clippy, licences"

build:
	@testbed/install-packages build
	cargo build --locked --bins

demo: build
	@testbed/install-packages run test
	target/debug/weir-demo

up: build
	@testbed/install-packages run
	target/debug/weir up $(if $(DATA),--data $(DATA)) $(if $(LISTEN),--listen $(LISTEN))

# A short campaign of faults and the demo are the last tests: they need the binaries, and the machine for themselves.
test:
	@testbed/install-packages build run test
	cargo build --locked --workspace --all-targets
	target/debug/weir-demo --check-daemons
	@if cargo nextest --version >/dev/null 2>&1; \
	then cargo nextest run --locked --workspace --no-fail-fast; \
	else cargo test --locked --workspace --all-targets --no-fail-fast; fi
	cargo test --locked --workspace --doc
	target/debug/weir-chaos --short
	target/debug/weir-demo

# The tests of faults that a node and its deliveries can meet, with as many rounds as they know; then everything at once.
CHAOS_TESTS = package(collector) & (kind(test) | test(spool::crashes)) | package(usage) & binary(postgres) | package(appliance) & binary(nodes)

chaos: build
	@testbed/install-packages build run test
	target/debug/weir-demo --check-daemons
	@if cargo nextest --version >/dev/null 2>&1; \
	then WEIR_CHAOS=1 $(if $(SEED),WEIR_SEED=$(SEED)) cargo nextest run --locked --profile chaos -p collector -p usage -p appliance \
	     -E '$(CHAOS_TESTS)'; \
	else WEIR_CHAOS=1 $(if $(SEED),WEIR_SEED=$(SEED)) cargo test --locked --no-fail-fast -p collector -p usage -p appliance \
	     --test '*' -- --test-threads 1 && \
	     WEIR_CHAOS=1 cargo test --locked -p collector --lib spool::crashes; fi
	target/debug/weir-chaos --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

fuzz:
	@testbed/install-packages build run test
	WEIR_FUZZ_SECONDS=300 cargo test --locked -p appliance --test api fuzz -- --nocapture

bench:
	@testbed/install-packages build run test
	cargo build --locked --release -p weir-bench -p appliance
	target/release/weir-bench bench-out

lint:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@if cargo deny --version >/dev/null 2>&1; then cargo deny check licenses bans sources; else echo "cargo-deny is not installed: cargo install cargo-deny"; fi

clean:
	cargo clean
	rm -rf demo-data demo-out bench-out
