#!/usr/bin/env bash
# Checks the form of every file, and that the examples are valid, of which every
# module is a part, and what `banyan-migrate plan --terraform` prints. Run by run.sh, with OpenTofu as $TOFU and a copy in
# $BANYAN_TERRAFORM_WORK.
set -euo pipefail
printed=$(cd "$(dirname "$0")/../../.." && pwd)/migrate/plan/testdata/orders.tf
cd "$BANYAN_TERRAFORM_WORK"
mkdir examples/printed
sed 's#git::[^"]*//infra/terraform/modules/#../../modules/#' "$printed" >examples/printed/main.tf
"$TOFU" fmt -check -diff -recursive . || { echo "run: tofu fmt -recursive infra/terraform"; exit 1; }
for example in examples/*; do
	(
		cd "$example"
		"$TOFU" init -backend=false -input=false -no-color >init.log 2>&1 || { echo "$example:" && cat init.log && exit 1; }
		"$TOFU" validate -no-color >validate.log 2>&1 || { echo "$example:" && cat validate.log && exit 1; }
	)
done
