#!/usr/bin/env bash
# Checks the form of every file, and that each module is valid by itself. Run by
# run.sh, with OpenTofu as $TOFU and a copy in $BANYAN_TERRAFORM_WORK.
set -euo pipefail
cd "$BANYAN_TERRAFORM_WORK"
"$TOFU" fmt -check -diff -recursive . || { echo "run: tofu fmt -recursive infra/terraform"; exit 1; }

validate() {
	cd "$1"
	"$TOFU" init -backend=false -input=false -no-color >init.log 2>&1 || { echo "$1:" && cat init.log; return 1; }
	"$TOFU" validate -no-color >validate.log || { echo "$1:" && cat validate.log; return 1; }
}
export -f validate
printf '%s\0' modules/* examples/* | xargs -0 -P 2 -I{} bash -c 'validate "$1"' validate {}
