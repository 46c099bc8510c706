#!/usr/bin/env bash
# Deploys one function that infra/scripts/build.sh has built: uploads it, publishes
# a version, and moves an alias to that in steps, back if an alarm is raised.
#
#   infra/scripts/deploy.sh prod-profile
#   infra/scripts/deploy.sh prod-profile --alias staging --steps 25,100 --interval 3m
#   infra/scripts/deploy.sh prod-profile --alias staging --create-alias   the first time
#   infra/scripts/deploy.sh prod-profile --dry-run
#
# Exit code 0: in use; 1: failed or turned back; 2: wrong usage. When it was killed,
# or its terminal was closed, `infra/scripts/alias.sh status prod-profile` tells
# what it has left; --rollback-on-interrupt leaves nothing of it, unless it was
# killed. nohup lets it go on without a terminal.
set -euo pipefail
cd "$(dirname "$0")/../.."
go build -o bin/banyan-deploy ./infra/deploy/cmd/banyan-deploy
exec bin/banyan-deploy deploy "$@" # exec: signals and exit codes are its own
