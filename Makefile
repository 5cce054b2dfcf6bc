# Two commands do everything: `make demo` and `make test`. See README.md.

export PATH := $(HOME)/.cargo/bin:$(PATH)
export CARGO_TERM_COLOR ?= auto

DATA ?=
LISTEN ?=

.PHONY: help demo up build test fuzz bench lint clean

help:
	@echo "make demo               meter and bill three real guests; a minute and a half once built"
	@echo "make up [DATA=dir]      run Weir on this machine: http://127.0.0.1:8080"
	@echo "make test               every test, on real guests, a real PostgreSQL, and the demo"
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

# The demo is the last test: it needs the binaries, and nothing else may run beside its guests.
test:
	@testbed/install-packages build run test
	cargo build --locked --workspace --all-targets
	target/debug/weir-demo --check-daemons
	@if cargo nextest --version >/dev/null 2>&1; \
	then cargo nextest run --locked --workspace --no-fail-fast; \
	else cargo test --locked --workspace --all-targets --no-fail-fast; fi
	cargo test --locked --workspace --doc
	target/debug/weir-demo

fuzz:
	@testbed/install-packages build run test
	WEIR_FUZZ_SECONDS=300 cargo test --locked -p appliance --test api fuzz -- --nocapture

bench:
	@testbed/install-packages build run test
	cargo build --locked --release -p weir-bench
	target/release/weir-bench bench-out

lint:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@if cargo deny --version >/dev/null 2>&1; then cargo deny check licenses bans sources; else echo "cargo-deny is not installed: cargo install cargo-deny"; fi

clean:
	cargo clean
	rm -rf demo-data demo-out bench-out
