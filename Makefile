# miltscan: see README.md. The first call installs missing Debian packages and creates .venv.

# Production runs on the distribution's Python; without one, use the first on PATH.
PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
SUDO := $(shell [ "$$(id -u)" -eq 0 ] || echo sudo --preserve-env=KEEP)
RUN := $(SUDO) env PYTHONDONTWRITEBYTECODE=1 .venv/bin/python
READY := .venv/.ready
PLOTS := .venv/.plots
MUTANTS := .venv/.mutants
FUZZ := .venv/.fuzz-ready
PANELS := .venv/.panels/.ready
SITE := .venv/.docs/.ready
DOCS := dist/docs
# Without isolation pip builds with what is installed, instead of fetching a build's requirements without hashes.
PIP_INSTALL := .venv/bin/pip install --quiet --use-pep517 --no-build-isolation

.PHONY: all packages environment demo demo-stop pictures test test-systems bench bench-quick bench-growth bench-handoff bench-quarantine bench-tuning bench-breakdown noxxi mutants fuzz dashboard docs install uninstall deb release check format clean

all: environment

packages:
	@deploy/debian/install

environment: packages $(READY)

$(READY): deploy/requirements-build.txt tests/requirements.txt pyproject.toml | packages
	@$(PYTHON) -c 'import sys; sys.exit("miltscan needs Python 3.11 or newer: make PYTHON=/path/to/python3") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --require-hashes --only-binary :all: -r deploy/requirements-build.txt
	$(PIP_INSTALL) --require-hashes -r tests/requirements.txt
	$(PIP_INSTALL) --no-deps -e .
	@touch $@

demo: environment
	@$(RUN) -m tests.demo

demo-stop: environment
	@$(RUN) -m tests.demo stop

# All tests on .venv's Python; in parallel, on the oldest and newest Python of the machine, those that depend on the
# interpreter: decoders and decompressors, pymilter's callbacks and threads, processes, signals, memory.
# All unit tests run on Debian 13's Python when its package is built (deploy/debian).
# Program and tests are compiled first, as root writes no bytecode: each start and each process of tests would do it again.
ON_OTHERS := $(addprefix tests/unit/,core/containers core/mime milter processes unpacker) \
	$(addsuffix .py,$(addprefix tests/milter/test_,protocol lifecycle memory))
test: environment $(SITE)
	@deploy/debian/install deploy/debian/packages-test.txt
	@deploy/debian/install deploy/debian/packages-postfix.txt .venv/postfix
	@.venv/bin/python -m compileall -q miltscan tests docs deploy
	@env -u PYTHONDONTWRITEBYTECODE .venv/bin/python -m pytest -p no:cacheprovider -q --collect-only >.venv/collected.log || { cat .venv/collected.log; exit 1; }
	@.venv/bin/python tests/pythons.py $(ON_OTHERS) >.venv/pythons.log 2>&1 & others=$$!; \
	status=0; $(RUN) -m pytest -p no:cacheprovider -n 6 --dist loadfile --no-loadscope-reorder || status=$$?; \
	wait $$others || { cat .venv/pythons.log; exit 1; }; \
	grep -E '^Python|passed' .venv/pythons.log; exit $$status

# Boots Debian 12 and 13 with systemd, installs miltscan as docs/install.md says, and tests the units; as root, an hour, for
# the first time ninety minutes. docs/lab/systems.md has the requirements. OPTIONS="--release bookworm -k reboot" for a part.
test-systems: environment
	@deploy/debian/install deploy/debian/packages-systems.txt
	@$(RUN) -m pytest -p no:cacheprovider --timeout 1800 tests/systems $(OPTIONS)

# Draws the Grafana dashboards with Grafana's own components, and takes the screenshots of the status page; eight minutes.
# .venv/.panels/pictures has each row in light and dark: look at them. docs/images has those of the documentation.
pictures: $(PANELS)
	@deploy/debian/install deploy/debian/packages-test.txt
	@$(RUN) -m tests.panels.draw
	@$(RUN) -m tests.demo.pictures
	@$(RUN) -m tests.demo.fault_pictures

# 600 MB; an npm of another origin than Debian's will do.
$(PANELS): tests/panels/package.json tests/panels/package-lock.json $(READY) | packages
	@command -v npm >/dev/null || deploy/debian/install deploy/debian/packages-pictures.txt
	@mkdir -p $(@D)
	@cp tests/panels/package.json tests/panels/package-lock.json $(@D)
	npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund
	@touch $@

# Compares miltscan with other filters; ten minutes. OPTIONS="--rounds 7" and others: `.venv/bin/python -m tests.bench --help`.
bench: $(PLOTS)
	@deploy/debian/install deploy/debian/packages-bench.txt
	@$(RUN) -m tests.bench $(OPTIONS)

