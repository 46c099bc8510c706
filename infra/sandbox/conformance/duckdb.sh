#!/usr/bin/env bash
# Runs a command with BANYAN_CONFORMANCE_DUCKDB set to a Python that has DuckDB, an independent
# reader of newline JSON, and of Parquet:
#
#   infra/sandbox/conformance/duckdb.sh go test -run Peer ./consumers/warehouse
#
# Exits with the command's code. It is installed by pip once, into
# $BANYAN_CACHE (default: .cache in the root of the repository); where that
# cannot be done, the reason is printed as SKIPPED and nothing is run.
set -euo pipefail
peer=duckdb
source "$(dirname "$0")/peer.sh"

version=2.0.1

install() { pypi "duckdb==$version"; }

need python3
once "duckdb-$version" install
BANYAN_CONFORMANCE_DUCKDB=$(command -v python3) PYTHONPATH=$home/lib "$@"
