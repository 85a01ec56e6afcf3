# Everything runs from .venv, which the targets make and keep up to date. `make help` names the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3.11
# The engine: cpu or gpu. Found out by asking the driver; `make serve EXTRA=cpu` decides otherwise.
EXTRA ?= $(shell nvidia-smi -L 2>/dev/null | grep -q '^GPU' && echo gpu || echo cpu)
# Further arguments: `make serve ARGS="--port 9000 --max-model-len 1024"`, `make test ARGS="tests/unit -n 0"`.
ARGS ?=
METHOD ?= auto
EFFORT ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --no-deps --disable-pip-version-check -qq
INSTALLED := $(VENV)/.installed-$(EXTRA)
INSTALLED_DEV := $(VENV)/.installed-$(EXTRA)-dev
TORCH_CPU_INDEX := https://download.pytorch.org/whl/cpu

# What renders the chart in deploy/helm; for the tests, and by hand.
HELM := build/helm/helm

UV_VERSION = $(shell sed -nE 's/^uv==([^ ]+).*/\1/p' requirements/dev.txt)
UV := build/lock-tools/bin/uv
# Where uv finds the CPU build of torch: the folder pip has been told of, else PyTorch's index.
TORCH_SOURCE = $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS),--index $(TORCH_CPU_INDEX) --index-strategy unsafe-best-match)
COMPILE = UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile --quiet --python-version 3.11 \
	--generate-hashes --no-header $(LOCK_ARGS)
FOR_3_11 := --python-platform x86_64-manylinux_2_28
# For the environments in pyproject.toml. The conditions behind the pins go: with one version of each package they would
# keep out two small wheels, and pip judges them by the Python it runs on, not by the one it downloads for.
FOR_3_11_AND_3_12 := --universal
WITHOUT_CONDITIONS := sed -i -E 's/ ; [^\\]+\\$$/ \\/'

ifeq ($(filter cpu gpu,$(EXTRA)),)
$(error EXTRA must be cpu or gpu, not '$(EXTRA)')
endif

.PHONY: help
help:  ## name the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

.PHONY: serve
serve: $(INSTALLED)  ## install what is missing and serve on 127.0.0.1:8000; ARGS="…" goes to `unlearn serve`
	@exec $(BIN)/unlearn serve $(ARGS)

.PHONY: demo
demo: $(INSTALLED)  ## forget who wrote Harry Potter, and show it; METHOD=delta EFFORT=quick ARGS="--all"
	@$(BIN)/unlearn demo --method $(METHOD) $(if $(EFFORT),--effort $(EFFORT)) $(ARGS)

.PHONY: test
test: $(INSTALLED_DEV) $(HELM)  ## run the unit and engine tests in two processes; ARGS="…" goes to pytest
	@echo "==> tests"
	@$(BIN)/python -m pytest -n 2 $(ARGS)

.PHONY: coverage
coverage: $(INSTALLED_DEV) $(HELM)  ## all tests, with the branches counted that they cover; takes twice the time
	@$(BIN)/python -m pytest -n 2 -m "" --cov --cov-fail-under=95 $(ARGS)

.PHONY: cases
cases: $(INSTALLED_DEV)  ## the inputs that failed once, in a table with what came of each
	@$(BIN)/python -m pytest -n 2 -m case -q $(ARGS)

.PHONY: fuzz
fuzz: $(INSTALLED_DEV)  ## requests made up from the OpenAPI document, to a real service; FUZZ_EXAMPLES=1000 an operation
	@FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-200} $(BIN)/python -m pytest tests/engine/test_fuzz.py -q -n 0 $(ARGS)

.PHONY: test-slow
test-slow: $(INSTALLED_DEV)  ## what `make test` leaves out: a pair that is a model, LoRAs on the target, two workers
	@$(BIN)/python -m pytest tests/engine -m slow $(ARGS)

.PHONY: test-gpu
test-gpu: $(INSTALLED_DEV)  ## the tests that need a CUDA device: graphs on and off, both model runners
	@nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
	@$(BIN)/python -m pytest tests/gpu $(ARGS)

.PHONY: property
property: $(INSTALLED_DEV)  ## a million steps of drawn histories, the engine's edge faked; ARGS="--steps 100000 --minutes 10"
	@$(BIN)/python -m tests.unit.gateway.stateful $(ARGS)

.PHONY: test-replicas
test-replicas: $(INSTALLED_DEV)  ## two services on one Redis, each of the three taken away in turn; eight minutes
	@$(BIN)/python -m bench.replicas $(ARGS)

.PHONY: lint
lint: $(INSTALLED_DEV)  ## ruff: rules and format
	@echo "==> ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

.PHONY: types
types: $(INSTALLED_DEV)  ## mypy, strict
	@echo "==> mypy"
	@$(BIN)/mypy

.PHONY: bench
bench: $(INSTALLED_DEV)  ## compare bare vLLM, the gateway, and the gateway with an adapter
	@$(BIN)/python -m bench $(ARGS)

