# Each target is complete on a bare machine with Python 3.11+ and make.
PYTHON ?= python3
PORT ?= 8501
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# On few cores an OpenMP thread that waits should sleep, not spin (361 -> 2,152 tokens/s, measured).
export GOMP_SPINCOUNT := 0
export OMP_WAIT_POLICY := passive
# numpy's BLAS always spins: a 200 x 200 Cholesky factor took 250 ms on two threads of a busy machine, 2 ms on one.
export OPENBLAS_NUM_THREADS := 1

.PHONY: run test test-fast loop check bench proof clean help

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: $(VENV)/product ## install, prepare the database and sample data, then the app on http://127.0.0.1:8501 (PORT=)
	@$(BIN)/personaloop init --sample
	@$(BIN)/personaloop serve --port $(PORT)

loop: $(VENV)/product ## the whole loop unattended, with simulated annotators
	@$(BIN)/personaloop loop

test: $(VENV)/dev $(VENV)/chromium ## everything the tests need, then all of them
	@$(BIN)/python -m pytest -n 3 --dist loadgroup

test-fast: $(VENV)/dev ## the tests that take seconds
	@$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow and not browser"

check: $(VENV)/dev ## ruff, pyright, import-linter, migration drift
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright --threads 2
	@$(BIN)/lint-imports
	@$(BIN)/personaloop doctor --migrations

bench: $(VENV)/bench ## measurements against peers, as ratios from one interleaved run
	@$(BIN)/python -m bench

proof: $(VENV)/dev ## the long proofs at full size
	@$(BIN)/python -m tests.proof

clean: ## remove the virtual environment (outputs/ stays: it holds judgments)
	rm -rf $(VENV)

# torch comes first: where the machine has a CPU build it is taken, and nothing pulls CUDA later.
$(VENV)/product: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("PersonaLoop needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; set PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q torch==2.13.0
	$(BIN)/python -m pip install -q -r requirements.txt
	$(BIN)/python -m pip install -q --no-deps -e .
	@touch $@

$(VENV)/dev: $(VENV)/product requirements-dev.txt
	$(BIN)/python -m pip install -q -r requirements-dev.txt
	@touch $@

$(VENV)/bench: $(VENV)/dev bench/requirements.txt
	$(BIN)/python -m pip install -q -r bench/requirements.txt
	@touch $@

$(VENV)/chromium: $(VENV)/dev
	@sh scripts/chromium.sh $(BIN)/python
	@touch $@
