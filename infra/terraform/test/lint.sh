#!/usr/bin/env bash
# Lints every module with tflint's rules for the language. Run by run.sh, with
# tflint as $TFLINT and a copy in $BANYAN_TERRAFORM_WORK.
set -euo pipefail
config=$(cd "$(dirname "$0")" && pwd)/tflint.hcl
cd "$BANYAN_TERRAFORM_WORK"
bad=0
for module in modules/* examples/*; do
	"$TFLINT" --config="$config" --chdir="$module" --no-color || bad=1
done
exit $bad
