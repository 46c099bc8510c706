#!/bin/sh
# Lets an independent implementation of the format, the Python package
# aws-kinesis-agg, read what ours writes and the other way round. Needs Python 3
# with venv and PyPI; leaves nothing behind.
set -eu
cd "$(dirname "$0")"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" --quiet install aws-kinesis-agg==1.2.3 protobuf==3.20.3 six==1.17.0
AGGREGATE_PEER="$dir/venv/bin/python" go test -count=1 -v -run 'Peer' .
