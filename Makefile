# Every target is one line of meaning; what it does in detail is in scripts/ and xtask/.
.DEFAULT_GOAL := help
.PHONY: help demo test lint bench deps clean explore

help: ## What can be made here
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: deps ## Rotate PostgreSQL and Oracle, published in two clouds, while an application logs in; refusals, kills
	cargo xtask demo

test: deps lint ## Everything that is checked before a change lands
	scripts/run-tests
	cargo test --locked --quiet --workspace --doc
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --quiet --workspace --no-deps

lint: ## Format, house rules, clippy
	cargo fmt --all --check
	cargo xtask tidy
	cargo clippy --locked --quiet --workspace --all-targets -- -D warnings
	cargo clippy --locked --quiet --package dizzy-keys -- -D warnings

bench: deps ## Measure the numbers that the documentation claims
	cargo xtask bench

explore: ## Search further than the tests do: an hour or two, some gigabytes of memory
	DIZZY_EXPLORE=long cargo test --locked --package dizzy-engine --test explorer -- --nocapture --test-threads=1

deps: ## Install what is missing: PostgreSQL, the Python environment of the tests, the test runner
	scripts/deps

clean: ## Remove everything that was built
	cargo clean
