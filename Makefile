# Needs Python 3.11 or newer, make and git. Everything else goes into .venv.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help install demo test chaos bench lint format lock clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

demo: $(STAMP) ## run everything on a simulated shop (ARGS="--real" for the Complete Journey data)
	@$(BIN)/ebbtide demo $(ARGS)

test: $(STAMP) ## run all tests (ARGS="-k name" for some)
	@$(BIN)/python -m pytest $(ARGS)

chaos: $(STAMP) ## kill everything on a real Kafka, then check every number (ARGS="--seed 7")
	@$(BIN)/python -m tests.chaos $(ARGS)

bench: $(STAMP) ## measure speed beside other frameworks (ARGS="--quick" for 5 minutes)
	@$(BIN)/ebbtide bench $(ARGS)

lint: $(STAMP) ## check style, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(STAMP) ## format the code and apply safe fixes
	@$(BIN)/ruff check --fix-only -q .
	@$(BIN)/ruff format .

install: $(STAMP) ## make .venv with the locked dependencies

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer with the venv module on PATH; or set PYTHON=/path/to/python" >&2; exit 1; }
	@echo "installing into $(VENV) with $(PYTHON)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check 'uv>=0.9,<1'
	@$(BIN)/uv pip install -q --python $(BIN)/python -r requirements.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps -e .
	@touch $@

lock: $(STAMP) ## resolve the dependencies anew into requirements.lock
	@$(BIN)/uv pip compile -q pyproject.toml --all-extras --universal --python-version 3.11 --upgrade \
		--no-annotate --no-header --no-emit-index-url -o requirements.lock

clean: ## remove .venv, caches and build results; data/ stays
	rm -rf $(VENV) build dist target *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
