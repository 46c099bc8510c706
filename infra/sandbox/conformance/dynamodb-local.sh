#!/usr/bin/env bash
# Runs a command with DynamoDB Local, Amazon's own stand-in, at
# BANYAN_CONFORMANCE_DYNAMODB:
#
#   infra/sandbox/conformance/dynamodb-local.sh go test -run Peer ./infra/sandbox/dynamodb
#
# Exits with the command's code. It is fetched from Maven Central once, into
# $BANYAN_CACHE (default: .cache in the root of the repository); where that
# cannot be done, the reason is printed as SKIPPED and nothing is run.
set -euo pipefail
peer=dynamodb-local
source "$(dirname "$0")/peer.sh"

version=2.6.1 # for Java 17; BANYAN_DYNAMODB_LOCAL_VERSION names another
version=${BANYAN_DYNAMODB_LOCAL_VERSION:-$version}

install() { maven "com.amazonaws:DynamoDBLocal:$version"; }

start() {
	exec java -Djava.library.path=lib -cp 'lib/*' "$here/Loopback.java" -inMemory -port "$port"
}

need java mvn
once "dynamodb-local-$version" install
serve
BANYAN_CONFORMANCE_DYNAMODB=http://127.0.0.1:$port "$@"
