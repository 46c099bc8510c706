#!/usr/bin/env bash
# Runs the demo twice on servers of others, by environment alone, as a user of
# the real services would: on DynamoDB Local and kinesis-local instead of the
# sandbox's own DynamoDB and Kinesis, then on SecantusDB instead of its MongoDB:
#
#   infra/sandbox/conformance/demo-peers.sh [--size 500] [--rate 50] [...]
#
# Needs the binaries (make build). Exits with 1 if a run fails. All of its
# invariants must hold; the times it prints are those of peers that are
# slower than the sandbox, and only one of them, the longest write hold of a
# second, is judged: on a machine that is busy otherwise it may not be kept.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
demo=$here/../../../bin/banyan-demo
[ -x "$demo" ] || { echo "demo-peers.sh: $demo is not there: run make build first" >&2; exit 1; }
run=("$demo" run --size 500 --rate 50 "$@")
failed=0

echo "On DynamoDB Local and kinesis-local:"
bash "$here/dynamodb-local.sh" bash "$here/kinesis-local.sh" bash -c '
	export AWS_ENDPOINT_URL_DYNAMODB=$BANYAN_CONFORMANCE_DYNAMODB
	export AWS_ENDPOINT_URL_KINESIS=$BANYAN_CONFORMANCE_KINESIS
	exec "$@"' demo "${run[@]}" || failed=1

echo "On SecantusDB:"
bash "$here/secantusdb.sh" bash -c '
	MONGODB_URI=${BANYAN_CONFORMANCE_MONGODB/\/\?//legacy?} "$@" || exit
	echo "SKIPPED that MongoDB refuses writes past the fence: SecantusDB accepts writes to views"' demo "${run[@]}" || failed=1
exit "$failed"
