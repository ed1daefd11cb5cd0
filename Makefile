# PYTHON is the interpreter that .venv is made with: 3.10 or newer. After another choice: make clean.
PYTHON ?= python3

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup quickstart test lint bench clean

help:
	@echo "make setup       .venv with everything that runs and tests need"
	@echo "make quickstart  train a small model by DAPO on this machine's CPU"
	@echo "make test        all tests"
	@echo "make lint        style, format and types"
	@echo "make bench       every benchmark with its defaults"
	@echo "make clean       remove .venv, caches and build outputs (runs/ stays)"

setup: $(STAMP)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "$(PYTHON) is older than Python 3.10; name a newer one: make setup PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV); the first time this takes some minutes."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

quickstart: setup
	@$(BIN)/dapo train recipes/quickstart.yaml

test: setup
	@$(BIN)/python -m pytest -q

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# Files whose name begins with an underscore are what the benchmarks share.
bench: setup
	@set -e; found=0; \
	for file in benchmarks/[!_]*.py; do \
		[ -e "$$file" ] || continue; \
		found=1; echo "== $$file"; $(BIN)/python "$$file"; \
	done; \
	[ $$found = 1 ] || echo "There is no benchmark in benchmarks/ yet: nothing was measured."

clean:
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov
	@find . -type d -name __pycache__ -prune -exec rm -rf {} +
