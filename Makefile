# Every target makes the virtual environment it needs; a second call finds it ready.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CONFIG ?= examples/schedcore.toml
# Many tests start processes of their own, and wait for them.
PARALLEL ?= --numprocesses auto --maxprocesses 4 --dist loadgroup
SCENARIO ?= add 10,000

.DEFAULT_GOAL := help
.PHONY: help serve test soak check format bench profile clean

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.server: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[server,dashboard]'
	@touch $@

$(VENV)/.dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(VENV)/.server $@

$(VENV)/.bench: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,bench]'
	@touch $@

serve: $(VENV)/.server  ## run the engine and its REST API under gunicorn, with the example jobs
	PATH="$(abspath $(BIN)):$$PATH" exec $(BIN)/python -m schedhttp --config $(CONFIG) $(ARGS)

test: $(VENV)/.dev  ## run the tests, on up to four processors
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

soak: $(VENV)/.dev  ## try the stores against their model, and kill processes, for a quarter of an hour
	SCHEDCORE_SOAK=1 $(BIN)/python -m pytest tests/contract tests/durable -k "conservation or storm" $(ARGS)

check: $(VENV)/.dev  ## format, lint and types, then the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

format: $(VENV)/.dev  ## rewrite the files in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.bench  ## run the benchmarks against the peers
	$(BIN)/python -m benchmarks $(ARGS)

profile: $(VENV)/.bench  ## tell where one of them spends its time: SCENARIO="add 10,000"
	$(BIN)/python -m benchmarks.profiling "$(SCENARIO)" $(ARGS)

clean:  ## remove the virtual environment, caches, and what the example server and its jobs wrote
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist var schedcore.db*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
