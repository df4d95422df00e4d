# `make book` and `make test` do everything, set-up included. `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
ifeq ($(OS),Windows_NT)
BIN = $(VENV)/Scripts
else
BIN = $(VENV)/bin
endif
STAMP = $(VENV)/.installed
PY = $(BIN)/python

.DEFAULT_GOAL := help
.PHONY: book test notebooks bench bench-gpu lint clean help address machine test-oldest test-fast

book: $(STAMP) ## build the book and say where it is
	@$(PY) tools/build_book.py

test: $(STAMP) ## run every check and test: lint, types, pytest, nbval, book, browser
	@$(PY) tools/check.py

test-fast: $(STAMP) ## lint, types and the tests of cnnlib, about four minutes on two cores
	@$(PY) tools/check.py lint format types notebooks unit

test-oldest: ## the tests with the oldest numpy and torch that pyproject.toml allows
	@$(PYTHON) tools/oldest.py

notebooks: $(STAMP) ## execute manuscript/*.md into chapters/*.ipynb (one: make notebooks NAME=02_convolution)
	@$(PY) tools/nb.py run $(NAME)

bench: $(STAMP) ## time cnnlib against torch and against textbook NumPy, write data/measured/ops.json
	@$(PY) benchmarks/ops.py --json data/measured/ops.json

bench-gpu: $(STAMP) ## time everything on a CUDA GPU, under 10 minutes: make bench-gpu DATA=folder_with_cifar10
	@$(PY) benchmarks/gpu_all.py $(if $(DATA),--data "$(DATA)")

lint: $(STAMP) ## put the code in order: ruff format, ruff check --fix, mypy
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix . && $(BIN)/mypy

address: $(STAMP) ## stamp the public address everywhere: make address URL=https://github.com/you/repository
	@$(PY) tools/address.py "$(URL)"

machine: $(STAMP) ## write appendix/machine.md from the last full `make test`
	@$(PY) tools/machine.py

clean: ## remove what was built, and the environment
	rm -rf _build build *.egg-info $(VENV) .venv-oldest .pytest_cache .hypothesis .mypy_cache .ruff_cache

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml constraints.txt tools/setup_env.py
	@command -v $(PYTHON) >/dev/null || { echo "set-up: $(PYTHON) is not here; install Python 3.11 or newer, or say make PYTHON=..."; exit 1; }
	@$(PYTHON) tools/setup_env.py --venv $(VENV)
