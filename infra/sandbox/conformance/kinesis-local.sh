#!/usr/bin/env bash
# Runs a command with kinesis-local (the npm package of kinesis-mock), an
# independent Kinesis, at BANYAN_CONFORMANCE_KINESIS:
#
#   infra/sandbox/conformance/kinesis-local.sh go test -run Peer ./infra/sandbox/kinesis
#
# Exits with the command's code. It is installed by npm once, into
# $BANYAN_CACHE (default: .cache in the root of the repository); where that
# cannot be done, the reason is printed as SKIPPED and nothing is run.
set -euo pipefail
peer=kinesis-local
source "$(dirname "$0")/peer.sh"

version=0.6.2

install() { timeout 300 npm install --loglevel=error --no-audit --no-fund --prefix . "kinesis-local@$version"; }

start() {
	cd node_modules/kinesis-local
	KINESIS_MOCK_PLAIN_PORT=$port KINESIS_MOCK_TLS_PORT=$((port + 1)) LOG_LEVEL=ERROR exec node --require "$here/loopback.cjs" main.js
}

need node npm
once "kinesis-local-$version" install
serve
BANYAN_CONFORMANCE_KINESIS=http://127.0.0.1:$port "$@"
