# Every target makes the virtual environment it needs; a second call finds it ready.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
SITE := NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs
CONFIG ?= examples/schedcore.toml
# How many processes that is, and in which order they take the tests: see tests/conftest.py.
PARALLEL ?= --numprocesses auto --dist worksteal
SCENARIO ?= add 10,000

.DEFAULT_GOAL := help
.PHONY: help serve install test soak check lint types format docs docs-serve bench profile dist lock clean

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.server: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --editable '.[server,dashboard]'
	@touch $@

# A pip from before 25.1, as Python 3.13 and earlier bring one, knows no dependency groups.
$(VENV)/.dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install 'pip>=25.1'
	$(PIP) install --editable '.[all]' --group dev
	@touch $(VENV)/.server $@

$(VENV)/.bench: $(VENV)/.dev
	$(PIP) install --group bench
	@touch $@

$(VENV)/.release: $(VENV)/.dev
	$(PIP) install --group release
	@touch $@

serve: $(VENV)/.server  ## run the engine and its REST API under gunicorn, with the example jobs
	PATH="$(abspath $(BIN)):$$PATH" exec $(BIN)/python -m schedhttp --config $(CONFIG) $(ARGS)

install: $(VENV)/.dev  ## make .venv with all that the targets below need

test: $(VENV)/.dev  ## run the tests, a few at a time
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

soak: $(VENV)/.dev  ## try all that make test tries a part of, and more often, for an hour
	SCHEDCORE_SOAK=1 $(BIN)/python -m pytest --timeout 0 tests/contract tests/durable \
		-k "conservation or storm or cut_off or death" $(ARGS)
	SCHEDCORE_SOAK=1 $(BIN)/python -m pytest --timeout 0 $(PARALLEL) \
		tests/triggers tests/http tests/dashboard $(ARGS)

check: lint types test  ## all that a change has to pass: format, lint, types, tests

lint: $(VENV)/.dev  ## tell what ruff finds wrong with format and code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev  ## check the types, by mypy
	$(BIN)/mypy

format: $(VENV)/.dev  ## rewrite the files in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev  ## build the documentation's site in build/site
	$(SITE) build --strict $(ARGS)

docs-serve: $(VENV)/.dev  ## show the site at http://localhost:8000, and build it anew at each change
	$(SITE) serve --strict $(ARGS)

bench: $(VENV)/.bench  ## run the benchmarks against the peers
	$(BIN)/python -m benchmarks $(ARGS)

profile: $(VENV)/.bench  ## tell where one of them spends its time: SCENARIO="add 10,000"
	$(BIN)/python -m benchmarks.profiling "$(SCENARIO)" $(ARGS)

dist: $(VENV)/.release  ## build wheel and sdist, and try them on each Python that is here
	rm -rf dist
	$(BIN)/python -m build --quiet
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python -m tools.try_dist $(ARGS)

lock: $(VENV)/.release  ## bring up to date what the container image installs
	$(BIN)/pip-compile --quiet --upgrade --generate-hashes --strip-extras --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links --extra server,dashboard,postgres,metrics,cli \
		--output-file requirements.lock pyproject.toml

clean:  ## remove the virtual environment, caches, and what the example server and its jobs wrote
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist var schedcore.db*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