# Varies sessions, sizes, workers and servers of clamd, one at a time; ten minutes.
bench-growth: $(PLOTS)
	@deploy/debian/install deploy/debian/packages-bench.txt
	@$(RUN) -m tests.bench.growth $(OPTIONS)

# Compares with clamav-milter in a minute; OPTIONS="--against FOLDER" compares with another checkout as well.
# The exit status is 1 when a target is missed or a ratio is worse than that of the other checkout.
bench-quick: environment
	@deploy/debian/install deploy/debian/packages-bench.txt
	@$(RUN) -m tests.bench.quick $(OPTIONS)

# Scans the infected messages of a folder, such as hide-content.d of github.com/noxxi/mime-is-broken, with and without [mime].
noxxi: environment
	@deploy/debian/install deploy/debian/packages-test.txt
	@$(RUN) -m tests.bench.wrapping $(FOLDER)

$(PLOTS): tests/bench/requirements.txt $(READY) | packages
	$(PIP_INSTALL) --require-hashes -r tests/bench/requirements.txt
	@touch $@

# Compares both kinds of handoff to the delivery sendmail; a minute.
bench-handoff: environment
	@$(RUN) -m tests.bench.handoff

# Measures the quarantine: storing next to the machine's bare rate, and lists, searches and expiry with many entries.
bench-quarantine: environment
	@$(RUN) -m tests.bench.quarantine $(OPTIONS)

# Measures the settings of the two sendmails; 20 minutes.
bench-tuning: environment
	@$(RUN) -m tests.bench.tuning $(OPTIONS)

# Measures where the CPU time of a message goes; a minute.
bench-breakdown: environment
	@$(RUN) -m tests.bench.breakdown $(OPTIONS)

# Changes operators and numbers for half an hour, and prints what the unit tests do not notice. For a part:
# OPTIONS="--minutes 5 miltscan/core/policy.py". The tool is cosmic-ray; tests/mutants says why.
mutants: $(MUTANTS)
	@.venv/bin/python -m tests.mutants $(OPTIONS)

$(MUTANTS): tests/mutants/requirements.txt $(READY) | packages
	$(PIP_INSTALL) --require-hashes -r $<
	@touch $@

# Fuzzes the readers of hostile content, ten minutes each; docs/lab/fuzz.md. OPTIONS="--minutes 1 zip cms" for a part.
fuzz: $(FUZZ)
	@.venv/bin/python -m tests.fuzz $(OPTIONS)

$(FUZZ): tests/fuzz/requirements.txt $(READY) | packages
	$(PIP_INSTALL) --require-hashes --only-binary :all: -r $<
	@touch $@

# Generates the Grafana dashboards, and the monitoring mixin with them.
dashboard: environment
	.venv/bin/python -m deploy.grafana.generator
	.venv/bin/python -m deploy.mixin

# Builds the documentation as a site in dist/docs (DOCS=), with a search that requires no server; a broken link is an error.
docs: $(SITE)
	@.venv/bin/python -m docs.site .venv/.docs/source
	@.venv/.docs/bin/sphinx-build -W --keep-going -q -c docs/site .venv/.docs/source $(DOCS)
	@echo $(DOCS)/index.html

$(SITE): docs/site/requirements.txt $(READY) | packages
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --require-hashes --only-binary :all: -r $<
	@touch $@

# Installs miltscan on this host as docs/install.md says, without a Debian package; PREFIX= for another place than /usr/local.
install:
	@$(SUDO) env PREFIX=$(PREFIX) PYTHON=$(PYTHON) deploy/install

uninstall:
	@$(SUDO) env PREFIX=$(PREFIX) deploy/install --remove

# Builds the Debian package into dist/: for the Debian of this host, or for RELEASE=bookworm or RELEASE=trixie in a tree of
# its own (debootstrap); docs/packages.md.
deb:
	@deploy/debian/install deploy/debian/packages-build.txt
	@$(SUDO) deploy/debian/build $(RELEASE)

# Builds the image of miltscan from its Debian package into dist/, on a tree of Debian, or on BASE=docker.io/library/debian:trixie-slim;
# docs/container.md. PACKAGE names a package that is there already.
image:
	@deploy/debian/install deploy/debian/packages-build.txt
	@deploy/debian/install deploy/debian/packages-image.txt
	@$(SUDO) $(if $(PACKAGE),env PACKAGE=$(PACKAGE)) deploy/container/build $(BASE)

# Builds what a version consists of into dist/, with checksums: sdist, wheel, the packages of both releases.
release: environment
	@deploy/debian/install deploy/debian/packages-build.txt
	@$(SUDO) deploy/release

check: environment
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/python -m pytest -q -p no:cacheprovider tests/unit/test_layers.py

format: environment
	.venv/bin/ruff format
	.venv/bin/ruff check --fix

clean:
	rm -rf build dist .venv .venv-* .mypy_cache .ruff_cache .pytest_cache
