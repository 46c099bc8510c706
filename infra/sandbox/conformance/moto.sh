#!/usr/bin/env bash
# Runs a command with moto's server (PyPI moto[server]), an independent S3, SQS, SSM,
# Secrets Manager, CloudWatch, CloudWatch Logs and API of Lambda functions, at
# BANYAN_CONFORMANCE_<SERVICE>:
#
#   infra/sandbox/conformance/moto.sh go test -run Peer ./infra/sandbox/sqs
#
# Exits with the command's code. It is installed by pip once, into
# $BANYAN_CACHE (default: .cache in the root of the repository); where that
# cannot be done, the reason is printed as SKIPPED and nothing is run.
set -euo pipefail
peer=moto
source "$(dirname "$0")/peer.sh"

version=5.2.5

install() { pypi "moto[server]==$version"; }

start() { PYTHONPATH=lib exec python3 -c 'from moto.server import main; main()' -H 127.0.0.1 -p "$port"; }

need python3
once "moto-$version" install
serve
for service in SQS LAMBDA SSM SECRETSMANAGER LOGS CLOUDWATCH S3; do export BANYAN_CONFORMANCE_$service=http://127.0.0.1:$port; done
"$@"