.PHONY: docs
docs: $(INSTALLED_DEV)  ## make the pages that come from the code, and the site, into build/site
	@mkdir -p build
	@$(BIN)/python -m docs.make_configuration > build/configuration.md
	@$(BIN)/python -m adapters.carriers > build/objectives.md
	@mv build/configuration.md build/objectives.md docs/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build
	@echo "==> build/site/index.html"

.PHONY: check-containers
check-containers:  ## build the images, start the stack and check it end to end (Docker); ARGS="--stand-ins" without a registry
	@deploy/check.sh $(ARGS)

.PHONY: install install-dev
install: $(INSTALLED)  ## make .venv and install the service
install-dev: $(INSTALLED_DEV)  ## the same, with what tests and checks need

$(VENV)/.made:
	@echo "==> making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "Python 3.11 is needed; name it with PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# Without dependency resolution: the lock is complete, and some packages would drag in builds that break (see
# requirements/overrides-cpu.txt).
$(VENV)/.installed-cpu: $(VENV)/.made requirements/cpu.txt requirements/torch-cpu.txt pyproject.toml
	@$(call refuse-other,gpu)
	@echo "==> installing torch for CPU (190 MB)"
	@$(PIP) -r requirements/torch-cpu.txt 2>$(VENV)/torch.log \
		|| { echo "    not where pip looks by default; trying $(TORCH_CPU_INDEX)"; $(PIP) -r requirements/torch-cpu.txt --index-url $(TORCH_CPU_INDEX); } \
		|| { cat $(VENV)/torch.log >&2; rm -f $(VENV)/torch.log; exit 1; }
	@rm -f $(VENV)/torch.log
	@echo "==> installing what requirements/cpu.txt locks (a minute or two)"
	@$(PIP) --only-binary :all: -r requirements/cpu.txt
	@$(call install-project)
	@touch $@

$(VENV)/.installed-gpu: $(VENV)/.made requirements/gpu.txt pyproject.toml
	@$(call refuse-other,cpu)
	@echo "==> installing what requirements/gpu.txt locks (several GB, some minutes)"
	@$(PIP) --only-binary :all: -r requirements/gpu.txt
	@$(call install-project)
	@touch $@

$(INSTALLED_DEV): $(INSTALLED) requirements/dev.txt
	@echo "==> installing what requirements/dev.txt locks"
	@$(PIP) --only-binary :all: -r requirements/dev.txt
	@touch $@

refuse-other = if [ -e $(VENV)/.installed-$(1) ]; then echo "$(VENV) holds the $(1) engine; run 'make clean' first" >&2; exit 1; fi
install-project = echo "==> installing the project" && $(PIP) --no-build-isolation -e .

.PHONY: helm
helm: $(HELM)  ## fetch the helm that renders deploy/helm, by its hash, into build/helm

# A wheel holds an archive, which holds an archive. pip compares the hash; only helm is kept.
$(HELM): requirements/helm.txt | $(VENV)/.made
	@echo "==> fetching helm into $(@D) (37 MB)"
	@rm -rf $(@D) && mkdir -p $(@D)/parts
	@$(BIN)/python -m pip download --disable-pip-version-check --quiet --no-deps --only-binary :all: \
		--require-hashes -r $< -d $(@D)/parts
	@$(BIN)/python -m zipfile -e $(@D)/parts/*.whl $(@D)/parts
	@tar -xzf $(@D)/parts/aws_cdk/*/_jsii/*.tgz -C $(@D)/parts package/lib/layer.zip
	@$(BIN)/python -m zipfile -e $(@D)/parts/package/lib/layer.zip $(@D)/parts
	@install -m 755 $(@D)/parts/helm/helm $@
	@rm -rf $(@D)/parts
	@$@ version --short

.PHONY: lock
lock: $(UV)  ## resolve pyproject.toml anew into requirements/*.txt; LOCK_ARGS=--upgrade takes newer versions
	@echo "==> resolving"
	@$(COMPILE) $(FOR_3_11) $(TORCH_SOURCE) pyproject.toml --extra cpu --override requirements/overrides-cpu.txt \
		--no-emit-package torch -o requirements/cpu.txt
	@$(COMPILE) $(FOR_3_11_AND_3_12) pyproject.toml --extra gpu --override requirements/overrides-gpu.txt \
		-c requirements/constraints-gpu.txt -o requirements/gpu.txt
	@$(WITHOUT_CONDITIONS) requirements/gpu.txt
	@$(COMPILE) $(FOR_3_11) --group pyproject.toml:dev -c requirements/cpu.txt -o requirements/dev.txt

$(UV):
	@echo "==> installing uv $(UV_VERSION) into build/lock-tools"
	@$(PYTHON) -m venv build/lock-tools
	@build/lock-tools/bin/python -m pip install --disable-pip-version-check --quiet uv==$(UV_VERSION)

.PHONY: clean
clean:  ## remove .venv, caches and build output; keeps the user's data and model cache
	rm -rf $(VENV) build dist *.egg-info .coverage* .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
