# `make demo` and `make test` are all that a newcomer needs; `make help` lists the rest.

# A Python that can make environments; the exact versions in constraints.txt were tried on 3.11.
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
DEMO := .venv-demo
PEERS := .venv-peers
# Several GB, so only where there are pictures to compare on.
TILES := $(wildcard ../shared/data/magnetic_tile/train)
BIN := $(VENV)/bin
INSTALL := -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
APPLIANCE := $(shell find inspector plc -type f -not -name '*.pyc' 2>/dev/null)

.PHONY: help demo test test-fast check apt bench bench-screen bench-store bench-web bench-peers soak soak-disk real demo-bundle \
	clean python

help:
	@echo "make demo         install the appliance, play a whole line: simulated PLC, daemon, rendered parts"
	@echo "make test         install everything, run the checks and all tests (at most 20 minutes on two cores)"
	@echo "make test-fast    the quick unit tests of appliance and PLC contract, under a minute"
	@echo "make check        ruff, mypy --strict, import-linter"
	@echo "make bench        speed, size and start against their bars, in one run; writes docs/bench/latest.json"
	@echo "make bench-store  ten million rows over twelve months against their bars; 11 GB of disk; writes docs/bench/store.json"
	@echo "make bench-screen a result from the PLC to chromium, and the filmstrip, against their bars; writes docs/bench/screen.json"
	@echo "make bench-web    the line's cycle while 564 strangers sit on the page, against its bar; writes docs/bench/web.json (6 minutes)"
	@echo "make bench-peers  speed and AUROC beside anomalib's PatchCore, in an environment of its own (6.5 GB); writes docs/bench/peers.json"
	@echo "make soak         the contract's rules against random faults, 60,000 parts, and without each of them (20 minutes)"
	@echo "make soak-disk    a small disk filled for two minutes at 100 parts a second: what gives way; needs root"
	@echo "make real         train, build and replay on public pictures in ../shared/data; writes docs/results.md"
	@echo "make demo-bundle  render, train, quantise, fit, pack the demo's bundle (hours)"
	@echo "make clean        remove all environments and all caches"

python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with venv is needed. Debian, Ubuntu: apt-get install python3-venv"; exit 1; }

# Stamps: a second run finds everything installed and starts at once.
$(DEMO)/.installed: pyproject.toml constraints.txt $(APPLIANCE) | python
	@echo "installing the appliance into $(DEMO)"
	@test -x $(DEMO)/bin/python || $(PYTHON) -m venv $(DEMO)
	@$(DEMO)/bin/python $(INSTALL) --force-reinstall --no-deps . && $(DEMO)/bin/python $(INSTALL) .
	@touch $@

$(VENV)/.installed: pyproject.toml constraints.txt | python
	@echo "installing everything into $(VENV); the first time this takes some minutes"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python $(INSTALL) -e '.[train,dev]'
	@touch $@

demo: $(DEMO)/.installed
	@$(DEMO)/bin/inspector demo $(if $(PARTS),--parts $(PARTS))

# Debian packages that some tests need: installed where we may, else named, and those tests skip with that reason.
apt:
	@sh .ci/apt.sh

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Four lots at a time. Two wait for a line or a browser most of the time and are let through first; the workstation's gets
# what the others leave, so a test of it that hangs is given up later. Then, without them, the suite that holds a line to
# the contract's own times, beside its other subjects, which have time and mostly wait. All are told whole, and each counts.
PYTEST := $(BIN)/python -m pytest -q
WORKSTATION := tests/unit/edge_deploy tests/unit/training tests/unit/bench
CONFORMANCE := tests/system/test_conformance.py
SUBJECTS := tests/system/test_conformance_subjects.py
test: $(VENV)/.installed apt check
	@nice -n 19 $(PYTEST) --timeout 360 $(WORKSTATION) > .test-workstation.log 2>&1 & workstation=$$!; \
	nice -n 10 $(PYTEST) tests/unit $(WORKSTATION:%=--ignore=%) > .test-unit.log 2>&1 & unit=$$!; \
	$(PYTEST) tests/browser tests/counterparts > .test-browser.log 2>&1 & browser=$$!; \
	trap 'kill $$workstation $$unit $$browser $$subjects' INT TERM; \
	$(PYTEST) tests/fault tests/system --ignore=$(CONFORMANCE) --ignore=$(SUBJECTS); failed=$$?; \
	wait $$browser || failed=1; wait $$unit || failed=1; wait $$workstation || failed=1; \
	cat .test-browser.log .test-unit.log .test-workstation.log; \
	nice -n 10 $(PYTEST) $(SUBJECTS) > .test-subjects.log 2>&1 & subjects=$$!; \
	$(PYTEST) $(CONFORMANCE) || failed=1; \
	wait $$subjects || failed=1; cat .test-subjects.log; \
	exit $$failed

test-fast: $(VENV)/.installed
	$(BIN)/python -m pytest -q -x -m "not slow" tests/unit/plc tests/unit/inspector

bench: $(VENV)/.installed
	$(BIN)/python -m tests.bench.bench

bench-screen: $(VENV)/.installed
	$(BIN)/python -m tests.bench.screen $(if $(PARTS),--parts $(PARTS))

bench-store: $(VENV)/.installed
	$(BIN)/python -m tests.bench.store $(if $(ROWS),--rows $(ROWS)) $(if $(FOLDER),--folder $(FOLDER))

bench-web: $(VENV)/.installed
	$(BIN)/python -m tests.bench.web_load

$(PEERS)/.installed: tests/bench/peers/constraints.txt | python
	@echo "installing anomalib into $(PEERS), 6.5 GB"
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $< \
		'anomalib[openvino]' torch torchvision
	@touch $@

bench-peers: $(VENV)/.installed $(if $(TILES),$(PEERS)/.installed)
	$(BIN)/python -m tests.bench.peers $(if $(WEIGHTS),--weights $(WEIGHTS))

soak: $(VENV)/.installed
	$(BIN)/python -m tests.soak.rules $(PARTS)
	HANDSHAKE_EXAMPLES=5000 $(BIN)/python -m pytest -q --timeout 0 tests/unit/plc/test_handshake_any.py

soak-disk: $(VENV)/.installed
	$(BIN)/python -m tests.soak.disk $(SECONDS)

real: $(VENV)/.installed
	$(BIN)/python -m tests.bench.real $(if $(WEIGHTS),--weights $(WEIGHTS))

demo-bundle: $(VENV)/.installed
	$(BIN)/python -m training.dense runs/demo
	$(BIN)/python -m edge_deploy.demo runs/demo

clean:
	rm -rf $(VENV) $(DEMO) $(PEERS) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
