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

help:  ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

$(READY): pyproject.toml uv.lock
	@test -n '$(PYTHON)' || { echo 'No Python >= 3.11 with venv was found.' \
		'Install one (on Debian: apt-get install python3 python3-venv), or name it: make PYTHON=...' >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv sync --quiet --frozen --inexact --all-extras
	touch $@

tools: $(READY)  ## Bring the external tools that are missing
	$(BIN)/pixgates tools install

# The data that the gates judge, simulated once for each state of the simulator.
SIMULATED := ml_pipeline/data/_simulation.json
$(SIMULATED): $(READY) ml_pipeline/simulate.py ml_pipeline/identifiers.py $(wildcard ml_pipeline/simulation/*.py)
	$(BIN)/python -m ml_pipeline simulate --rows 1000000 --seed 1 --out $(@D)

data: $(SIMULATED)  ## Simulate the payments that the gates judge

gates: tools data  ## Judge this repository with its own gates
	$(BIN)/pytest
	$(BIN)/pixgates verdict

pre-push: $(READY)  ## Run the gates on what is about to be pushed, unless they passed it
	$(BIN)/pixgates pre-push

lint: $(READY)  ## Check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# tests/neighbours needs locust, which patches the standard library: `make tox` runs it in an environment of its own.
test: lint tools  ## Check style and types, run all tests
	$(BIN)/pytest tests --ignore tests/neighbours -n $(JOBS)

tox: tools  ## Test the wheel on each Python and pytest that is there
	.ci/tox

fresh: $(READY)  ## Run `make gates` in a fresh clone with an empty HOME
	.ci/fresh

# A lane that can't run says NOT RUN and why, and is never 0.
$(VENV)/.lanes: $(READY)
	UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv sync --quiet --frozen --inexact --all-extras --group lanes \
		|| { echo 'NOT RUN: the Python packages of the lanes could not be had' >&2; exit 69; }
	touch $@

kafka: tools $(VENV)/.lanes  ## Apply the topics to three real brokers
	$(BIN)/pytest tests/lanes --lane kafka

cloud: tools $(VENV)/.lanes  ## Apply the environment dev to an emulator of AWS
	$(BIN)/pytest tests/lanes --lane cloud

spark: $(VENV)/.lanes  ## Judge data on Spark
	$(BIN)/pytest tests/lanes --lane spark

bench: $(READY)  ## Measure what the plugin costs those who don't use it
	$(BIN)/python benchmarks/startup.py

clean:  ## Remove what these commands made here
	rm -rf $(VENV) .tox .pixgates dist

.PHONY: help tools data gates pre-push lint test tox fresh kafka cloud spark bench clean
