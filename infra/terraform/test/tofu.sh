#!/usr/bin/env bash
# Runs a command with OpenTofu as $TOFU and the AWS provider at hand, without
# asking any registry of Terraform's:
#
#   infra/terraform/test/tofu.sh make -C somewhere
#
# Both are built from the Go module proxy, once, into $BANYAN_CACHE (default:
# .cache in the root of the repository); about five minutes on two cores. The
# provider is cut down to the services that the modules use. Where they cannot
# be built, the reason is printed as SKIPPED and nothing is run.
set -euo pipefail
peer=OpenTofu
source "$(dirname "$0")/../../sandbox/conformance/peer.sh"
here=$root/infra/terraform/test

tofu=v1.10.10
# The AWS provider as the Go module proxy has it. The checksum database does not
# know this version, so its sum stands here.
module=github.com/upbound/terraform-provider-aws
version=v0.0.0-20260305123303-f7691456b787
sum=h1:dJlp2eNgY/iVKTPINdguYlHbHc9CtXBZKmQmqYq0REs=
provider=6.34.0
services="apigatewayv2 appautoscaling cloudwatch dynamodb ec2 ecr ecs elbv2 events iam kinesis kms lambda logs meta s3 s3control scheduler secretsmanager sns sqs ssm sts"

# checkout MODULE@VERSION copies a module's files into ./src; $got is its sum.
checkout() {
	local told dir
	told=$(cd / && GOFLAGS=-mod=mod GONOSUMDB=$module go mod download -json "$1")
	dir=$(sed -n 's/^\t"Dir": "\(.*\)",$/\1/p' <<<"$told")
	got=$(sed -n 's/^\t"Sum": "\(.*\)",$/\1/p' <<<"$told")
	cp -r "$dir" src
	chmod -R u+w src
}

build_tofu() {
	checkout "github.com/opentofu/opentofu@$tofu"
	(cd src && go build -trimpath -mod=mod -ldflags="-s -w" -o ../tofu ./cmd/tofu)
	rm -rf src
}

build_provider() {
	local place=registry.opentofu.org/hashicorp/aws/$provider/$(go env GOOS)_$(go env GOARCH)
	checkout "$module@$version"
	[ "$got" = "$sum" ] || { echo "error: the provider's sum is $got, not $sum"; return 1; }
	(cd "$root" && go build -o "$OLDPWD/trim" ./infra/terraform/test/trim)
	# shellcheck disable=SC2086 # one argument a service
	(cd src && ../trim $services && GONOSUMDB=$module go build -trimpath -mod=mod -ldflags="-s -w" -gcflags=all=-l -o "../$place/terraform-provider-aws_v$provider" .)
	rm -rf src trim
}

need go
once "opentofu-$tofu" build_tofu
export TOFU=$home/tofu
once "terraform-provider-aws-$provider-$(cat "$here/trim/main.go" - <<<"$services $sum" | cksum | cut -d' ' -f1)" build_provider
export TF_CLI_CONFIG_FILE=$home/tofurc
cat >"$TF_CLI_CONFIG_FILE.$$" <<RC
provider_installation {
  filesystem_mirror { path = "$home" }
}
RC
mv "$TF_CLI_CONFIG_FILE.$$" "$TF_CLI_CONFIG_FILE"
export CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1
"$@"
