# `make demo` and `make test` need Python 3.10 or later and make; they install the rest into .venv.
#
#   make PYTHON=/path/to/python3.12 test     another interpreter
#   make test PYTEST_ARGS="-k read"          arguments for pytest
#   make cpython CPYTHON_ARGS="--mode inside test_os"

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
WORKERS ?= 2
PYTEST_ARGS ?=
CPYTHON_ARGS ?=
BENCH_ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-this test-others check bench bench-quick cpython clean
.DELETE_ON_ERROR:

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

demo: $(VENV)/.demo ## start an S3 server, mount a bucket, show it working (installs what it needs)
	@$(BIN)/python -m vfsmount.demo

test: test-this test-others ## the whole suite, on this Python and on every other one of 3.10-3.13 found here

test-this: $(VENV)/.test ## the whole suite on this Python only
	$(BIN)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)

# After test-this, so that a failure at hand is seen first. pyenv's shims exist for versions that are not enabled, and
# tox does not see through them: each Python is run to learn whether it works and where it really is.
test-others: $(VENV)/.test test-this
	@here=$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); envs=; dirs=; \
	for version in 3.10 3.11 3.12 3.13; do \
	    if [ $$version = $$here ]; then continue; fi; \
	    if found=$$(python$$version -c 'import os, sys, venv; print(os.path.dirname(sys.executable))' 2>/dev/null); \
	    then envs=$$envs$${envs:+,}py$$(echo $$version | tr -d .); dirs=$$dirs$$found:; \
	    else echo "python$$version: not found here, its run is left out"; fi; \
	done; \
	if [ -n "$$envs" ]; then PATH="$$dirs$$PATH" $(BIN)/python -m tox run -e $$envs -- -n $(WORKERS) $(PYTEST_ARGS); fi

check: $(VENV)/.check ## format, lint, types, layers, fast tests: under a minute once installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow" $(PYTEST_ARGS)

bench: $(VENV)/.bench ## measure against the peers, 12 minutes; results, plots and tables go to benchmarks/results and docs
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

bench-quick: $(VENV)/.bench ## two rounds of the figures beside fewer peers, three minutes; writes nothing
	$(BIN)/python -m benchmarks --quick $(BENCH_ARGS)

cpython: $(VENV)/.test ## CPython's own tests with a mount active, and inside one, on this Python (ten minutes)
	$(BIN)/python -m tests.cpython.run $(CPYTHON_ARGS)

clean: ## remove everything that make made
	rm -rf $(VENV) .tox build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One environment for everything; each stamp adds what its target needs. Stamps are older than setup.cfg when that changes.
$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	    echo "vfsmount needs Python 3.10 or later; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || echo missing)." \
	         "Say which to use: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	    echo "'$(PYTHON)' cannot make a virtual environment (no venv or ensurepip module; on Debian and Ubuntu:" \
	         "apt install python3-venv)." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@# A new pip first: those that came with 3.10 and 3.11 search for minutes among the pinned versions of botocore.
	$(BIN)/python -m pip install -q --upgrade pip
	@touch $@

$(VENV)/.demo: $(VENV)/.python setup.cfg pyproject.toml
	$(BIN)/python -m pip install -q -e '.[demo]'
	@touch $@

$(VENV)/.test: $(VENV)/.python setup.cfg pyproject.toml tox.ini
	@# The libraries that open files natively are tested on this Python; tox's environments do without them.
	$(BIN)/python -m pip install -q -e '.[test,compat]' 'tox>=4.11'
	@touch $@

$(VENV)/.bench: $(VENV)/.python setup.cfg pyproject.toml
	$(BIN)/python -m pip install -q -e '.[bench]'
	@touch $@

$(VENV)/.check: $(VENV)/.test
	$(BIN)/python -m pip install -q 'ruff>=0.9' 'mypy>=1.15' types-cachetools tomli
	@touch $@
