# `make run` and `make test` are all that a clean clone needs; `make help` lists the rest.

GOLANGCI_LINT_VERSION := v2.15.0
golangci_lint := bin/golangci-lint-$(GOLANGCI_LINT_VERSION)
GOVULNCHECK_VERSION := v1.8.0
govulncheck := bin/govulncheck-$(GOVULNCHECK_VERSION)
GOVULNDB ?= https://vuln.go.dev

npm := $(shell command -v npm 2>/dev/null)
playground_sources := $(wildcard graph/playground/*.js graph/playground/*.jsx graph/playground/*.css)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: $(if $(DATABASE_URL),,postgres) build ## Run Akin, with a PostgreSQL of its own unless DATABASE_URL names one
	@./akin

.PHONY: test
test: playground audit ## Run every test, on a PostgreSQL that the tests start
	@scripts/install.sh postgres compiler
	go test -race -timeout 10m ./...

.PHONY: torture
torture: playground ## Run the long form of the tests that break what Akin stands on, and a soak; SOAK=30m
	@scripts/install.sh postgres pgbouncer
	go test -v -timeout 4h ./torture -long -soak $(or $(SOAK),30m)

.PHONY: lint
lint: $(golangci_lint) ## Check the rules of .golangci.yaml, the arrows between the packages among them
	$(golangci_lint) run

.PHONY: vuln
vuln: $(govulncheck) ## Look for known vulnerabilities in what Akin calls; GOVULNDB=file:///… for a copy of the database
	@status=0; said=$$($(govulncheck) -db $(GOVULNDB) ./... 2>&1) || status=$$?; echo "$$said"; \
	case $$said in *"fetching vulnerabilities"*) \
		echo "NOT CHECKED: the database of vulnerabilities at $(GOVULNDB) cannot be reached" >&2;; esac; exit $$status

.PHONY: fmt
fmt: $(golangci_lint) ## Format the Go files
	$(golangci_lint) fmt

.PHONY: generate
generate: ## Generate graph/generated from schema.graphqls
	go tool gqlgen generate

.PHONY: check-generated
check-generated: generate ## Check that graph/generated is what schema.graphqls generates, and committed
	git diff --exit-code -- graph
	@untracked=$$(git ls-files --others --exclude-standard -- graph) && if [ -n "$$untracked" ]; then \
		echo "not committed: $$untracked"; exit 1; fi

.PHONY: bench
bench: build bench/peers/node_modules/.package-lock.json ## Measure Akin beside pgbench and its peers; QUICK=1 for a few minutes, SIZE=2000000, ARGS='-help'
	@scripts/install.sh postgres pgbench
	go run ./bench $(if $(QUICK),-quick) $(if $(SIZE),-size $(SIZE)) $(ARGS)

.PHONY: build
build: playground ## Build ./akin, a static binary with the playground in it
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o akin .

.PHONY: postgres chromium
postgres: ## Install PostgreSQL where there is none of version 14 or later
	@scripts/install.sh postgres
chromium: ## Install Chromium where there is none, for the playground's test
	@scripts/install.sh chromium

.PHONY: playground audit
ifdef npm
playground: graph/playground/dist/.built ## Build the playground's page
audit: graph/audit/node_modules/.package-lock.json ## Install the GraphQL-over-HTTP audit
else
playground audit:
	@echo "npm is missing: going on without the $@; install Node.js 20 or later to have it"
endif

graph/playground/dist/.built: graph/playground/node_modules/.package-lock.json $(playground_sources)
	cd graph/playground && npm run --silent build
	@touch $@

%/node_modules/.package-lock.json: %/package.json %/package-lock.json
	cd $* && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(golangci_lint):
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	@mv bin/golangci-lint $@

$(govulncheck):
	GOBIN=$(CURDIR)/bin go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
	@mv bin/govulncheck $@

.PHONY: clean
clean: ## Remove what was built and installed here; the data of `make run` stays
	rm -rf akin bin graph/audit/node_modules graph/playground/node_modules bench/peers/node_modules bench/out graph/playground/dist/main-* graph/playground/dist/.built
