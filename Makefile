# Two commands: `make gates` judges this repository, `make test` tests the product.
# Both need only git, make and Python >= 3.11 with venv; they bring the rest themselves, without root.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
JOBS ?= 2
UV := 0.13.9

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SYNC := UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv sync --quiet --frozen --inexact --compile-bytecode --all-extras

USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for each in python3 python3.13 python3.12 python3.11; do \
	"$$each" -c '$(USABLE)' 2>/dev/null && echo "$$each" && break; done)

# Terraform's providers from a mirror on this machine, if the system has one; else from the registry.
ifndef PIXGATES_TF_MIRROR
export PIXGATES_TF_MIRROR := $(shell find /usr/share /usr/local/share /var/lib /opt -maxdepth 3 -type d \
	-name registry.terraform.io -printf '%h\n' -quit 2>/dev/null)
endif
# Ties `pixgates verdict` to the very run before it.
ifndef PIXGATES_RUN_ID
export PIXGATES_RUN_ID := $(shell echo "local-$$$$-$$(date +%s)")
endif

# The commands below start hundreds of processes: each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

help:  ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

$(READY): pyproject.toml uv.lock
	@test -n '$(PYTHON)' || { echo 'No Python >= 3.11 with venv was found.' \
		'Install one (on Debian: apt-get install python3 python3-venv), or name it: make PYTHON=...' >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	$(SYNC)
	touch $@

venv: $(READY)  ## Make the virtual environment

tools: $(READY)  ## Bring the external tools that are missing
	$(BIN)/pixgates tools install

# The data that the gates judge, simulated once for each seed and each state of the simulator.
SEED ?= $(shell cat ml_pipeline/seed)
SIMULATED := ml_pipeline/data/_simulation.json
$(SIMULATED): $(READY) ml_pipeline/seed ml_pipeline/simulate.py ml_pipeline/identifiers.py $(wildcard ml_pipeline/simulation/*.py)
	$(BIN)/python -m ml_pipeline simulate --rows 1000000 --seed $(SEED) --out $(@D)

data: $(SIMULATED)  ## Simulate the payments that the gates judge

seed:  ## Have the model trained on other data: make seed SEED=7
	@[[ '$(SEED)' =~ ^[0-9]{1,9}$$ ]] || { echo 'SEED is no number' >&2; exit 1; }
	echo '$(SEED)' > ml_pipeline/seed

# Each step looks at what it was made from, and does nothing if that is unchanged.
model: data  ## Train a model, evaluate and register it, and rehearse its service: what the gates judge
	$(BIN)/python -m ml_pipeline train
	$(BIN)/python -m ml_pipeline evaluate
	$(BIN)/python -m ml_pipeline register
	$(BIN)/python -m ml_pipeline rehearse

gates: tools model  ## Judge this repository with its own gates
	$(BIN)/pytest
	$(BIN)/pixgates verdict

# By the digest of what is built the rest is told: image.json, of buildx.
IMAGE ?= scoring
IMAGE_REGISTRY ?= pixgates
image:  ## Build an image of iac/docker, and push it: make image IMAGE=stream-worker IMAGE_REGISTRY=...
	.ci/retry docker buildx build --file 'iac/docker/$(IMAGE)/Dockerfile' --provenance=false --push \
		--tag '$(IMAGE_REGISTRY)/$(IMAGE):$(shell git rev-parse HEAD)' --metadata-file image.json .

pre-push: $(READY)  ## Run the gates on what is about to be pushed, unless they passed it
	$(BIN)/pixgates pre-push

.PHONY: docs
docs: $(READY)  ## Write the reference from the code
	$(BIN)/python -m docs.generate

lint: $(READY)  ## Check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# Plugins that tests/neighbours and tests/fuzz need change or slow every pytest: `make tox` runs those in environments of
# their own.
test: lint tools  ## Check style and types, run all tests
	$(BIN)/pytest tests --ignore tests/neighbours --ignore tests/fuzz -n $(JOBS)

tox: tools  ## Test the wheel on each Python and pytest that is there
	.ci/tox

fresh: $(READY)  ## Run `make gates` in a fresh clone with an empty HOME
	.ci/fresh

# A lane that can't run says NOT RUN and why, and is never 0.
$(VENV)/.lanes: $(READY)
	$(SYNC) --group lanes \
		|| { echo 'NOT RUN: the Python packages of the lanes could not be had' >&2; exit 69; }
	touch $@

kafka: tools $(VENV)/.lanes  ## Apply the topics to three real brokers
	$(BIN)/pytest tests/lanes --lane kafka

cluster: tools $(VENV)/.lanes  ## Deploy to a real Kubernetes control plane
	$(BIN)/pytest tests/lanes --lane cluster

cloud: tools $(VENV)/.lanes  ## Apply the environment dev to an emulator of AWS
	$(BIN)/pytest tests/lanes --lane cloud

spark: $(VENV)/.lanes  ## Judge data and models on Spark
	$(BIN)/pytest tests/lanes --lane spark

stream: tools $(VENV)/.lanes  ## Score payments from a real broker, killed and moved on the way
	$(BIN)/pytest tests/lanes --lane stream

reseeded: $(READY)  ## Judge models of other simulated worlds by the policy of this repository
	$(BIN)/pytest tests/lanes --lane reseeded

ledger: $(VENV)/.lanes  ## Keep the ledger in an emulator of S3
	$(BIN)/pytest tests/lanes --lane ledger

latency: tools  ## Put load on services that stall, slow down or lie, and on a healthy one
	$(BIN)/pytest tests/lanes --lane latency

prove: tools model  ## Put every defect of the catalogue into a copy; each must be caught by its gate
	$(BIN)/pytest tests/lanes --lane prove

# Another sample for each commit, and the same again for the same.
DRAW ?= $(shell git rev-parse --short=7 HEAD 2>/dev/null | xargs -I{} printf '%d' 0x{})
prove-sample: tools model  ## The same with a sample, drawn by the commit, or by DRAW
	$(BIN)/pixgates prove --sample 24 --seed $(DRAW)

workflows: tools $(VENV)/.lanes  ## Check the workflows of GitHub, and run two of them here
	$(BIN)/pytest tests/lanes --lane workflows

browser: $(VENV)/.lanes  ## Read the page of a run in a headless Chromium
	$(BIN)/pytest tests/lanes --lane browser

examples: tools  ## Walk through each example as an outsider would
	$(BIN)/pytest tests/lanes --lane examples

demo: tools  ## Tell the whole story: a model goes out, a bad one is stopped, one that degrades is taken back
	$(BIN)/python -m ml_pipeline.demo

bench: $(READY)  ## Measure what the plugin costs those who don't use it
	$(BIN)/python benchmarks/startup.py

clean:  ## Remove what these commands made here
	rm -rf $(VENV) .tox .pixgates dist

.PHONY: help venv tools data seed model gates image pre-push lint test tox fresh kafka cluster cloud spark stream ledger \
	latency workflows browser reseeded prove prove-sample examples demo bench clean
