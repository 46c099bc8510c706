#!/usr/bin/env bash
# Runs a command with AGGREGATE_PEER set to a Python that has aws-kinesis-agg,
# an independent implementation of the aggregate format:
#
#   infra/sandbox/conformance/kinesis-agg.sh go test -run Peer ./events/aggregate
#
# Exits with the command's code. It is installed by pip once, into
# $BANYAN_CACHE (default: .cache in the root of the repository); where that
# cannot be done, the reason is printed as SKIPPED and nothing is run.
set -euo pipefail
peer=aws-kinesis-agg
source "$(dirname "$0")/peer.sh"

version=1.2.3

install() { pypi "aws-kinesis-agg==$version" protobuf==3.20.3 six==1.17.0; }

need python3
once "kinesis-agg-$version" install
AGGREGATE_PEER=$(command -v python3) PYTHONPATH=$home/lib "$@"
