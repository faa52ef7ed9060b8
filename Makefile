# Everything a clean clone needs: `make demo` and `make test` set up .venv themselves, once.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
# The first Python on PATH that runs and is new enough; set PYTHON=... to choose another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; \
	done)
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet --progress-bar off
CODE := $(wildcard src tests bench)
# Arguments for pytest: `make test PYTEST="tests/store -x"`.
PYTEST ?=
# The smallest machine we support has two cores, and tests wait for two fifths of their time; workers
# share one database server.
WORKERS ?= 4

.PHONY: help venv demo test check static lint format format-check types floors bench browser-test \
	e2e schema lock clean

help: ## list the commands
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Stockwright needs Python 3.11 or newer, and none was found on PATH." \
		"Install one, or name it: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is" \
		"$$("$(PYTHON)" --version 2>&1); Stockwright needs 3.11 or newer: make PYTHON=python3.11 ..." >&2; exit 1; }
	@echo "Creating $(VENV) with $$("$(PYTHON)" --version)"
	@"$(PYTHON)" -m venv $(VENV) || { echo "Python's venv module is missing; on Debian and Ubuntu:" \
		"apt install python3-venv" >&2; rm -rf $(VENV); exit 1; }

# Stamps: dependencies are installed again only when a lock or the packaging changes.
$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing what Stockwright needs (once, about half a minute)"
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "Installing the test tools (once)"
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/.browser: requirements-browser.lock $(VENV)/.dev
	@echo "Installing the browser's driver (once)"
	@$(PIP) --require-hashes -r requirements-browser.lock
	@touch $@

venv: $(VENV)/.dev ## set up .venv with everything for development

demo: $(VENV)/.runtime ## run a real wholesaler's days through Stockwright, live in the console
	@$(BIN)/stockwright demo $(DEMO)

test: $(VENV)/.dev ## run the tests (PYTEST="tests/store -x" chooses)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not browser and not e2e" $(PYTEST)

check: static test ## format, lint, types, floors, tests: all that CI runs

static: format-check lint types floors ## everything of `check` except the tests

format: $(VENV)/.dev ## format the code
	@$(BIN)/ruff format $(CODE)
	@$(BIN)/ruff check --fix --quiet $(CODE)

format-check: $(VENV)/.dev
	@$(BIN)/ruff format --check --quiet $(CODE) || { echo "Run: make format" >&2; exit 1; }

lint: $(VENV)/.dev ## ruff
	@$(BIN)/ruff check --quiet $(CODE)

types: $(VENV)/.dev ## mypy, strict
	@$(BIN)/mypy --no-error-summary $(CODE)

floors: $(VENV)/.dev ## import-linter: a file only looks down
	@$(BIN)/lint-imports --no-logo

bench: $(VENV)/.runtime ## run the benchmarks, or one: make bench NAME=ledger_spread
	@$(BIN)/python -m bench $(NAME)

browser-test: $(VENV)/.browser ## look at the console in a real browser
	@$(BIN)/python -m pytest -m browser $(PYTEST)

e2e: $(VENV)/.dev ## run against real partners' servers; a test says what it misses (Node 20 for Medusa)
	@$(BIN)/python -m pytest -m e2e tests/e2e $(PYTEST)

schema: $(VENV)/.dev ## write store/schema.sql: where the migrations end
	@$(BIN)/python -m stockwright.store.schema

lock: $(VENV)/.dev ## resolve the dependencies anew and write the locks
	@for set in build: dev:-dev browser:-browser; do \
		echo "requirements$${set#*:}.lock"; \
		$(BIN)/uv pip compile pyproject.toml --group $${set%%:*} --constraint requirements.lock \
			--generate-hashes --no-emit-index-url --universal --python-version 3.11 --no-header --quiet \
			--output-file requirements$${set#*:}.lock || exit 1; \
	done

clean: ## remove .venv, caches and build output (never a data directory)
	@rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
