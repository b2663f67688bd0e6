# Targets explain themselves: `make` prints them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
# where it is set, each of the many processes would compile all that it imports once more
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
# uv: the one on the PATH, else one that set-up puts into its own folder
UV := $(shell command -v uv 2>/dev/null || echo build/uv/bin/uv)
SAMPLE ?= digits

# what builds images: the first of these that there is
BUILDER ?= $(firstword $(foreach name,docker podman buildah,$(if $(shell command -v $(name) 2>/dev/null),$(name))))
BASE ?= docker.io/library/python:3.13-slim-bookworm
REGISTRY ?= localhost
TAG ?= dev

# the development cluster: another context needs the images already
CLUSTER ?= actuary
CONTEXT ?= kind-$(CLUSTER)
VALUES ?= k8s/dev/values.yaml
NAMESPACE := actuary

.PHONY: help setup protos run test test-real e2e e2e-quick images up deploy demo down docs dashboards dashboards-preview docs-metrics \
  lint format bench bench-pipeline bench-sampler bench-k8s clean

help: ## Print the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  \033[1m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build/uv/bin/uv:
	@echo "installing uv into build/uv"
	@$(PYTHON) -m venv build/uv
	@build/uv/bin/pip install --quiet --disable-pip-version-check "uv>=0.9"

