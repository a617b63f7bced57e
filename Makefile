# NANO's build. `make help` lists the targets.

# The processor to build for: amd64 or arm64. Building for the other one needs a cross compiler.
HOSTARCH := $(shell go env GOHOSTARCH 2>/dev/null)
GOARCH   ?= $(HOSTARCH)
FUZZTIME ?= 20s
BENCHFLAGS ?=
WPTFLAGS ?=

export GOARCH
export CGO_ENABLED := 1
ifneq ($(GOARCH),$(HOSTARCH))
CROSS_arm64 := aarch64-linux-gnu
CROSS_amd64 := x86-64-linux-gnu
CROSS := $(CROSS_$(GOARCH))
export CC  := $(CROSS)-gcc
export CXX := $(CROSS)-g++
else
CXX ?= g++
endif

REVISION := $(shell git rev-parse --short=12 HEAD 2>/dev/null)
BUILDFLAGS := -trimpath -buildvcs=false -ldflags "-X main.revision=$(REVISION)"

V8GO := rogchap.com/v8go
ADA  := github.com/ada-url/goada

.DEFAULT_GOAL := build
.PHONY: run test build bench wpt docs package package-test types frameworks compat fuzz lint generate clean help tools links FORCE

## build: the one binary, bin/nano (GOARCH=arm64 or amd64 for another processor)
build: bin/nano

# Go knows best what has changed.
bin/nano: FORCE | tools links
	@mkdir -p bin
	go build $(BUILDFLAGS) -o $@ ./cmd/nano

## run: build, and serve the examples of nano.toml on http://127.0.0.1:8080
run: build
	bin/nano serve -c nano.toml

## test: go vet and every test but that of make frameworks (with npm also that of the types, unless the network is not there)
test: | tools links
	@if command -v npm >/dev/null; then $(MAKE) -s npm/nano-types/node_modules || echo "make: no TypeScript compiler, so types are not checked" >&2; fi
	go vet ./...
	go test -count=1 -timeout 20m ./...

## bench: NANO and its peers side by side, into bench/RESULTS.md (wrk, npm; BENCHFLAGS="--quick")
bench: build
	@command -v wrk >/dev/null || { echo "make: wrk is missing: apt-get install wrk" >&2; exit 1; }
	@command -v npm >/dev/null || { echo "make: npm is missing: apt-get install npm" >&2; exit 1; }
	go run ./bench $(BENCHFLAGS)

## wpt: web-platform-tests, against wpt/expectations.json (WPT=CHECKOUT OVERLAY=NEWER-DATA; WPTFLAGS="--dir url"; node)
wpt: build
	@command -v node >/dev/null || { echo "make: node 20 or newer is missing: apt-get install nodejs" >&2; exit 1; }
	@test -n "$(WPT)" || { echo "make: WPT= is missing: the folder of a checkout, see wpt/README.md" >&2; exit 1; }
	NANO=$(CURDIR)/bin/nano node wpt/wpt.mjs --wpt "$(WPT)" $(if $(OVERLAY),--overlay "$(OVERLAY)") $(WPTFLAGS)

## docs: what is generated of docs/: the keys in CONFIG.md
docs:
	go test -count=1 -run '^TestReference$$' ./config -update

## package: a .deb for GOARCH in bin/, for Debian 12 and what is as new (gzip; on another processor with its compiler)
PACKAGE_VERSION ?= $(shell sed -n 's/^const version = "\(.*\)"/\1/p' cmd/nano/version.go)+git$(shell git rev-list --count HEAD).$(REVISION)
package: | tools links
	@mkdir -p bin/package
	GOARCH=$(HOSTARCH) CC= CXX= CGO_ENABLED=0 go -C tools/package build -trimpath -o ../../bin/nfpm github.com/goreleaser/nfpm/v2/cmd/nfpm
	go build -trimpath -buildvcs=false -ldflags "-s -w -X main.revision=$(REVISION) -extldflags=-Wl,-z,now" -o bin/package/nano ./cmd/nano
	env -u CC -u CXX $(MAKE) GOARCH=$(HOSTARCH) build # prints manual and completion
	bin/nano manual 1 | gzip -9n > bin/package/nano.1.gz
	bin/nano manual 5 | gzip -9n > bin/package/nano.toml.5.gz
	bin/nano completion bash > bin/package/nano.bash
	bin/nano completion zsh > bin/package/_nano
	bin/nano completion fish > bin/package/nano.fish
	{ echo "nano-runtime ($(PACKAGE_VERSION)) stable; urgency=medium"; echo; \
		git log -n 50 --format='%s' | fold -s -w 72 | sed 's/^/  * /'; \
		echo; echo " -- $(PACKAGE_MAINTAINER)  $$(git log -1 --format=%cD)"; } | gzip -9n > bin/package/changelog.gz
	PACKAGE_ARCH=$(GOARCH) PACKAGE_VERSION=$(PACKAGE_VERSION) PACKAGE_LIBC=$(PACKAGE_LIBC) PACKAGE_MAINTAINER="$(PACKAGE_MAINTAINER)" \
		bin/nfpm package -f deploy/package/nfpm.yaml -p deb -t bin/nano-runtime_$(PACKAGE_VERSION)_$(GOARCH).deb

