#!/usr/bin/env bash
# Runs the suite of each sandbox service against the sandbox, and then against
# real parts and other implementations, which are set up here in $BANYAN_CACHE
# (default: .cache in the root of the repository).
#
# Prints a line for each suite and server, with every skipped case and its
# reason. Exits with 1 if a test failed or a suite ran no test. A part that
# cannot be set up is named as SKIPPED, which is no failure.
set -uo pipefail
cd "$(dirname "$0")/../../.."
go=${GO:-go}
here=infra/sandbox/conformance
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
failed=()

"$go" build -o "$work/report" "./$here" || exit 1

# check NAME COMMAND... runs tests and reports them under a name.
check() {
	local name=$1
	shift
	"$@" | "$work/report" "$name" || failed+=("$name")
}

# tests PATTERN PACKAGE is the command that runs tests for the report. It fails
# with them, but the report has said so before.
tests() { printf '%s\n' "$go" test -count=1 -timeout=5m -json -run "$1" "$2"; }

sandbox() { # name, pattern, package
	mapfile -t command < <(tests "$2" "$3")
	check "$1: the sandbox" "${command[@]}"
}

against() { # peer's script, name, pattern, package
	mapfile -t command < <(tests "$3" "$4")
	check "$2: $1" bash "$here/$1.sh" "${command[@]}"
}

sandbox                   Kinesis  '^TestSandboxConforms$' ./infra/sandbox/kinesis
against kinesis-local     Kinesis  '^TestPeerConforms$'    ./infra/sandbox/kinesis
sandbox                   'Kinesis in CBOR' '^TestSandboxConformsInCBOR$' ./infra/sandbox/kinesis
against kinesis-local     'Kinesis in CBOR' '^TestPeerConformsInCBOR$'    ./infra/sandbox/kinesis
against aws-java          'Kinesis in CBOR' '^TestJavaSDK$'               ./infra/sandbox/kinesis
sandbox                   DynamoDB '^TestSandboxConforms$' ./infra/sandbox/dynamodb
against dynamodb-local    DynamoDB '^TestPeerConforms$'    ./infra/sandbox/dynamodb
sandbox                   MongoDB  '^TestSandboxConforms$' ./infra/sandbox/mongodb
against mongo-java-server MongoDB  '^TestPeerConforms$'    ./infra/sandbox/mongodb
sandbox                   SQS      '^TestSandboxConforms$' ./infra/sandbox/sqs
against moto              SQS      '^TestPeerConforms$'    ./infra/sandbox/sqs
sandbox                   'Lambda functions' '^TestSandboxConforms$' ./infra/sandbox/lambda
against moto              'Lambda functions' '^TestPeerConforms$'    ./infra/sandbox/lambda
sandbox                   'parameters' '^TestParameters$'      ./infra/sandbox/settings
against moto              'parameters' '^TestPeerParameters$'  ./infra/sandbox/settings
sandbox                   'secrets'    '^TestSecrets$'         ./infra/sandbox/settings
against moto              'secrets'    '^TestPeerSecrets$'     ./infra/sandbox/settings
against moto              'settings and secrets' '^TestPeer'   ./infra/config
sandbox                   'log groups' '^TestSandboxConforms$' ./infra/sandbox/logs
against moto              'log groups' '^TestPeerConforms$'    ./infra/sandbox/logs
against moto              'log shipping' '^TestPeer'           ./infra/ops/logs/ship
against moto              'the janitor'  '^TestPeer'           ./infra/ops/janitor
against moto              'deployment'   '^TestPeer'           ./infra/deploy
against moto              'alarms and metrics' '^TestPeer'     ./infra/sandbox/cloudwatch
echo "SKIPPED the Lambda Runtime API: no other implementation of it can be had without Docker"
against kinesis-local     'Lambda mappings of a stream' '^TestPeerOrder' ./infra/sandbox/lambda
against kinesis-local     'the publisher of events'     '^TestPeer'      ./publishers/kinesis
against kinesis-local     'records in both encodings'   '^TestPeer'      ./publishers/kinesis/internal/putrecords
against kinesis-agg       'the aggregate format'        '^TestPeer'      ./events/aggregate

if [ ${#failed[@]} -gt 0 ]; then
	printf '\nFAILED in %d s:\n' "$SECONDS"
	printf '  %s\n' "${failed[@]}"
	exit 1
fi
printf '\nAll that was run conforms, in %d s.\n' "$SECONDS"
