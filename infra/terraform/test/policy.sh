#!/usr/bin/env bash
# Runs checkov's policies over the modules and the example. Run by run.sh, with
# checkov as $CHECKOV and a copy in $BANYAN_TERRAFORM_WORK.
set -euo pipefail
config=$(cd "$(dirname "$0")" && pwd)/checkov.yaml
cd "$BANYAN_TERRAFORM_WORK"
export LOG_LEVEL=ERROR BC_SKIP_MAPPING=TRUE
$CHECKOV --config-file "$config" --directory .
