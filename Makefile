# The one door. `make demo` and `make test` set themselves up.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo test check bench fuzz clean
setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt apps/pkgstats/pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install it, or say PYTHON=python3.12 (3.11 to 3.14)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade -c constraints.txt pip
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]' -e 'apps/pkgstats[dev]'
	touch $@

demo: setup
	$(BIN)/pkgstats demo

test: setup tests/node/node_modules/.installed
	$(BIN)/python -m pytest

tests/node/node_modules/.installed: tests/node/package.json tests/node/package-lock.json
	@command -v npm >/dev/null || { echo "npm not found: install Node.js 20 or newer with npm"; exit 1; }
	npm ci --prefix tests/node --no-audit --no-fund --loglevel=error
	touch $@

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file apps/pkgstats/pyproject.toml
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python bench/run.py

FUZZ_SECONDS ?= 30
fuzz: setup
	$(BIN)/python -m fuzz.run --seconds $(FUZZ_SECONDS)

clean:
	rm -rf $(VENV) tests/node/node_modules
