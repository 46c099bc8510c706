#!/usr/bin/env bash
# Tests the Terraform modules: form, validity, lint, policy, and an apply and
# destroy of the example against moto, with what was made asked for through the
# SDK.
#
#   infra/terraform/test/run.sh [format|lint|policy|apply...]
#
# Prints a line for each check. What cannot be had here is named as SKIPPED with
# the reason, which is no failure. Exits with 1 if a check failed. Nothing is
# written beside the modules: all happens on a copy.
set -uo pipefail
cd "$(dirname "$0")/../../.."
here=$PWD/infra/terraform/test
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir "$work/failed"

# check NAME COMMAND... prints ok, SKIPPED or FAILED with what the command said.
check() {
	local name=$1 began=$SECONDS log
	shift
	log=$(mktemp -p "$work")
	if ! "$@" >"$log" 2>&1; then
		touch "$work/failed/$name"
		printf 'FAILED  %s (%d s)\n' "$name" $((SECONDS - began))
		cat "$log"
		return
	fi
	grep '^SKIPPED' "$log" || true
	# Where a tool could not be had, nothing was checked.
	grep -qE '^SKIPPED (OpenTofu|tflint|checkov|moto):' "$log" || printf 'ok      %s (%d s)\n' "$name" $((SECONDS - began))
}

# begin NAME COMMAND... is a check with a copy of the modules to itself, in
# $BANYAN_TERRAFORM_WORK.
begin() {
	local name=$1
	shift
	mkdir -p "$work/$name/test"
	cp -r infra/terraform/modules infra/terraform/examples "$work/$name"
	cp -r "$here/refusals" "$here/together" "$work/$name/test"
	BANYAN_TERRAFORM_WORK=$work/$name check "$name" "$@"
}

wanted=" ${*:-format lint policy apply} "
bash "$here/tofu.sh" true >/dev/null 2>&1 # builds it once, not twice at a time
# The apply mostly waits, so the others run beside it.
{
	case $wanted in *" format "*) begin format bash "$here/tofu.sh" bash "$here/validate.sh" ;; esac
	case $wanted in *" lint "*) begin lint bash "$here/tflint.sh" bash "$here/lint.sh" ;; esac
	case $wanted in *" policy "*) begin policy bash "$here/checkov.sh" bash "$here/policy.sh" ;; esac
} &
case $wanted in *" apply "*) begin apply bash "$here/tofu.sh" bash "$here/../../sandbox/conformance/moto.sh" bash "$here/apply.sh" ;; esac
wait

if [ -n "$(ls "$work/failed")" ]; then
	printf '\nFAILED in %d s: %s\n' "$SECONDS" "$(ls -x "$work/failed")"
	exit 1
fi
printf '\nAll that was run is fine, in %d s.\n' "$SECONDS"
