#!/usr/bin/env bash
# Runs a command with tflint, a linter for Terraform's language, as $TFLINT:
#
#   infra/terraform/test/tflint.sh bash -c '"$TFLINT" --version'
#
# Exits with the command's code. It is built from the Go module proxy once, into
# $BANYAN_CACHE (default: .cache in the root of the repository); where that cannot
# be done, the reason is printed as SKIPPED and nothing is run. Its rules for AWS
# are a plugin that no registry serves; those for the language are built in.
set -euo pipefail
peer=tflint
source "$(dirname "$0")/../../sandbox/conformance/peer.sh"

version=v0.64.0

# The module has replace directives or not: a copy of it is built as its own main
# module, with the versions of its go.mod.
install() {
	local dir
	dir=$(cd / && GOFLAGS=-mod=mod go mod download -json "github.com/terraform-linters/tflint@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
	cp -r "$dir" src
	chmod -R u+w src
	(cd src && go build -mod=mod -ldflags="-s -w" -gcflags=all=-l -o ../tflint .)
	rm -rf src
}

need go
once "tflint-$version" install
export TFLINT=$home/tflint
"$@"
