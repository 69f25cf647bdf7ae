# make test and make perf are all a fresh clone needs: the first to run creates .venv.
# PY=/path/to/python uses that interpreter as it is and installs nothing.

ifdef PY
PYTHON := $(PY)
READY :=
else
PYTHON := .venv/bin/python
READY := .venv/.installed
endif

OUT ?= build/gpu
STEPS ?= test,tune,perf,sweep

.PHONY: setup check fmt test test-oldest coverage fuzz mutate accuracy golden gallery perf perf-report perf-compare \
	perf-export autotune study wheel gpu

setup: $(READY)

.venv/.installed: pyproject.toml constraints.txt
	python3 -m venv .venv
	.venv/bin/python -m pip install --quiet -c constraints.txt -e '.[dev,perf]'
	touch $@

check: $(READY)
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy

fmt: $(READY)
	$(PYTHON) -m ruff check --fix-only .
	$(PYTHON) -m ruff format .

# Apart, because Triton's interpreter and its compiler exclude each other in one process, and because
# tests that measure time have to be alone. The others share the cores, where pytest-xdist is installed.
SHARED = OMP_NUM_THREADS=1 $(PYTHON) -m pytest \
	$$($(PYTHON) -c "import xdist; print('-n logical --dist worksteal')" 2>&-)
test: $(READY)
	TRITON_INTERPRET=1 $(SHARED) tests/kernel_road tests/battery
	$(SHARED) tests -m "not alone"
	$(PYTHON) -m pytest -m alone $$(grep -rl --include='*.py' mark.alone tests)

# The oldest stack that is supported, torch 2.11 and Triton 3.6, in an interpreter that has it. Triton 3.6
# beside a newer torch covers the kernels. Its interpreter needs NumPy below 2.4.
test-oldest: $(READY)
	$(PYTHON) -c "import torch, triton; print('torch', torch.__version__, 'triton', triton.__version__); \
		exit(0 if triton.__version__.startswith('3.6.') else 'test-oldest: give PY=, a Python with triton 3.6')"
	$(MAKE) test

# Lines and branches of the package that the tests reach, device code left out.
coverage: $(READY)
	TRITON_INTERPRET=1 $(SHARED) tests/kernel_road tests/battery --cov --cov-report= --cov-fail-under=0
	$(SHARED) tests -m "not alone" --cov --cov-append --cov-report=term-missing:skip-covered

# 2,000 examples an op, of another sample each time.
fuzz: $(READY)
	TRITON_INTERPRET=1 $(SHARED) tests/battery/test_fuzz.py --hypothesis-profile long
	$(SHARED) tests/battery/test_fuzz.py --hypothesis-profile long

# Small changes of the device code, each of which a test has to notice.
mutate: $(READY)
	$(PYTHON) tests/mutation $(if $(COUNT),--count $(COUNT))

# Measures the tables of docs/accuracy.md anew, and writes that of docs/speed.md from perf/golden.csv.
accuracy: $(READY)
	TRITON_INTERPRET=1 $(PYTHON) -m pytest tests/kernel_road/test_accuracy.py \
		tests/kernel_road/test_kaf_kernels.py::test_accuracy --accuracy-table docs/accuracy.md
	PYTHONPATH=tests $(PYTHON) -m support.tables

# What the kernels' machine code costs on every architecture, 40 minutes on two cores; review the diff.
golden: $(READY)
	$(PYTHON) -m triton_acts.tuning golden

# The picture of all shapes.
gallery: $(READY)
	PYTHONPATH=. $(PYTHON) docs/gallery.py

perf: $(READY)
	$(PYTHON) -m perf run $(if $(QUICK),--quick)

perf-report: $(READY)
	$(PYTHON) -m perf report

# BASE and HEAD are run ids, beginnings of them, or CSV files; fails where a case got slower.
perf-compare: $(READY)
	$(PYTHON) -m perf compare "$(BASE)" "$(HEAD)"

perf-export: OUT = build/export
perf-export: $(READY)
	$(PYTHON) -m perf export --out $(OUT)

# GPU=slug, OPS=op,op and BUDGET=seconds narrow it down; without that GPU it prints the plan.
autotune: $(READY)
	$(PYTHON) -m triton_acts.tuning tune --or-plan $(if $(GPU),--gpu $(GPU)) \
		$(if $(OPS),--ops $(OPS)) $(if $(BUDGET),--budget $(BUDGET))

# The tasks that come with the package; QUICK=1 takes 5 minutes on two cores, without it at most 60.
study: $(READY)
	$(PYTHON) -m triton_acts.study $(if $(QUICK),--quick)

# dist/*.whl. setuptools would take old files along from build/lib.
wheel: $(READY)
	rm -rf build/lib
	mkdir -p dist
	$(PYTHON) -c "from setuptools import build_meta; print('dist/' + build_meta.build_wheel('dist'))"

gpu: $(READY)
	$(PYTHON) -m perf gpu --out $(OUT) --steps $(STEPS)

# The GPU tests under compute-sanitizer: no access out of bounds, no race, no read of fresh memory.
.PHONY: sanitize
sanitize: $(READY)
	$(PYTHON) tests/sanitize.py
