#!/bin/sh
# Runs a command with BANYAN_CONFORMANCE_KINESIS set to a fresh kinesis-local
# (npm package of kinesis-mock), installed into a cache folder on first use.
#
#   infra/local/conformance/kinesis-local.sh go test -run Peer ./infra/local/kinesis
#
# Exits with the command's code; without node or npm, or where the package
# cannot be had, prints SKIPPED and exits 0.
set -eu
VERSION=0.6.2
root=$(cd "$(dirname "$0")/../../.." && pwd)
cache=${BANYAN_CACHE:-$root/.cache}/kinesis-local-$VERSION

skip() {
	echo "SKIPPED kinesis-local: $1"
	exit 0
}

[ $# -gt 0 ] || { echo "usage: $0 command [args]" >&2; exit 2; }
command -v node >/dev/null || skip "node is not installed"
command -v npm >/dev/null || skip "npm is not installed"
package=$cache/node_modules/kinesis-local
if [ ! -f "$package/main.js" ]; then
	mkdir -p "$cache"
	npm install --silent --no-audit --no-fund --prefix "$cache" "kinesis-local@$VERSION" >"$cache/npm.log" 2>&1 ||
		skip "npm could not install it, see $cache/npm.log"
fi

# Two ports that nobody listens on now.
ports=$(node -e '
const net = require("net"), a = net.createServer(), b = net.createServer();
a.listen(0, "127.0.0.1", () => b.listen(0, "127.0.0.1", () => {
	console.log(a.address().port + " " + b.address().port);
	a.close(); b.close();
}));')
plain=${ports% *}
tls=${ports#* }

log=$(mktemp)
server=
stop() {
	if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
	rm -f "$log"
}
trap stop EXIT
trap 'exit 130' INT TERM
cd "$package"
KINESIS_MOCK_PLAIN_PORT=$plain KINESIS_MOCK_TLS_PORT=$tls LOG_LEVEL=ERROR node main.js >"$log" 2>&1 &
server=$!
cd - >/dev/null

tries=0
until node -e "fetch('http://127.0.0.1:$plain/').then(() => {}, () => process.exit(1))"; do
	tries=$((tries + 1))
	kill -0 "$server" 2>/dev/null || { cat "$log" >&2; echo "kinesis-local ended before it answered" >&2; exit 1; }
	[ $tries -lt 100 ] || { cat "$log" >&2; echo "kinesis-local did not answer in time" >&2; exit 1; }
	sleep 0.2
done

code=0
BANYAN_CONFORMANCE_KINESIS=http://127.0.0.1:$plain "$@" || code=$?
exit $code
