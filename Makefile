# The recipes of Forebay. Hooks and CI call the same ones. `make` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WHEEL_VENV := .venv-wheel
UV_VERSION := 0.13.8
GROUPS := --extra sql --group test --group lint --group docs --group build

.PHONY: help setup demo quick lint fix check test stress bench docs reference serve-docs floors news lock wheel release clean

help: ## List the recipes.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

$(VENV)/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Forebay needs Python 3.11 or newer; set PYTHON=/path/to/python3"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed: on Debian, apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(VENV)/ready ## Make the virtual environment from the lock file, and the local hooks.
	@git rev-parse --git-dir >/dev/null 2>&1 && install -m 755 .ci/pre-push "$$(git rev-parse --git-dir)/hooks/pre-push" || true

demo: $(VENV)/ready ## Set up all that is missing and run the main job end to end, on real services (SF=1 for more data, KEEP=1 to leave it running).
	$(BIN)/python -m testbed.demo

quick: $(VENV)/ready ## Unit tests, contracts on memory and local disk, properties, house (under 30 s).
	$(BIN)/python -m pytest -q -m "not service and not slow" tests

lint: $(VENV)/ready ## Format, ruff, mypy strict, import-linter, codespell: say what is wrong.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy src tests testbed bench
	$(BIN)/lint-imports
	$(BIN)/codespell README.md ARCHITECTURE.md CONTRIBUTING.md docs changes src tests testbed bench

fix: $(VENV)/ready ## Mend what can be mended by a program.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: lint quick docs ## What must be green before a push.

wheel: $(VENV)/ready ## Build the wheel into dist/.
	rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist . >/dev/null
	@ls dist/*.whl

$(WHEEL_VENV)/ready: requirements.lock $(VENV)/ready
	@test -x $(WHEEL_VENV)/bin/python || $(PYTHON) -m venv $(WHEEL_VENV)
	$(BIN)/uv pip sync --quiet --python $(WHEEL_VENV)/bin/python --require-hashes requirements.lock
	@touch $@

test: wheel $(WHEEL_VENV)/ready ## Everything, against the built wheel, on real services; a skip is a failure.
	$(BIN)/uv pip install --quiet --python $(WHEEL_VENV)/bin/python --no-deps --reinstall dist/*.whl
	$(WHEEL_VENV)/bin/python -m testbed.prepare all
	FOREBAY_NO_SKIPS=1 $(WHEEL_VENV)/bin/python -m pytest -q tests

stress: $(VENV)/ready ## Properties with 100 times the examples, and the crash tests at length.
	FOREBAY_STRESS=1 $(BIN)/python -m pytest -q tests/properties tests/crash

bench: $(VENV)/ready ## Run the benchmarks against their peers and print the table (minutes).
	$(BIN)/python -m bench

docs: $(VENV)/ready ## Build the documentation, warnings as errors.
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

reference: $(VENV)/ready ## Fill the reference pages anew from the tables in the code.
	$(BIN)/python -m testbed.reference_pages

serve-docs: $(VENV)/ready ## Show the documentation on loopback.
	$(BIN)/python -m mkdocs serve --dev-addr 127.0.0.1:8000

floors: $(VENV)/ready ## Print how the packages import each other, floor by floor.
	$(BIN)/lint-imports --verbose

news: ## Begin a change note: make news ISSUE=2 KIND=added
	@test -n "$(ISSUE)" && test -n "$(KIND)" || { echo "make news ISSUE=<number> KIND=added|changed|fixed|removed"; exit 1; }
	@touch changes/$(ISSUE).$(KIND).md && echo "write changes/$(ISSUE).$(KIND).md: the problem in the past tense, the behaviour in the present"

lock: $(VENV)/ready ## Write the lock file anew, with releases at least a week old.
	$(BIN)/uv pip compile pyproject.toml $(GROUPS) --exclude-newer "$$(date -u -d '8 days ago' +%F)" --generate-hashes --no-emit-index-url --python-version 3.11 --quiet --output-file requirements.lock

release: check wheel ## Build and check the wheel that would be released.
	$(MAKE) test

clean: ## Remove what the recipes made (not the downloaded services).
	rm -rf $(VENV) $(WHEEL_VENV) dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
