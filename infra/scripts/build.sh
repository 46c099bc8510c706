#!/usr/bin/env bash
# Builds the functions for Lambda, for arm64 and x86_64, into bin/dist/ with a manifest
# of SHA-256 sums. The same source and Go make the same bytes, on a laptop and in
# CI.
#
#   infra/scripts/build.sh                                     all of them
#   infra/scripts/build.sh --arch arm64 consumers/social/cmd/profile  one
set -euo pipefail
cd "$(dirname "$0")/../.."
go build -o bin/banyan-deploy ./infra/deploy/cmd/banyan-deploy
exec bin/banyan-deploy build "$@" # exec: signals and exit codes are its own
