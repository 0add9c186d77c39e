# The commands of the project.  `make demo` and `make test` are all that a newcomer needs; both begin with `make install`.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.recon4d-installed

# Any Python from 3.11 on will do; say `make PYTHON=/path/to/python3 ...` to choose one.
AT_LEAST_311 := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	"$$name" -c '$(AT_LEAST_311)' >/dev/null 2>&1 && { echo "$$name"; break; }; done)

# An index to look for torch in besides the configured ones, for example torch's own for builds without GPU code, which are
# ten times smaller.
TORCH_INDEX ?=

# Folders are listed as well, so that a removed file also counts as a change.
NATIVE_SOURCES := $(shell find cuda)
PIP := $(BIN)/python -m pip --disable-pip-version-check
PIP_INSTALL := $(PIP) install --quiet --constraint constraints.txt
BUILD_REQUIREMENTS := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")

.PHONY: install demo test lint format stubs clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt $(NATIVE_SOURCES)
	@test -n "$(PYTHON)" && "$(PYTHON)" -c '$(AT_LEAST_311)' 2>/dev/null || { \
	  echo "recon4d needs Python 3.11 or newer, but $${PYTHON:-python3} is older or missing. Fix: install Python 3.11+, or run make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PIP) --version >/dev/null 2>&1 || { echo "recon4d: making $(VENV) with $(PYTHON)"; rm -rf $(VENV); "$(PYTHON)" -m venv $(VENV); } || { \
	  echo "recon4d: $(PYTHON) cannot make a virtual environment. Fix: on Debian and Ubuntu, apt-get install python3-venv" >&2; exit 1; }
	@echo "recon4d: installing torch (the first time this is a large download)"
	@$(PIP_INSTALL) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch || { \
	  echo "recon4d: pip cannot install $$(grep ^torch constraints.txt) (its message is above). Fix: check the network and pip's index, use a Python that this torch has a build for, or change the pin in constraints.txt" >&2; exit 1; }
	@echo "recon4d: installing what the build and the tests need"
	@$(BIN)/python -c '$(BUILD_REQUIREMENTS)' | $(PIP_INSTALL) --requirement /dev/stdin cmake ninja
	@echo "recon4d: building the native module and installing recon4d"
	@$(PIP_INSTALL) --no-build-isolation --editable '.[dev]'
	@$(BIN)/python -c 'import recon4d._native as native; native.available or print("recon4d: only the reference backend is available:", native.reason)'
	@touch $@

demo: install
	@$(BIN)/recon4d demo --output out/demo

test: install
	@$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The stubs of the native modules, for editors and type checkers; .ci/run fails where one is out of step.
stubs: install
	$(BIN)/python -m nanobind.stubgen --module recon4d._native._ext --output-file recon4d/_native/_ext.pyi
	@$(BIN)/python -c 'import recon4d._native as native; raise SystemExit(not native.cuda_built)' && \
	  $(BIN)/python -m nanobind.stubgen --module recon4d._native._ext_cuda --output-file recon4d/_native/_ext_cuda.pyi || \
	  echo "recon4d: _ext_cuda was not built, its stub stays as it is"

clean:
	rm -rf build dist out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache $(STAMP)