## package-test: install, upgrade, remove and purge that package in a throwaway root (root, debootstrap or ROOT=)
package-test: package
	deploy/package/test.sh bin/nano-runtime_$(PACKAGE_VERSION)_$(GOARCH).deb $(ROOT)

# The glibc of Debian 12, which the binary is built and tested with.
PACKAGE_LIBC ?= 2.36
# Whoever publishes the package names themselves.
PACKAGE_MAINTAINER ?= The NANO authors <nano@nano.invalid>

## compat: docs/compatibility.md from what the binary has
compat: | tools links
	go test -count=1 -run '^TestCompatibility$$' ./cmd/nano -update

## types: npm/nano-types and the examples by the TypeScript compiler (npm)
types: npm/nano-types/node_modules
	go test -count=1 ./npm

## frameworks: the projects of examples/frameworks, built and run (npm; fetches some 350 MB, and keeps 130 MB in ~/.cache)
frameworks: | tools links
	@command -v npm >/dev/null || { echo "make: npm is missing: apt-get install npm" >&2; exit 1; }
	NANO_TEST_FRAMEWORKS=1 go test -count=1 -v -timeout 20m -run '^TestFrameworks$$' ./cmd/nano

npm/nano-types/node_modules: npm/nano-types/package-lock.json
	@command -v npm >/dev/null || { echo "make: npm is missing: apt-get install npm" >&2; exit 1; }
	npm ci --no-audit --no-fund --prefix npm/nano-types
	@touch $@

## fuzz: every fuzz test for FUZZTIME (20s) each
fuzz: | tools links
	@set -e; grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do \
		sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$$file" | while read -r name; do \
			echo "go test -run '^$$' -fuzz ^$$name\$$ -fuzztime $(FUZZTIME) $$(dirname "$$file")"; \
			go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s "$$(dirname "$$file")" </dev/null || exit 1; \
		done || exit 1; \
	done

## lint: gofmt, go vet, staticcheck, and clang-format for the C++ shim
lint: | tools links
	@unformatted="$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go'))"; \
	if [ -n "$$unformatted" ]; then echo "make: gofmt -w $$unformatted" >&2; exit 1; fi
	go vet ./...
	GOARCH=$(HOSTARCH) go -C tools/lint build -o ../../bin/staticcheck honnef.co/go/tools/cmd/staticcheck
	bin/staticcheck ./...
	@command -v clang-format >/dev/null || { echo "make: clang-format is missing: apt-get install clang-format" >&2; exit 1; }
	clang-format --dry-run --Werror $$(find isolates -type f \( -name '*.cc' -o -name '*.h' \))

## generate: everything that go generate makes, the links to V8's and Ada's headers included
generate: | tools
	go mod download $(V8GO) $(ADA)
	go generate ./...

## clean: remove what was built, and the local state of make run
clean:
	rm -rf bin .nano isolates/include isolates/ada

## help: this list
help:
	@sed -n 's/^## /  /p' $(firstword $(MAKEFILE_LIST))

# The headers of V8 and Ada lie in the module cache, under a name that holds their version: link
# them again when there is no link, or one to another version.
links: | tools
	@v8="$$(go list -m -f '{{.Dir}}' $(V8GO))/deps/include"; ada="$$(go list -m -f '{{.Dir}}' $(ADA))"; \
	if [ -e isolates/include/v8.h ] && [ -e isolates/ada/ada.h ] && \
	   [ "$$(readlink isolates/include)" = "$$v8" ] && [ "$$(readlink isolates/ada)" = "$$ada" ]; then exit 0; fi; \
	go mod download $(V8GO) $(ADA) && go generate ./isolates

# One line for each tool that is missing. Go older than go.mod's says here that it cannot get a
# newer one.
tools:
	@missing=0; need() { echo "make: $$1" >&2; missing=1; }; \
	if ! command -v go >/dev/null; then \
		need "Go 1.26 or newer is missing: take it from https://go.dev/dl and put its bin folder on PATH"; \
	elif ! go version >/dev/null 2>&1 || ! go list -m >/dev/null 2>&1; then \
		need "Go 1.26 or newer is needed, $$(GOTOOLCHAIN=local go env GOVERSION) is here: take it from https://go.dev/dl"; \
	fi; \
	if ! printf '#include <concepts>\nint main() {}\n' | $(CXX) -std=c++20 -fsyntax-only -x c++ - 2>/dev/null; then \
		need "$(CXX) with C++20 is missing: apt-get install $(if $(CROSS),g++-$(CROSS),g++)"; \
	fi; \
	if [ "$$(uname -s)" != Linux ]; then need "NANO runs on Linux only"; fi; \
	exit $$missing