# The stamp changes with whatever decides what is installed or generated.
$(VENV)/.stamp: pyproject.toml uv.lock hatch_build.py $(wildcard protos/actuary/v1/*.proto) | $(filter build/%,$(UV))
	@echo "setting up .venv (the first time this downloads about 3 GB of packages from PyPI, most of it PyTorch's CUDA libraries)"
	@$(UV) sync --quiet --locked --all-extras --reinstall-package actuary
	@touch $@

setup: $(VENV)/.stamp ## Make .venv with everything in it, .venv/bin/actuary included

protos: setup ## Generate services/actuary/v1 again
	@$(BIN)/python hatch_build.py

run: setup ## Run the sample campaign: label, criticise, sample, review, estimate, train, report
	@$(BIN)/actuary run $(SAMPLE)

test: setup ## Run the tests that need no server
	@$(BIN)/pytest -m "not real and not e2e" -n 2 --dist loadfile --no-loadscope-reorder

test-real: setup ## Run the tests against real MinIO, PostgreSQL, Chromium and Prometheus
	@$(BIN)/pytest -m real -n 2 --dist loadfile --no-loadscope-reorder

images: ## Build the images of services and workers: REGISTRY/actuary:TAG and REGISTRY/actuary-compute:TAG, on BASE
	@test -n "$(BUILDER)" || { echo "expected docker, podman or buildah; found none of them"; exit 1; }
	$(BUILDER) build -f services/Dockerfile --build-arg BASE=$(BASE) --target control -t $(REGISTRY)/actuary:$(TAG) .
	$(BUILDER) build -f services/Dockerfile --build-arg BASE=$(BASE) --target compute -t $(REGISTRY)/actuary-compute:$(TAG) .

up: ## Make a kind cluster, build the images and load them into it; again: only what has changed
	@$(call need,docker kind kubectl)
	@docker info >/dev/null 2>&1 || { echo "expected a running docker engine: docker info says why there is none"; exit 1; }
	@[[ " $$(kind get clusters -q | tr '\n' ' ') " == *" $(CLUSTER) "* ]] || kind create cluster --name "$(CLUSTER)" --config k8s/kind.yaml --wait 3m
	@$(MAKE) images BUILDER=docker
	@kind load docker-image --name "$(CLUSTER)" $(REGISTRY)/actuary:$(TAG) $(REGISTRY)/actuary-compute:$(TAG)
	@echo "next: make deploy"

deploy: ## Install or upgrade the chart on the cluster of CONTEXT, with Prometheus and Grafana beside it
	@$(call need,helm kubectl)
	@$(call reachable)
	@kubectl --context "$(CONTEXT)" apply -k k8s/dev
	@kubectl create configmap actuary-rules -n $(NAMESPACE) --from-file charts/actuary/rules --dry-run=client -o yaml | \
	  kubectl --context "$(CONTEXT)" apply -f -
	@helm --kube-context "$(CONTEXT)" upgrade --install actuary charts/actuary -n $(NAMESPACE) -f $(VALUES) \
	  --set-string "podAnnotations.image=$$(docker image inspect --format '{{.Id}}' $(REGISTRY)/actuary:$(TAG) 2>/dev/null)" \
	  --wait --timeout 10m --hide-notes
	@echo "next: make demo, or helm --kube-context $(CONTEXT) -n $(NAMESPACE) test actuary --logs"

demo: setup ## Run the sample campaign on the cluster of CONTEXT, over a port that is forwarded meanwhile
	@$(call need,kubectl)
	@$(call reachable)
	@ACTUARY=$(BIN)/actuary k8s/dev/demo "$(CONTEXT)" $(NAMESPACE) $(SAMPLE)

down: ## Delete the kind cluster with all that is in it
	@$(call need,docker kind)
	@kind delete cluster --name "$(CLUSTER)"

# $(call need,PROGRAMS): says which are missing
need = for program in $(1); do command -v $$program >/dev/null || missing="$${missing:-} $$program"; done; \
  [ -z "$${missing:-}" ] || { echo "expected on the PATH, not found:$$missing; k8s/README.md says where they come from"; exit 1; }
# says whether the cluster of CONTEXT answers
reachable = kubectl --context "$(CONTEXT)" version >/dev/null 2>&1 || \
  { echo "expected a cluster at the context $(CONTEXT) of your kubeconfig: make up, or name another with CONTEXT="; exit 1; }

e2e: setup ## Run the tests on the Kubernetes cluster of KUBECONFIG, with images that it has (see CONTRIBUTING.md)
	@$(BIN)/pytest -m e2e tests/e2e

e2e-quick: setup ## Of these, the ones that leave a release as it is: minutes
	@$(BIN)/pytest -m e2e $(addprefix tests/e2e/test_,$(addsuffix .py,chart cluster_samples campaign privileges secrets buckets))

docs: setup docs-metrics ## Write the tables of values and of metrics of the chart again
	@$(BIN)/python charts/values_table.py

dashboards: setup ## Write the Grafana dashboards of charts/dashboards into the chart
	@cd charts && ../$(BIN)/python -m dashboards

dashboards-preview: setup ## Scrape small campaigns with Prometheus and draw every dashboard to build/dashboards/*.png
	@$(BIN)/pytest -q tests/component/monitoring --preview build/dashboards

docs-metrics: setup ## Write charts/actuary/METRICS.md, the table of metrics
	@cd charts && ../$(BIN)/python -m dashboards.table

lint: setup node_modules/.stamp build/googleapis/.stamp ## Check format, types, layers, protos and dashboards
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@npx --no buf lint
	@npx --no buf format protos -d --exit-code
	@cd charts && ../$(BIN)/python -m dashboards.typescript > ../build/dashboards.ts
	@npx --no tsc -- --noEmit --strict --skipLibCheck --module nodenext build/dashboards.ts

format: setup ## Format code and protos
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@npx --no buf format protos -w

# few packages, their versions exact: a lock file would say no more
node_modules/.stamp: package.json
	@npm install --silent --no-package-lock --no-audit --no-fund
	@touch $@

# buf reads Google's protos from the wheel that is installed anyway
build/googleapis/.stamp: $(VENV)/.stamp
	@rm -rf build/googleapis && mkdir -p build/googleapis/google
	@cp -r $$($(BIN)/python -c 'import google.rpc, pathlib; print(pathlib.Path(next(iter(google.rpc.__path__))).parent)')/{api,rpc} build/googleapis/google/
	@find build/googleapis -type f ! -name '*.proto' -delete
	@touch $@

bench: bench-pipeline bench-sampler ## Run every benchmark that needs no cluster

bench-pipeline: setup ## Measure import, annotation, GetCampaign and --help; JSON lines
	@for file in tests/benchmarks/bench_*.py; do $(BIN)/python $$file; done

# what measures time runs alone, the rest side by side; one thread each
SAMPLER := tests/benchmarks/sampler
TIMED := $(patsubst %,$(SAMPLER)/bench_%.py,inline plan pools streams)
bench-sampler: export OMP_NUM_THREADS = 1
bench-sampler: export OPENBLAS_NUM_THREADS = 1
bench-sampler: setup ## Measure the allocator: tables on real labels, other methods, streams (4 GB of memory); JSON lines
	@printf '%s\n' $(filter-out $(TIMED),$(wildcard $(SAMPLER)/bench_*.py)) | xargs -P $$(nproc) -n 1 $(BIN)/python
	@for file in $(TIMED); do $(BIN)/python $$file || exit 1; done

bench-k8s: setup ## Measure Jobs on the cluster of KUBECONFIG, and shards in a MinIO of its own; JSON lines
	@for file in tests/benchmarks/k8s/bench_*.py; do $(BIN)/python $$file; done

clean: ## Remove what set-up and runs have made
	rm -rf $(VENV) build node_modules dist services/actuary/v1 actuary-data
