# make            lists the targets
# make train      from nothing to a trained, evaluated model on this machine
# make test       every test that needs no GPU

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
IN_VENV := PATH="$(abspath $(BIN)):$$PATH"

.DEFAULT_GOAL := help
.PHONY: help install train test test-slow lmplz check format clean-runs clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## create .venv and install packtrain into it; done once, and again when pyproject.toml changes

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or later found; install one, or say PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is not a working Python 3.11 or later; say PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "make: $(PYTHON) -m venv failed; on Debian: apt install python3-venv"; exit 1; }

$(STAMP): pyproject.toml setup.py constraints.txt scripts/fix_torchvision.sh | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps litgpt==0.5.13  # a peer in benchmarks/: its pins contradict transformers'
	bash scripts/fix_torchvision.sh $(BIN)/python
	@touch $@

train: install ## the whole journey on the embedded corpus: prepare, tokenizer, pack, train, evaluate, generate, report
	@$(IN_VENV) bash recipes/quickstart.sh

test: install ## every test that needs no GPU, except the slow ones; two processes share the files of tests
	@$(BIN)/python -m pytest -m "not slow and not gpu" -n 2 --dist loadfile --no-loadscope-reorder --durations=25 --durations-min=3

# llama.cpp is compiled once, in some eight minutes; pip keeps the wheel for the next environment.
$(VENV)/.llama_cpp: $(STAMP)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[llamacpp]'
	bash scripts/fix_torchvision.sh $(BIN)/python
	@touch $@

lmplz: $(BIN)/lmplz ## KenLM's lmplz, which quality train=lm calls; compiled in a minute, wants cmake, g++ and Boost

$(BIN)/lmplz: $(STAMP)
	@sh scripts/build_lmplz.sh $(BIN)

test-slow: install $(VENV)/.llama_cpp ## the tests that take minutes
	@$(BIN)/python -m pytest -m "slow and not gpu"

check: install ## ruff, pyright, and the architecture test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(IN_VENV) $(BIN)/pyright
	@$(BIN)/python -m pytest -q tests/architecture

format: install ## let ruff rewrite the files
	@$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q .

clean-runs: ## remove all runs and the shards of the embedded corpus, and start over
	rm -rf runs data/python

clean: ## remove .venv and what tools left behind; the runs stay
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .ruff_cache
