# Every target is one line of meaning; what it does in detail is in scripts/ and xtask/.
.DEFAULT_GOAL := help
.PHONY: help demo sandbox live first-hour test lint bench image image-test test-image deps clean explore refresh-rds-roots matrix soak
.PHONY: check-deploy sbom scan push-ecr push-ocir sign verify-image deploy-aws deploy-oci

help: ## What can be made here
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26

demo: deps ## Rotate PostgreSQL and Oracle, published in two clouds, while an application logs in; refusals, kills
	cargo xtask demo

sandbox: deps ## Start the stand-ins of both clouds, for trying the program; docs/first-hour.md
	cargo xtask sandbox

first-hour: ## Measure the way from a clone to the first plan, with the commands of docs/first-hour.md
	scripts/first-hour

live: ## Rotate in real clouds, on disposable databases and secrets that the environment names; docs/live.md
	@scripts/live

test: deps lint test-image ## Everything that is checked before a change lands
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
	cargo bench -p dizzy-audit

image: ## Build the container image with the local Docker engine, from this machine's compiler; pulls nothing
	scripts/image

test-image: ## Build the image that `make test` runs in containers, of a debug build; needs a Docker engine
	scripts/image --debug

image-test: deps image ## The tests in containers, on the image that is shipped
	DIZZY_TEST_IMAGE=dizzy-keys:latest cargo test --locked --package dizzy-keys --test containers -- --nocapture --test-threads=2

check-deploy: ## Check the Terraform modules, the manifests, Dockerfiles, workflows, scripts; nothing is applied
	scripts/check-deploy

deploy-aws: ## Plan and, when you say yes, apply Terraform in DIR (deploy/terraform/aws), with VARS=file.tfvars
	scripts/deploy "$(or $(DIR),deploy/terraform/aws)" "$(VARS)"

deploy-oci: ## Plan and, when you say yes, apply Terraform in DIR (deploy/terraform/oci), with VARS=file.tfvars
	scripts/deploy "$(or $(DIR),deploy/terraform/oci)" "$(VARS)"

sbom: ## Write the bill of materials (CycloneDX, SPDX) to the build folder; needs no network
	scripts/sbom

scan: ## Look for known vulnerabilities; fails if one is found, and if scanner or advisories are missing
	scripts/scan

push-ecr: ## Push the image to ECR=REGISTRY/REPOSITORY and print its digest
	@scripts/push "$(ECR)"

push-ocir: ## Push the image to OCIR=REGISTRY/REPOSITORY and print its digest
	@scripts/push "$(OCIR)"

sign: ## Sign IMAGE=REPOSITORY@sha256:... and attach the bill of materials, with cosign
	scripts/sign "$(IMAGE)"

verify-image: ## Verify signature and bill of materials of IMAGE=REPOSITORY@sha256:...
	scripts/verify-image "$(IMAGE)"

explore: ## Search further than the tests do: an hour or two, some gigabytes of memory
	DIZZY_EXPLORE=long cargo test --locked --package dizzy-engine --test explorer -- --nocapture --test-threads=1

matrix: deps ## The whole fault matrix: every pair of faults in memory, about an hour; every call end to end, some hours
	DIZZY_MATRIX=all cargo test --locked --package dizzy-host --lib -- --nocapture --test-threads=1 tests::matrix
	DIZZY_MATRIX=all cargo test --locked --package dizzy-keys --test matrix -- --nocapture --test-threads=3

MINUTES ?= 10
soak: ## Random walks in memory for MINUTES=n (10); a seed that fails is printed, and belongs into seeds.txt
	DIZZY_SOAK_MINUTES=$(MINUTES) cargo test --locked --package dizzy-host --lib -- --nocapture soak

deps: ## Install what is missing: PostgreSQL, the Python environment of the tests, the test runner
	scripts/deps

refresh-rds-roots: ## Fetch the roots of RDS from AWS, check them, tell what has changed
	scripts/refresh-rds-roots

clean: ## Remove everything that was built
	cargo clean
