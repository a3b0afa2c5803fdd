# The verbs of this repository. `make lint test e2e` is what CI runs (.ci/run).
SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: all build test race e2e bench-link lint generate generated clean

# Linters live in their own module file, so that they never raise a version in go.mod.
TOOL := go tool -modfile=.ci/tools.mod

all: build

build: ## bin/maille
	go build -trimpath -o bin/maille ./cmd/maille

test: ## every Go test, no browser
	go test ./...

race: ## the same under the race detector
	go test -race ./...

e2e: build ## real Chromium and Firefox, the unmodified livekit-client, three nodes; root adds a narrow path
	go build -trimpath -o bin/idle ./bench/idle
	cd bench/e2e && npm ci --no-audit --no-fund --loglevel=error
	node bench/e2e/run.mjs --maille bin/maille --out bench/out/e2e

bench-link: ## the link between two nodes against plain QUIC and UDP; ROWS=100:0.01,cpu picks, OUT=file
	go test -c -o bin/bench-link ./bench/linkbench && bin/bench-link -test.run '^TestGrid$$' -bench-link

lint: ## formatting, vet, staticcheck, generated code up to date
	@out=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
		if [ -n "$$out" ]; then printf 'gofmt -w these:\n%s\n' "$$out"; exit 1; fi
	@out=$$($(TOOL) gofumpt -l $$(git ls-files -co --exclude-standard '*.go' ':!:*.pb.go')) || exit 1; \
		if [ -n "$$out" ]; then printf 'gofumpt -w these:\n%s\n' "$$out"; exit 1; fi
	go vet ./...
	$(TOOL) staticcheck ./...

generate: ## every .pb.go from its .proto (needs protoc)
	sh proto/generate.sh

generated: generate ## fails when a .pb.go is not what its .proto says
	@git diff --exit-code --stat -- proto || { echo 'generated code is stale: run make generate and commit'; exit 1; }
	@out=$$(git ls-files --others --exclude-standard -- proto); \
		if [ -n "$$out" ]; then printf 'generated but not committed:\n%s\n' "$$out"; exit 1; fi

clean:
	rm -rf bin bench/out bench/e2e/node_modules
