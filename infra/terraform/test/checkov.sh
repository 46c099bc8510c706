#!/usr/bin/env bash
# Runs a command with checkov, a policy linter for Terraform (PyPI), as the words
# of $CHECKOV:
#
#   infra/terraform/test/checkov.sh bash -c '$CHECKOV --version'
#
# Exits with the command's code. It is installed by pip once, into $BANYAN_CACHE
# (default: .cache in the root of the repository); where that cannot be done, the
# reason is printed as SKIPPED and nothing is run.
set -euo pipefail
peer=checkov
source "$(dirname "$0")/../../sandbox/conformance/peer.sh"

version=3.3.30

install() { pypi "checkov==$version"; }

need python3
once "checkov-$version" install
export CHECKOV="env PYTHONPATH=$home/lib PYTHONDONTWRITEBYTECODE= python3 -m checkov.main"
"$@"
