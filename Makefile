# Two commands are enough: `make demo` and `make test`. They need Python 3.11 or newer and make;
# everything else is installed into .venv from the lock files.
# `make PYTHON=python3.12 demo` chooses the interpreter that .venv is made with.

PYTHON ?= python3
BIN := .venv/bin
# uv, because pip's own search takes a torch built for the CPU only on some machines, and such a
# torch doesn't work with the index's torchvision. Installing from the lock takes half a minute.
UV := $(BIN)/uv
UV_VERSION := 0.13.9
RUFF := $(BIN)/ruff

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check format bench chaos lock clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

demo: .venv/.installed-base ## train on handwritten digits, register the model, predict with it
	@set -eu; \
	home="$${HELIO_HOME:-$$HOME/.heliostat}"; \
	mkdir -p "$$home/predictions"; \
	output="$$home/predictions/digits-$$(date +%Y%m%d-%H%M%S).parquet"; \
	$(BIN)/helio run jobs/digits/train.yaml; \
	$(BIN)/helio run jobs/digits/predict.yaml --set "output=$$output"; \
	printf '\n%s\n%s\n%s\n' "The predictions: $$output" \
	  "The run, its curves, its pictures and the model: $(BIN)/helio ui" \
	  "What is remembered, as tables:                  $(BIN)/helio runs   $(BIN)/helio models"

# Two at a time: while one test waits for its Ray to start, another computes.
PARALLEL = -n 2 --dist loadfile --no-loadscope-reorder

test: .venv/.installed-test ## run the tests, less those marked slow
	$(BIN)/python -m pytest -m "not slow" $(PARALLEL) --durations=12

test-all: .venv/.installed-test ## run all the tests
	$(BIN)/python -m pytest

chaos: .venv/.installed-test ## run the tests that kill things
	$(BIN)/python -m pytest tests/chaos

check: .venv/.installed-test ## lint, format, types, import contracts: what CI runs before the tests
	$(RUFF) check .
	$(RUFF) format --check .
	$(BIN)/mypy --strict platform
	$(BIN)/lint-imports

format: .venv/.installed-test ## mend what ruff can mend
	$(RUFF) check --fix .
	$(RUFF) format .

bench: .venv/.installed-test ## measure heliostat beside torchrun scripts, other feeders and searches (BENCH="--pairs 1" TASKS="--pairs 1" FEEDERS="--pairs 1" SEARCH="--pairs 1" STARTING="--pairs 1" DURABILITY="--pairs 1")
	$(BIN)/python tests/benchmarks/bench.py $(BENCH)
	$(BIN)/python tests/benchmarks/tasks.py $(TASKS)
	$(BIN)/python tests/benchmarks/feeders.py $(FEEDERS)
	$(BIN)/python tests/benchmarks/searching.py $(SEARCH)
	$(BIN)/python tests/benchmarks/starting.py $(STARTING)
	$(BIN)/python tests/benchmarks/durability.py $(DURABILITY)

lock: $(UV) ## write the lock files anew after a change to pyproject.toml (UPGRADE=--upgrade: newest pins)
	$(COMPILE) --extra test -o requirements-test.lock
	$(COMPILE) --constraints requirements-test.lock -o requirements.lock

clean: ## remove .venv, caches and builds; HELIO_HOME is left alone
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find platform tests jobs -name __pycache__ -type d -prune -exec rm -rf {} +

# One resolution for every platform and every Python that pyproject.toml allows; hashes, and no
# index address. The smaller lock is held to the pins of the larger one.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate $(UPGRADE) pyproject.toml

# The stamps make a repeat instant; a changed lock or pyproject.toml installs again.
.venv/.installed-base: requirements.lock pyproject.toml | $(UV)
	$(INSTALL) --require-hashes -r requirements.lock
	$(INSTALL) --no-deps -e .
	@touch $@

.venv/.installed-test: requirements-test.lock pyproject.toml | $(UV)
	$(INSTALL) --require-hashes -r requirements-test.lock
	$(INSTALL) --no-deps -e .
	@touch $@

INSTALL = $(UV) pip install --python $(BIN)/python

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: $(PYTHON) is missing or older than Python 3.11; make PYTHON=python3.12 … chooses another"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
