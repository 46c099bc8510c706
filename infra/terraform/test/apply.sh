#!/usr/bin/env bash
# Applies the example to moto with the real functions' packages, asks for what was
# made, plans again, which must find nothing to do, destroys it, and asks for what
# is left. Besides, mistakes have to be refused (refusals), and modules planned that
# are given what others are about to make (together). Run by run.sh, with OpenTofu as $TOFU, moto at
# $BANYAN_CONFORMANCE_LAMBDA, and a copy in $BANYAN_TERRAFORM_WORK.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
work=$BANYAN_TERRAFORM_WORK
go=${GO:-go}
example=$work/examples/environment
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true
export AWS_MAX_ATTEMPTS=4 # moto says at once what it cannot do
unset AWS_PROFILE AWS_SESSION_TOKEN

# packages builds all functions for this machine, where some of them are run. What
# Lambda gets is built for arm64 (make functions); moto does not look.
packages() {
	local arch=x86_64 zip name
	[ "$("$go" env GOARCH)" = arm64 ] && arch=arm64
	"$go" run ./infra/deploy/cmd/banyan-deploy build --arch "$arch" --out "$work/dist" || return
	mv "$work/dist/$arch" "$work/functions"
	for zip in "$work/functions"/*.zip; do
		name=$(basename "$zip" .zip)
		python3 -m zipfile -e "$zip" "$work/functions/$name"
		chmod +x "$work/functions/$name/bootstrap"
	done
}

# certificate asks moto for one: the listener of the public balancer wants it to exist.
certificate() {
	python3 - <<'PY'
import json, os, urllib.request
r = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"], data=json.dumps({"DomainName": "api.example.com"}).encode(), headers={
    "X-Amz-Target": "CertificateManager.RequestCertificate",
    "Content-Type": "application/x-amz-json-1.1",
    "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/acm/aws4_request, SignedHeaders=host, Signature=0",
})
print(json.load(urllib.request.urlopen(r))["CertificateArn"])
PY
}

tofu() {
	local verb=$1
	shift
	if ! (cd "$example" && HTTP_PROXY=${AWS_ENDPOINT_URL:-} "$TOFU" "$verb" -input=false -no-color "$@") >"$work/$verb.log" 2>&1; then
		sed -n '/^Error:/,$p' "$work/$verb.log" | head -n 150 | grep . || tail -n 150 "$work/$verb.log"
		echo "tofu $verb $* failed"
		return 1
	fi
	echo "tofu $verb: $SECONDS s"
}

# beside runs a command of OpenTofu in a folder of test.
beside() {
	local folder=$1
	shift
	cd "$work/test/$folder"
	if ! { "$TOFU" init -input=false -no-color && "$TOFU" "$@" -no-color; } >"$work/$folder.log" 2>&1; then
		tail -n 150 "$work/$folder.log"
		echo "tofu $* failed in $folder"
		return 1
	fi
	echo "tofu $1 of $folder: $SECONDS s"
}

# check runs tests; it prints what they say is skipped, and why they fail.
check() {
	local log=$work/check.log
	(cd "$root/infra/terraform/test" && "$work/checks" -test.v -test.run "$1") >"$log" || { cat "$log" && return 1; }
	grep '^SKIPPED' "$log" || true
}

(cd "$root" && packages && "$go" build -o "$work/front-server" ./infra/terraform/test/front && "$go" test -c -o "$work/checks" ./infra/terraform/test)
"$work/front-server" "$BANYAN_CONFORMANCE_LAMBDA" "$work/front" &
front=$!
trap 'kill "$front"' EXIT
for _ in $(seq 50); do [ -s "$work/front" ] && break || sleep 0.1; done
export AWS_ENDPOINT_URL=$(cat "$work/front") BANYAN_TERRAFORM_ENDPOINT=$(cat "$work/front")

(cd "$root/events/social/testdata" && python3 -m zipfile -c "$work/schemas.zip" asyncapi.json)
cat >"$example/terraform.tfvars" <<VARS
functions         = "$work/functions"
image_registry    = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
image_tag         = "v1"
certificate_arn   = "$(certificate)"
monolith_url      = "http://monolith.internal:8080"
protect           = false # so that it can be destroyed
wait_until_stable = false # moto starts no tasks
queue_handler_arn = "arn:aws:lambda:us-east-1:123456789012:function:work:live"
queue_elsewhere   = { region = "eu-west-1", alarm_topic_arns = ["arn:aws:sns:eu-west-1:123456789012:people"] }
search            = { url = "https://search.example.com", arn = "arn:aws:es:us-east-1:123456789012:domain/search" }
schemas           = "$work/schemas.zip"
opensearch        = { url = "https://search.example.com", arn = "arn:aws:es:us-east-1:123456789012:domain/logs" }
VARS
(beside together plan -input=false && beside refusals test) &
beside=$!
tofu init
tofu apply -auto-approve -parallelism=40
check '^TestPeerMade'
tofu plan -out=plan.bin
(cd "$example" && "$TOFU" show -json plan.bin) >"$work/plan.json"
check '^TestPeerPlan'
wait "$beside"
tofu destroy -auto-approve -parallelism=40
check '^TestPeerGone'
