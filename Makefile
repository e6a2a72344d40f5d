# Recast's commands for people and CI. `make help` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
# Some images set it. Tests start hundreds of processes, and none should compile again what another has compiled.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
# What is installed is what these files say; a change of either installs again. The demo and a deployment need the
# first set alone; tests and linters add the second, which holds the same versions.
RUNNING := $(VENV)/.installed-running
INSTALLED := $(VENV)/.installed
DEFINES := pyproject.toml recast/pyproject.toml

# The interpreter for the virtual environment. Empty: the first of these on PATH that is new, and old, enough.
PYTHON :=
PYTHONS := python3 python3.14 python3.13 python3.12 python3.11
FITS := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))

# Tests wait more than they compute: three processes keep two cores busy. The slow ones come first in the tree, and are
# handed out one at a time (tests/conftest.py), so that none is left over at the end.
TEST_PROCESSES := 3

# `make checks` measures CPU time, which is longer where every core is busy.
CHECK_PROCESSES := 2

# `make check PATH=web` names what to check; programs are then looked up where every system has them.
ifeq ($(origin PATH),command line)
CHECKED := $(PATH)
override PATH := /usr/local/bin:/usr/bin:/bin
endif

.PHONY: help
help: ## List the commands.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

# Install what a lock names, and show that it is at work: pip names each package that it takes.
# A lock names everything that it needs, so nothing is resolved. Compiled afterwards, as pip would, but on all cores and
# without the libraries' own tests; like pip, it leaves alone what does not compile.
define install
@echo 'Installing from $(1) ...'
@$(BIN)/python -m pip install --progress-bar off --disable-pip-version-check --require-hashes --no-deps --no-compile \
	-r $(1) \
	| awk -v packages="$$(grep -c '^[a-z].*==' $(1))" -v terminal="$$([[ -t 1 ]] && echo 1 || true)" -f .ci/progress.awk
@echo '  compiling ...'
@$(BIN)/python -m compileall -qq -j 0 -x '/(tests?|pip)/' $(VENV)/lib || true
endef

.PHONY: setup
setup: $(INSTALLED) ## Create .venv with everything the project needs; the other commands do this automatically.

$(RUNNING): requirements-demo.lock $(DEFINES)
	@if ! $(BIN)/python -c '$(FITS)' 2>/dev/null; then \
		found=''; \
		for name in $(or $(PYTHON),$(PYTHONS)); do \
			if "$$name" -c '$(FITS)' >/dev/null 2>&1; then found=$$name; break; fi; \
		done; \
		if [[ -z $$found ]]; then \
			echo 'No usable Python among: $(or $(PYTHON),$(PYTHONS)).' >&2; \
			echo 'Recast needs Python 3.11 to 3.14 with its venv module (Debian: apt-get install python3-venv),' >&2; \
			echo 'or name one yourself: make PYTHON=/path/to/python3.13 setup' >&2; \
			exit 1; \
		fi; \
		echo "Making $(VENV) with $$("$$found" --version) ..."; \
		"$$found" -m venv --clear $(VENV); \
	fi
	$(call install,requirements-demo.lock)
	@# The build tools are in the lock, so nothing is fetched that has no hash.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--editable ./recast --editable .
	@touch $@

$(INSTALLED): requirements.lock $(RUNNING)
	$(call install,requirements.lock)
	@touch $@

.PHONY: demo
demo: $(RUNNING) ## Run the example catalog in the sandbox: no keys, no containers, nothing to install first.
	@$(BIN)/recast run examples/catalog.csv --sandbox

.PHONY: up
up: $(RUNNING) ## Run everything on this machine until Ctrl-C.
	@$(BIN)/recast up

.PHONY: unit
unit: $(INSTALLED) ## Run the unit tests, which need no servers, but those that compute for seconds.
	$(BIN)/python -m pytest -n 2 -m 'not heavy' tests/unit

.PHONY: check
check: $(INSTALLED) ## Check one path or module, such as PATH=workers/engine: style, types and its unit tests.
	@$(BIN)/python -m tests.check $(CHECKED)

.PHONY: test
test: $(INSTALLED) ## Run all tests, on real servers.
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) -m 'not (alone or matrix or million or forecast or long or servers)'
	@# Only where such tests may be: to collect the others takes as long as to run these.
	$(BIN)/python -m pytest -m alone tests/integration

.PHONY: faults
faults: $(INSTALLED) ## Kill each process at each moment: the whole fault matrix, of which `make test` runs a few cells.
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) -m faults tests/faults

.PHONY: long
long: $(INSTALLED) ## Run the tests that take a minute each: complete deployments, and attacks on the web process.
	$(BIN)/python -m pytest -n 2 -m long

.PHONY: servers
servers: $(INSTALLED) ## Run on Debian's Redis and PgBouncer: TLS, pooling, users, prefixes and Sentinel.
	$(BIN)/python -m pytest -m servers tests/servers

.PHONY: million
million: $(INSTALLED) ## Check a million rows, load them, run them again, and change some of them.
	$(BIN)/python -m pytest -m million --timeout 1800 tests/integration/catalog/test_million.py

.PHONY: money
money: $(INSTALLED) ## Run 300 jobs under each of the sandbox's faults and compare bill, books and plan.
	$(BIN)/python -m tests.money

.PHONY: checks
checks: $(INSTALLED) ## Plant 500 faults among 2,000 good pictures: how many the quality checks find, and what they cost.
	$(BIN)/python -m tests.checks --processes $(CHECK_PROCESSES)

.PHONY: forecast
forecast: $(INSTALLED) ## Run 5,000 jobs in the sandbox and compare them with their forecast.
	$(BIN)/python -m pytest -m forecast --timeout 900 tests/integration/catalog/test_forecast_times.py

# A soak. The same seed kills the same things at the same times, under the same faults.
SEED :=
JOBS := 20000
MINUTES := 10

.PHONY: chaos
chaos: $(INSTALLED) ## Break everything for ten minutes under load, then check the books; SEED=, JOBS=, MINUTES= change it.
	$(BIN)/python -m tests.chaos --jobs $(JOBS) --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

.PHONY: lint
lint: $(INSTALLED) ## Check style, format and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: format
format: $(INSTALLED) ## Format the code and apply the linter's safe fixes.
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(INSTALLED) ## Compare Recast with idiomatic Celery and a bare event loop.
	$(BIN)/python -m benchmarks

.PHONY: archive-trial
archive-trial: $(INSTALLED) ## Archive one of three months of finished jobs, and say what that takes.
	$(BIN)/python -m benchmarks archive

# Universal: one lock for every platform and Python. No index address goes into it, so that any mirror serves it; and not
# our own producers' package, which is installed from here.
COMPILE = $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-package recast-client --no-header --quiet

.PHONY: lock
lock: $(INSTALLED) ## Update the lock files after a change of pyproject.toml; versions that still fit stay.
	$(COMPILE) --extra dev -o requirements.lock
	$(COMPILE) --extra build --extra local --constraint requirements.lock -o requirements-demo.lock
	$(COMPILE) --extra build --extra faces --extra s3 --extra parquet --extra heic --extra c2pa --extra mcp --constraint requirements.lock -o requirements-prod.lock

.PHONY: clean
clean: ## Remove what the commands above created, except data (.recast) and pictures (recast-pictures).
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
