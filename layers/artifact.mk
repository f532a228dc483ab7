# What the Makefiles that `sam build` runs have in common. Four variables steer a build:
#
#   DARKROOM_BUILD_TARGET   lambda (default): for AWS, whatever this machine is. host: for this machine (the local stack).
#   DARKROOM_BUILD_RUNTIME  Lambda's runtime, default python3.13. Must be the stack's RuntimeVersion.
#   DARKROOM_BUILD_ARCH     x86_64 (default) or arm64. Must be the stack's Architecture.
#   DARKROOM_BUILD_PYTHON   the Python whose pip is used, default python3. With target host, it is also the runtime.
#
# No container is needed: pip downloads the wheels of the target platform, and nothing is compiled. FROM_SOURCE, which a
# Makefile may set, names a package that publishes no wheel and is pure Python.

.SILENT:

PYTHON := $(or $(DARKROOM_BUILD_PYTHON),python3)
RUNTIME := $(or $(DARKROOM_BUILD_RUNTIME),python3.13)
ARCH := $(or $(DARKROOM_BUILD_ARCH),x86_64)
MACHINE := $(ARCH:arm64=aarch64)
RUNNING := $(shell "$(PYTHON)" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')

ifeq ($(DARKROOM_BUILD_TARGET),host)
RUNTIME := $(RUNNING)
PLATFORM :=
else
# Amazon Linux 2023 has glibc 2.34, so it runs wheels of each of these tags.
PLATFORM := --implementation cp --python-version $(RUNTIME:python%=%) \
	--platform manylinux_2_28_$(MACHINE) --platform manylinux_2_17_$(MACHINE) --platform manylinux2014_$(MACHINE)
endif

# The locks are complete, so pip resolves nothing. The packaging test fails if a package is missing.
PIP := "$(PYTHON)" -m pip --quiet --disable-pip-version-check
LOCKED = --no-deps --require-hashes --only-binary=:all: $(addprefix --no-binary=,$(FROM_SOURCE)) $(PLATFORM)

# $(call install,requirements,directory)
install = $(PIP) install $(LOCKED) --no-compile --target "$(2)" --requirement "$(1)"

# $(call download,requirements,directory)
download = $(PIP) download $(LOCKED) --dest "$(2)" --requirement "$(1)"

# The Python that writes the bytecode, which only the runtime's own version can: pip's, or one on PATH, of uv or of pyenv.
COMPILER := $(if $(filter $(RUNTIME),$(RUNNING)),$(PYTHON),$(shell \
	for python in $(RUNTIME) $$(uv python find $(RUNTIME:python%=%) 2>/dev/null) \
			$$HOME/.pyenv/versions/$(RUNTIME:python%=%).*/bin/python; do \
		"$$python" -c 'import sys; sys.exit("python%d.%d" % sys.version_info[:2] != "$(RUNTIME)")' 2>/dev/null \
			&& echo "$$python" && break; \
	done))

# A command that reports missing bytecode. SAM shows what is written to standard output.
REPORT_COMPILER = $(if $(COMPILER),:,echo "WARNING: $(RUNTIME) is not installed here, so the build has no bytecode and \
cold starts take a second longer. See docs/deploying.md.")

# $(call finish,directory): removes what nothing imports, keeps the licenses and adds the bytecode. Lambda's disk is
# read-only, so Python cannot cache bytecode there: the API is imported in 0.5 s of CPU time with it, in 1.5 s without.
# The bytecode is not compared with the sources, because zips lose the times of files.
define finish
	find "$(1)" -type d \( -name __pycache__ -o -name tests -o -name test \) -prune -exec rm -rf {} +
	find "$(1)" -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.c' -o -name '*.h' \) -exec rm -f {} +
	find "$(1)" -type f -path '*.dist-info/*' \( -name RECORD -o -name INSTALLER -o -name REQUESTED -o -name WHEEL \) -exec rm -f {} +
	rm -rf "$(1)/bin"
	$(if $(COMPILER),"$(COMPILER)" -m compileall -q -j 0 --invalidation-mode unchecked-hash -s "$(1)" "$(1)")
endef
