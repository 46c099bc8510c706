#!/usr/bin/env bash
# Runs the suite of each sandbox service against the sandbox and then against
# a real part, set up here. A part that cannot be set up is named as SKIPPED;
# a suite that fails makes this fail.
set -uo pipefail
cd "$(dirname "$0")/../../.."
go=${GO:-go}
failed=()

suite() { # name, peer's script, package
	printf '\n--- %s: the sandbox\n' "$1"
	"$go" test -count=1 "$3" || failed+=("$1 (sandbox)")
	printf '\n--- %s: %s\n' "$1" "$(basename "$2" .sh)"
	bash "$2" "$go" test -count=1 -v -run Peer "$3" | grep -vE '^(=== |    --- PASS| +--- PASS)' || failed+=("$1 ($(basename "$2" .sh))")
}

dir=infra/local/conformance
suite Kinesis  $dir/kinesis-local.sh     ./infra/local/kinesis
suite DynamoDB $dir/dynamodb-local.sh    ./infra/local/dynamodb
suite MongoDB  $dir/mongo-java-server.sh ./infra/local/mongodb
if [ -f $dir/moto.sh ]; then suite SQS $dir/moto.sh ./infra/local/sqs; fi
echo "SKIPPED Lambda's Runtime API and event source mappings: no other implementation can be had without Docker"

if [ ${#failed[@]} -gt 0 ]; then
	printf '\nFAILED: %s\n' "${failed[*]}"
	exit 1
fi
