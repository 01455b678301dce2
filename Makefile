# `make demo` and `make test` do all the set-up on a fresh machine; a second call is quick.

PYTHON ?=
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: help dist docs demo tune-demo figures gallery results notebook bench gpu-check test test-all faults test-tfds test-versions lint format types check clean

help:
	@echo "make demo           train the demo study on bundled digits (about a minute)"
	@echo "make test           every part, quickly: a few minutes"
	@echo "make test-all       that, and the tests that take longer: before a change is handed in"
	@echo "make faults         kills, full disks, damage: docs/reliability.md"
	@echo "make check          lint and types"
	@echo "make format         format the code"
	@echo "make tune-demo      choose the demo's learning rates on validation examples"
	@echo "make figures        draw the figures of docs/theory.md and docs/linear-momentum.md"
	@echo "make gallery        draw the paths of docs/gallery.md (a minute)"
	@echo "make results        tables and figures of docs/results.md and docs/first-studies.md, from results/"
	@echo "make notebook       run colab/rsgdm_demo.ipynb from top to bottom"
	@echo "make bench          time updates, steps, epochs, checkpoints, imports: docs/performance.md"
	@echo "make gpu-check      on a machine with a GPU: what cannot be checked without (CUDA=12 or 13)"
	@echo "make test-tfds      the download path, with TensorFlow in an environment of its own"
	@echo "make test-versions  the library's tests on the newest and the oldest Python and jax"
	@echo "make docs           build the site into build/site, and run its examples"
	@echo "make dist           build wheel and sdist, and use each in an empty environment"
	@echo "make clean          remove environments and caches; runs/ stays"

$(VENV)/bin/python:
	@python="$(PYTHON)"; python="$${python:-$$(tools/find-python)}" && \
	echo "making $(VENV) with $$("$$python" --version)" && "$$python" -m venv $(VENV)

# One stamp an extra: `make demo` does not wait for the developer's tools.
$(VENV)/installed-%: pyproject.toml | $(VENV)/bin/python
	@echo "installing rsgdm_optax[$*] into $(VENV)"
	@$(RUN) -m pip install -q --disable-pip-version-check -e '.[$*]'
	@touch $@

demo: $(VENV)/installed-train
	@$(RUN) train/cifar.py --preset demo

tune-demo: $(VENV)/installed-train
	@$(RUN) train/cifar.py --preset demo --learning-rate 0.2 0.4 0.8 1.6 3.2 6.4 \
	    --validation-examples 300 --seeds 100:105 --output runs/tuning-demo

test: $(VENV)/installed-dev
	$(RUN) -m pytest -n auto

# `make test test-all` runs nothing twice.
test-all: test
	$(RUN) -m pytest -n auto -m 'slow and not faults'

faults: $(VENV)/installed-dev
	$(RUN) -m pytest -m faults tests/train/study/test_faults.py tests/train/engine/test_parallel.py

lint: $(VENV)/installed-dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

# Warnings are errors: a broken link inside of the site, an undocumented public name. Then the examples.
docs: $(VENV)/installed-docs
	rm -rf build/site build/doctest
	$(RUN) -m sphinx -E -W --keep-going -q -b html -d build/doctrees docs build/site
	$(RUN) -m sphinx -W -q -b doctest -d build/doctrees docs build/doctest
	@echo "the site is in build/site: open build/site/index.html"

# Wheel and sdist, each installed into an empty environment; a tag must be the version.
dist: $(VENV)/installed-dev
	tools/check-dist $(RUN)

types: $(VENV)/installed-dev
	$(RUN) -m mypy

check: lint types

format: $(VENV)/installed-dev
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

figures: $(VENV)/installed-train
	$(RUN) tools/theory_figures.py

# In a fresh kernel; the file is not changed.
notebook: $(VENV)/installed-dev
	$(VENV)/bin/jupyter-execute --timeout=300 colab/rsgdm_demo.ipynb

gallery: $(VENV)/installed-train
	$(RUN) tools/gallery.py

results: $(VENV)/installed-train
	$(RUN) tools/make_results.py

# On a quiet machine, about 20 minutes. QUICK=--quick: only whether they run.
QUICK ?=
bench: $(VENV)/installed-train
	$(RUN) benchmarks/update.py $(QUICK)
	$(RUN) benchmarks/train_step.py $(QUICK)
	$(RUN) benchmarks/layers.py $(QUICK)
	$(RUN) benchmarks/huge_pages.py $(QUICK)
	$(RUN) benchmarks/epoch.py $(QUICK)
	$(RUN) benchmarks/checkpoint.py $(QUICK)
	$(RUN) benchmarks/import_time.py $(QUICK)

CUDA ?= 13
gpu-check: $(VENV)/installed-train,cuda$(CUDA)
	@$(RUN) train/experiments/gpu_check.py

# TensorFlow is large and has its own demands: it stays out of .venv.
test-tfds:
	@$(MAKE) --no-print-directory VENV=.venv-tfds .venv-tfds/installed-train,test,tfds
	.venv-tfds/bin/python -m pytest tests/train/data/test_tfds.py

test-versions:
	tools/test-versions

clean:
	rm -rf $(VENV) .venv-* .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
