# `make demo` and `make test` are all that a newcomer needs; `make help` lists the rest.
PY := $(shell for p in python3.11 python3.12 python3.13 python3; do $$p -c 'import sys,venv; sys.exit(sys.version_info<(3,11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
# the exact torch build of constraints.txt exists for CPython 3.11 to 3.13
PIP_INSTALL = $(1)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

DEMO := .venv-demo
PARTS ?= 200

.PHONY: help demo test test-fast check demo-bundle apt clean

help:
	@echo "make demo         install the appliance alone and play a line: simulated PLC, daemon, rendered parts"
	@echo "make test         install everything, check, run all tests"
	@echo "make test-fast    the part of the tests that takes under a minute"
	@echo "make check        ruff, mypy --strict, import-linter"
	@echo "make demo-bundle  render, train, quantise, fit, pack the demo's bundle (about two hours on two cores)"

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -n "$(PY)" || { echo "Python 3.11 or newer with venv is needed (Debian: apt-get install python3-venv)"; exit 1; }
	$(PY) -m venv $(VENV)
	$(call PIP_INSTALL,$(VENV)) torch torchvision
	$(call PIP_INSTALL,$(VENV)) -e '.[train,dev]'
	@touch $@

$(DEMO)/.installed: pyproject.toml constraints.txt
	@test -n "$(PY)" || { echo "Python 3.11 or newer with venv is needed (Debian: apt-get install python3-venv)"; exit 1; }
	$(PY) -m venv $(DEMO)
	$(call PIP_INSTALL,$(DEMO)) .
	@touch $@

demo: $(DEMO)/.installed
	$(DEMO)/bin/inspector demo --parts $(PARTS)

# Debian packages that some tests need: installed where we may, else named, and those tests skip with that reason.
apt:
	@sh .ci/apt.sh

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(VENV)/.installed apt check
	$(BIN)/python -m pytest -q

test-fast: $(VENV)/.installed
	$(BIN)/python -m pytest -q -m "not slow and not browser" -x

demo-bundle: $(VENV)/.installed
	$(BIN)/python -m training.dense runs/demo
	$(BIN)/python -m edge_deploy.demo runs/demo

clean:
	rm -rf $(VENV) .venv-demo build dist .mypy_cache .ruff_cache .pytest_cache
