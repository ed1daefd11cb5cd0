# PYTHON is the interpreter that .venv is made with: 3.10 or newer. After another choice: make clean.
PYTHON ?= python3

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup quickstart test lint bench peers clean

help:
	@echo "make setup       .venv with everything that runs and tests need"
	@echo "make quickstart  train a small model by DAPO on this machine's CPU"
	@echo "make test        all tests"
	@echo "make lint        style, format and types"
	@echo "make bench       every benchmark with its defaults"
	@echo "make peers       what the benchmarks compare with, TRL and vLLM, in environments of their own"
	@echo "make clean       remove environments, caches and build outputs (runs/ stays)"

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

# TRL and vLLM want other versions than this package and each other, so each has an environment of its own;
# benchmarks/README.md says more. The list for vLLM is complete and installed as it stands: left to itself,
# pip would add audio and video packages that have no build for this torch.
peers: .venv-trl/.installed .venv-vllm/.installed

.venv-trl/.installed: INSTALL := -c constraints.txt
.venv-trl/.installed: CHECK := import torch, trl; from trl import GRPOTrainer
.venv-vllm/.installed: INSTALL := --no-deps
.venv-vllm/.installed: CHECK := import torch, vllm; from vllm import LLM

.venv-%/.installed: benchmarks/peers/%.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "the peers need Python 3.11; name a newer one: make peers PYTHON=python3.12"; exit 1; }
	@echo "Installing $* into .venv-$*; this takes some minutes."
	@$(PYTHON) -m venv --clear .venv-$*
	@.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check $(INSTALL) -r $< || \
		{ echo "$* could not be installed: see pip's words above, and $<"; exit 1; }
	@.venv-$*/bin/python -c '$(CHECK)' >/dev/null 2>.venv-$*/error || { cat .venv-$*/error; \
		echo "$* is installed and does not start. Where a library of CUDA is missing, pip took another build"; \
		echo "of torch than the CPU's: hand its index to pip in PIP_EXTRA_INDEX_URL, as for make setup."; exit 1; }
	@touch $@

clean:
	@rm -rf $(VENV) .venv-trl .venv-vllm build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov
	@find . -type d -name __pycache__ -prune -exec rm -rf {} +
