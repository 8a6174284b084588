# Two commands: `make run` (a model over two providers on this machine) and `make test` (every check and test).
# Each does its own set-up; a second run skips what is done.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
UV     := .uv-env/bin/uv
export OMP_WAIT_POLICY ?= passive

.PHONY: run test setup lint types imports rust runtime unit wire format clean

run: setup
	@$(BIN)/peerz-node run

test: setup lint types imports rust unit

setup: $(VENV)/.done

$(UV):
	@echo "==> preparing uv"
	@$(PYTHON) -m venv .uv-env
	@.uv-env/bin/pip install --quiet uv

$(VENV)/.done: $(UV) pyproject.toml constraints.txt
	@echo "==> installing Peerz and its dependencies into $(VENV)"
	@test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) $(VENV)
	@$(UV) pip install --compile-bytecode --python $(BIN)/python --constraint constraints.txt --group dev --editable .
	@touch $@

lint: $(VENV)/.done
	@echo "==> ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.done
	@echo "==> mypy"
	@$(BIN)/mypy

imports: $(VENV)/.done
	@echo "==> import rules"
	@$(BIN)/lint-imports --no-logo

# The target directory is shared between clones (PEERZ_CARGO_TARGET): the first build takes long, the next ones do not.
rust:
ifeq ($(shell command -v cargo),)
	@echo "==> rust: cargo is not installed, the checks of pallets/ are left out"
else
	@echo "==> rust"
	@pallets/cargo fmt --all --check
	@pallets/cargo clippy --workspace --all-targets --quiet -- -D warnings
	@pallets/cargo test --workspace --quiet --features peerz-runtime/runtime-benchmarks,peerz-runtime/try-runtime
endif

# The WASM that the embedded chain executes, from the sources in pallets/.
runtime: $(VENV)/.done
	@PATH="$(CURDIR)/$(BIN):$$PATH" pallets/build-runtime

unit: $(VENV)/.done
	@echo "==> tests"
	@$(BIN)/peerz-node model get smollm2-135m
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

# Rewrites the generated code of the wire, with an old protoc so that every protobuf runtime of our range accepts it.
wire: $(UV)
	@$(UV) run --no-project --quiet --with grpcio-tools==1.68.1 --with 'setuptools<80' \
	  python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. compute/wire/peerz.proto

format: setup
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .uv-env .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
