# Two commands for a new user: `make quickstart` and `make test`.
PYTHON ?= python3
# PyTorch's CPU index, for an install without CUDA's libraries; empty takes pip's default.
TORCH_INDEX ?=
RUNS ?= 20
BIN := .venv/bin
# What was installed stays: `make install-gpu` once, and every later command keeps to it.
LOCK ?= $(if $(wildcard .venv/gpu),gpu,cpu)
INSTALLED := .venv/installed-$(shell cat locks/$(LOCK).txt Makefile | cksum | cut -d' ' -f1)

.PHONY: quickstart install-gpu test test-fast lint format lock bench chaos fuzz clean

quickstart: $(INSTALLED)
	$(BIN)/python -m simulations run configs/quickstart.yaml --resume

# vLLM's and PyTorch's builds for NVIDIA GPUs, some 10 GB.
install-gpu:
	$(MAKE) LOCK=gpu .venv/gpu

.venv/gpu: $(INSTALLED)
	touch $@

# Everything, by two processes at a time: what starts Ray waits for other processes most of the time,
# and is followed by as much of the rest as makes both end together.
# Hundreds of processes start, and each would compile all modules anew where bytecode is not kept.
PYTEST := $(BIN)/python -m pytest -p no:cacheprovider
# Threads of one process that wait for each other lose their turns where two processes share the cores.
REST := OMP_NUM_THREADS=1 nice -n 15 $(PYTEST) -m "not ray"
LAST := tests/electorate/ratings
test: export PYTHONDONTWRITEBYTECODE :=
test: $(INSTALLED)
	($(REST) --ignore=$(LAST); rest=$$?; $(PYTEST) -m engine && exit $$rest) & first=$$!; \
	$(PYTEST) -m "ray and not engine"; ray=$$?; \
	$(REST) $(LAST) && (exit $$ray); second=$$?; \
	wait $$first && exit $$second

test-fast: $(INSTALLED)
	$(BIN)/python -m pytest -m "not slow"

lint: $(INSTALLED)
	$(BIN)/ruff format --no-cache --check .
	$(BIN)/ruff check --no-cache .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/style.py

# Peers are measured in an environment of their own, as their pins differ from ours.
.venv-peers/installed:
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check arena-rank==0.1.1 evalica==0.4.2 torch==2.13.0 trl==1.16.0 peft==0.21.2
	touch $@

bench: $(INSTALLED) .venv-peers/installed
	$(BIN)/python -m benchmarks

# Whole runs on two raylets, each with a SIGKILL at a random moment; CI does 2 of them.
chaos: $(INSTALLED)
	CHAOS_RUNS=$(RUNS) $(BIN)/python -m pytest -s tests/simulations/test_chaos.py

# Made-up input for what reads votes, answers, configs and requests, a minute each.
fuzz: $(INSTALLED)
	$(BIN)/python -m tests.fuzz

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# torch first, by itself; then everything else exactly as locked (see locks/cpu-overrides.txt for what is left out).
$(INSTALLED):
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -c 'import sys; sys.exit("Electorate needs Python 3.11 to 3.14, not " + sys.version.split()[0]) if not (3, 11) <= sys.version_info < (3, 15) else None'
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0 $(if $(TORCH_INDEX),-i $(TORCH_INDEX))
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r locks/$(LOCK).txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	rm -f .venv/installed-*
	touch $@

# Needs uv (pip install uv).
lock:
	for kind in cpu gpu; do \
	  uv pip compile --quiet --universal --python-version 3.11 --override locks/$$kind-overrides.txt \
	    --extra $$kind --extra dev --no-annotate --no-header --upgrade pyproject.toml -o locks/$$kind.txt; done

clean:
	rm -rf .venv .venv-peers runs
