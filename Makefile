# `make run` plays the demo, `make test` checks everything; each does all set-up itself, into .venv.

PYTHON ?= python3
ROUNDS ?= 10
# Of real baskets that `make run` plays; there are 365.
DAYS ?= 14
# Of processors for which a wheel brings kernels, such as "x86-64-v3 x86-64-v2"; this machine's if empty.
LEVELS ?=
BIN := .venv/bin
INSTALLED := .venv/.installed
CONTRACT := $(wildcard proto/onhand/*/v1/*.proto)

# Where it is set, each of the hundreds of processes that tests start would compile every module that it imports anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install run test lint types contract layers kernels unit thorough flakes bench bench-micro bench-tools faults simulate routing-model slow wheel client-wheel clean

help: ## Show this help.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Set up .venv with everything.

$(INSTALLED): pyproject.toml requirements.lock proto/generate.py $(CONTRACT)
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "expected Python 3.11 or newer, was " + sys.version)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

run: $(INSTALLED) ## Play DAYS (14) of real baskets against a real engine.
	$(BIN)/onhand demo --days $(DAYS)

test: $(INSTALLED) ## Check everything, style and types while the kernels compile.
	$(MAKE) --no-print-directory --jobs 2 unit lint types contract layers

lint: $(INSTALLED) ## Check style.
	$(BIN)/ruff check --output-format concise .
	$(BIN)/ruff format --check --quiet .

types: $(INSTALLED) ## Check types.
	$(BIN)/mypy

contract: $(INSTALLED) ## Check the contract's style.
	cd proto && ../$(BIN)/buf lint

layers: $(INSTALLED) ## Check who imports whom.
	$(BIN)/lint-imports --no-logo

kernels: $(INSTALLED) ## Compile the kernels, unless they are.
	$(BIN)/python -m engine.warmup

unit: kernels ## Run the tests.
	$(BIN)/pytest -n 3 --dist loadgroup -m "not slow"

slow: kernels ## Run the tests that `make test` leaves out.
	$(BIN)/pytest -n 3 --dist loadgroup -m slow

thorough: $(INSTALLED) ## Run the property tests for longer.
	HYPOTHESIS_PROFILE=thorough $(BIN)/pytest -n 2 tests/test_ledger_properties.py

flakes: kernels ## Run the tests ROUNDS times (10) in random order on busy cores.
	$(BIN)/python -m tests.flakes --rounds $(ROUNDS)

bench: kernels ## Measure against the peers; writes build/bench.json and docs/benchmarks.md.
	-$(BIN)/python -m bench.tools
	$(BIN)/python -m bench all --json build/bench.json --page docs/benchmarks.md

bench-micro: kernels ## Measure kernels, codec and journal entries by themselves.
	$(BIN)/pytest bench/micro --benchmark-sort=name --benchmark-columns=min,median,ops

bench-tools: $(INSTALLED) ## Check the programs that benchmarks drive; as root on Debian, install them.
	$(BIN)/python -m bench.tools

faults: kernels ## Kill engines and journal server a hundred times under load; writes build/faults.json.
	$(BIN)/python -m tests.faults

simulate: kernels ## Simulate 10,000 worlds with faults, and find the planted bugs.
	$(BIN)/python -m tests.simulation --planted all
	$(BIN)/python -m tests.simulation --seeds 10000

routing-model: $(INSTALLED) ## Hold 100,000 random answers of routing against a model of its documentation.
	$(BIN)/python -m engine.warmup
	$(BIN)/python -m tests.routing_model --cases 100000

wheel: $(INSTALLED) ## Build the wheel into dist/, with the compiled kernels in it.
	rm -rf dist
	$(BIN)/onhand kernels pack $(LEVELS:%=--level %) > /dev/null
	$(BIN)/python -m build --no-isolation --wheel --outdir dist .
	rm -r ledger/_kernels

client-wheel: $(INSTALLED) ## Build the wheel of the client alone into dist/.
	rm -f dist/onhand_client-*
	$(BIN)/python -m build --no-isolation --wheel --outdir dist proto

clean: ## Remove what was built and installed.
	rm -rf proto/examples/node/node_modules proto/examples/node/gen .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
