#!/usr/bin/env bash
# Tries the gateway from other languages: follows README.md with the application in Node.js, and
# lets generators make clients of a running gateway's OpenAPI, which are then used on it.
#
# The generators are installed by npm and pip once, into $BANYAN_CACHE (default: .cache in the
# root of the repository). What cannot be had is printed as SKIPPED, which is no failure.
set -uo pipefail
example=$(cd "$(dirname "$0")" && pwd)
cd "$example/../../../.."
export BANYAN_GATEWAY_CLIENTS=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# with PEER COMMAND... runs a command that installs what it needs by the kit of the peers.
with() (
	set -eo pipefail
	peer=$1
	source infra/sandbox/conformance/peer.sh "$@"
	"${@:2}"
)

# try runs tests, and prints their outcome, and all that they say where they fail.
try() {
	${GO:-go} test -count=1 -timeout 6m -v -run "$1" "$2" >"$work/log" 2>&1 || { cat "$work/log"; return 1; }
	sed -n "s|^--- |$peer: |p; s|^ *\(.* requests were answered\)|\1|p" "$work/log"
}

application() {
	need node curl
	node -e fetch 2>/dev/null || skip "Node.js before 18 has no fetch"
	try '^TestGatewayExample$' ./infra/docs
}

typescript() {
	install() { within 300 npm install --loglevel=error --no-audit --no-fund --prefix . openapi-typescript@7.13.0 openapi-fetch@0.17.0 typescript@5.9.3 @types/node@20.19.25; }
	need node npm
	once openapi-typescript-7.13.0-0.17.0 install
	mkdir "$work/ts"
	cp "$example/client.ts" "$work/ts"
	ln -s "$home/node_modules" "$work/ts"
	echo '{"type":"module"}' >"$work/ts/package.json"
	export BANYAN_GATEWAY_CLIENT="set -e; cd $work/ts
		[ -e api.ts ] || node_modules/.bin/openapi-typescript \$GATEWAY/openapi.json -o api.ts
		[ -e client.js ] || node_modules/.bin/tsc --strict --target es2022 --module nodenext --skipLibCheck client.ts
		node client.js \$GATEWAY"
	try '^TestGeneratedClient$' ./services/entity/gateway
}

python() {
	install() { pypi openapi-python-client==0.29.1; }
	need python3
	once openapi-python-client-0.29.1 install
	mkdir "$work/py"
	cp "$example/client.py" "$work/py"
	echo 'post_hooks: []' >"$work/py/config.yaml"
	export BANYAN_GATEWAY_CLIENT="set -e; cd $work/py; export PYTHONPATH=$home/lib
		[ -e orders ] || python3 -m openapi_python_client generate --url \$GATEWAY/openapi.json --config config.yaml --meta none --output-path orders --fail-on-warning
		python3 client.py \$GATEWAY"
	try '^TestGeneratedClient$' ./services/entity/gateway
}

with 'the application in Node.js' application || failed=1
with 'a client by openapi-typescript' typescript || failed=1
with 'a client by openapi-python-client' python || failed=1
exit "$failed"
