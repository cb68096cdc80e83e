# Deliberately thin: every target is one or two plain commands, also listed in README.md.
SHELL := bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed-from

export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup install reproduce smoke test book check benchmark cards package lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

# The stamp records what was installed, so a changed lock file triggers a new install.
setup: ## create .venv from requirements.lock, and update it when that changes
	@cat requirements.lock pyproject.toml | cmp -s - $(STAMP) || $(MAKE) --no-print-directory install

install:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "error: $(PYTHON) is not Python 3.11, 3.12 or 3.13; name one: make setup PYTHON=python3.11" >&2; \
	  exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned packages of requirements.lock into $(VENV) (a minute or two) ..."
	@$(BIN)/python -m pip install --quiet --no-deps -r requirements.hashes
	@$(BIN)/python -m pip install --quiet -r requirements.lock
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@cat requirements.lock pyproject.toml > $(STAMP)

reproduce: setup ## run the pipeline on all cores: all tables, all figures, the book
	$(BIN)/python pipeline/reproduce.py
	@echo "The book: book/_build/html/index.html"

smoke: setup ## try the pipeline with tiny settings, in a clone of the last commit
	scripts/smoke

test: setup ## run the tests on all cores
	$(BIN)/python -m pytest --numprocesses logical --dist loadfile

book: setup ## build the book from the existing results
	scripts/book
	@echo "The book: book/_build/html/index.html"

check: setup ## check linting, formatting and types
	ruff check .
	ruff format --check .
	mypy

BENCHMARKS := scan_cpu network_cpu growth_cpu operators_cpu large_image_cpu onnx_cpu claims_cpu \
  openmp_waiting loading_cpu network_browser scan_gpu network_gpu
benchmark: setup ## measure this machine and its GPU; writes to results/benchmarks/
	@for name in $(BENCHMARKS); do echo "$$name"; \
	  $(BIN)/python benchmarks/$$name.py --csv results/benchmarks/$$name.csv || exit 1; done

cards: setup ## regenerate the cards of the packaged weights from files, scores and notes
	$(BIN)/python pipeline/model_cards.py

package: ## build the wheel from the last commit and test it in an empty environment
	scripts/package dist

lock: ## update requirements.lock and requirements.hashes from pyproject.toml
	scripts/lock
