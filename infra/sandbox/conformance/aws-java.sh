#!/usr/bin/env bash
# Runs a command with Amazon's SDK for Java, the client that speaks CBOR to
# Kinesis, as a class path in BANYAN_CONFORMANCE_JAVA:
#
#   infra/sandbox/conformance/aws-java.sh go test -run Java ./infra/sandbox/kinesis
#
# Exits with the command's code. It is fetched by Maven once, into $BANYAN_CACHE
# (default: .cache in the root of the repository); where that cannot be done, the
# reason is printed as SKIPPED and nothing is run.
set -euo pipefail
peer="Amazon's SDK for Java"
source "$(dirname "$0")/peer.sh"

version=2.31.6

install() { maven "software.amazon.awssdk:kinesis:$version"; }

need java javac mvn
once "aws-java-$version" install
BANYAN_CONFORMANCE_JAVA="$home/lib/*" "$@"
