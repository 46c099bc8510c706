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
failed=()
cp -r infra/terraform/modules infra/terraform/examples "$work"
export BANYAN_TERRAFORM_WORK=$work

# check NAME COMMAND... prints ok, SKIPPED or FAILED with what the command said.
check() {
	local name=$1 began=$SECONDS log
	shift
	log=$(mktemp -p "$work")
	if ! "$@" >"$log" 2>&1; then
		failed+=("$name")
		printf 'FAILED  %s (%d s)\n' "$name" $((SECONDS - began))
		cat "$log"
		return
	fi
	grep '^SKIPPED' "$log" || true
	# Where a tool could not be had, nothing was checked.
	grep -qE '^SKIPPED (OpenTofu|tflint|checkov|moto):' "$log" || printf 'ok      %s (%d s)\n' "$name" $((SECONDS - began))
}

wanted=" ${*:-format lint policy apply} "
case $wanted in *" format "*) check "form and validity" bash "$here/tofu.sh" bash "$here/validate.sh" ;; esac
case $wanted in *" lint "*) check lint bash "$here/tflint.sh" bash "$here/lint.sh" ;; esac
case $wanted in *" policy "*) check policy bash "$here/checkov.sh" bash "$here/policy.sh" ;; esac
case $wanted in *" apply "*) check "apply to moto" bash "$here/tofu.sh" bash "$here/../../local/conformance/moto.sh" bash "$here/apply.sh" ;; esac

if [ ${#failed[@]} -gt 0 ]; then
	printf '\nFAILED in %d s: %s\n' "$SECONDS" "$(IFS=,; echo "${failed[*]}")"
	exit 1
fi
printf '\nAll that was run is fine, in %d s.\n' "$SECONDS"
