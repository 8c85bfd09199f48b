# Commands for a fresh clone: `make demo` and `make test`. Everything runs in .venv, from requirements.lock.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

LOCK := requirements.lock
LOCKED := $(VENV)/.locked
ORACLES := $(VENV)/.oracles
NATIVE := $(shell find csrc -name '*.py' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' -o -name '*.h')

.PHONY: install demo test soak lint format docs wheel test-wheel test-minimum gpu-check asan tsan experiment-digits experiment-mnist lock clean gpu-carry test-triton

install: $(READY)

$(LOCKED): $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "copgen needs Python 3.11 or newer; this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r $(LOCK)
	@touch $@

# Verbose enough for the notice of a build without native operators; rebuilt whenever their sources change.
$(READY): $(LOCKED) pyproject.toml setup.py $(NATIVE)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -W ignore -c 'from copgen.runtime.native import native; print("native operators:", native().reason)'
	@touch $@

# Packages that only tests compare with.
$(ORACLES): $(READY) tests/requirements-oracles.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r tests/requirements-oracles.txt
	@touch $@

demo: $(READY)
	PATH="$(abspath $(BIN)):$$PATH" RUNS=runs/demo pipelines/quickstart.sh
	$(BIN)/python examples/demo.py runs/demo

# One thread per test; several processes share the tests.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal --durations 10

test: $(ORACLES)
	$(PYTEST)

soak: $(ORACLES)
	$(PYTEST) -m soak

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/shellcheck --external-sources --source-path=SCRIPTDIR pipelines/*.sh

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The API reference, .build/docs/index.html. Malformed sections, and arguments that do not exist, are errors in a docstring.
DOCSTRINGS := D214,D405,D410,D411,D412,D414,D416,D419,DOC102

docs: $(READY)
	$(BIN)/ruff check --preview --select $(DOCSTRINGS) copgen copgen_cli kernels
	rm -rf .build/docs
	$(BIN)/python -W error docs/reference.py .build/docs

experiment-digits: $(READY)
	$(BIN)/python -m experiments.digits

experiment-mnist: $(READY)
	$(BIN)/python -m experiments.mnist

# One wheel for every torch from 2.11 on and every Python from 3.11 on; COPGEN_CUDA=1 adds the CUDA kernels.
wheel: $(READY)
	rm -rf build/lib*
	COPGEN_BUILD_NATIVE=1 $(BIN)/python -m build --wheel --no-isolation --outdir dist .

# The operators' tests on the wheel, with the oldest torch, the locked one and the newest: downloads of gigabytes.
test-wheel: wheel
	$(BIN)/python -m csrc.wheel $$(ls -t dist/*-abi3-*.whl | head -n 1) 2.11.0 $$(sed -n 's/^torch==//p' requirements.lock) newest

# `make demo` and `make test` with the oldest versions of torch and torchvision, in an environment of their own. The
# interpreter of their Triton, 3.6, fails with NumPy 2.4.
MINIMUM := torch==2.11.0 torchvision==0.26.0 setuptools>=77,<82 numpy<2.4

test-minimum:
	@mkdir -p .build
	grep -viE '^(torch|torchvision|triton|setuptools|numpy|nvidia-.*|cuda-.*)==' requirements.lock > .build/minimum.lock
	printf '%s\n' $(foreach one,$(MINIMUM),'$(one)') >> .build/minimum.lock
	$(MAKE) demo test VENV=.build/minimum LOCK=.build/minimum.lock

# On a machine with a GPU; PYTHON may name an interpreter that has torch, and nothing is installed into it.
gpu-check:
	$(PYTHON) -m benchmarks.gpu_check

# The tiles of the Triton kernels with the oldest and the newest version of Triton; minutes, no GPU.
test-triton: $(READY)
	for version in 3.6.0 3.9.0; do \
		$(BIN)/pip install --quiet --upgrade --no-deps --target .build/triton-$$version triton==$$version || exit 1; \
		TRITON_DEFAULT_FP_FUSION=1 PYTHONPATH=.build/triton-$$version:. \
			$(BIN)/python -m copgen.kernels.aot check 80 90 100 || exit 1; \
		TRITON_DEFAULT_FP_FUSION=1 PYTHONPATH=.build/triton-$$version:. \
			$(BIN)/python -m copgen.kernels.aot_navigate check 80 86 89 90 100 120 || exit 1; \
	done

# For a machine with Python 3.12 and without a network: what gpu-check needs beside torch, Triton, NumPy and torchvision.
gpu-carry: $(LOCKED)
	rm -rf .build/gpu-carry
	$(BIN)/pip install --quiet --no-compile --target .build/gpu-carry --python-version 3.12 --only-binary=:all: --no-deps \
		-r benchmarks/requirements-gpu.txt -c requirements.lock

# The operators' tests under AddressSanitizer.
asan: $(ORACLES)
	$(BIN)/python -m csrc.asan

# The CUDA kernels, on the CPU, under ThreadSanitizer.
tsan: $(ORACLES)
	$(BIN)/python -m csrc.tsan

lock:
	rm -rf .build/lock && $(PYTHON) -m venv .build/lock
	.build/lock/bin/pip install --quiet torch==2.14.1 torchvision==0.29.1 setuptools '.[dev]'
	.build/lock/bin/pip freeze --all --exclude copgen --exclude pip > requirements.lock

clean:
	rm -rf $(VENV) .build build dist *.egg-info
