#!/usr/bin/env bash
# Looks at what is deployed, and moves aliases without a build.
#
#   infra/scripts/alias.sh list [PREFIX]                   what runs where
#   infra/scripts/alias.sh status prod-profile             where its alias stands
#   infra/scripts/alias.sh promote prod-profile            go on with a deployment that was left
#   infra/scripts/alias.sh promote shop-profile --from staging --alias prod   (--create-alias the first time)
#   infra/scripts/alias.sh rollback prod-profile           back to the version before, at once
set -euo pipefail
case ${1:-} in
list | status | promote | rollback | -h | --help) ;;
*)
	echo "usage: alias.sh list|status|promote|rollback ..." >&2
	exit 2
	;;
esac
cd "$(dirname "$0")/../.."
go build -o bin/banyan-deploy ./infra/deploy/cmd/banyan-deploy
exec bin/banyan-deploy "$@"
