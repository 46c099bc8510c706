#!/bin/sh
# Runs a command with BANYAN_CONFORMANCE_SQS set to a fresh moto server (PyPI
# moto[server]), installed into a virtual environment in a cache folder on
# first use.
#
#   infra/local/conformance/moto.sh go test -run Peer ./infra/local/sqs
#
# Exits with the command's code; without python3, or where the package cannot
# be had, prints SKIPPED and exits 0.
set -eu
VERSION=5.2.5
root=$(cd "$(dirname "$0")/../../.." && pwd)
cache=${BANYAN_CACHE:-$root/.cache}/moto-$VERSION

skip() {
	echo "SKIPPED moto: $1"
	exit 0
}

[ $# -gt 0 ] || { echo "usage: $0 command [args]" >&2; exit 2; }
command -v python3 >/dev/null || skip "python3 is not installed"
if [ ! -x "$cache/bin/moto_server" ]; then
	python3 -m venv "$cache" || skip "python3 has no venv module"
	"$cache/bin/pip" install -q --disable-pip-version-check "moto[server]==$VERSION" >"$cache/pip.log" 2>&1 ||
		skip "pip could not install it, see $cache/pip.log"
fi

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
log=$(mktemp)
server=
stop() {
	if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
	rm -f "$log"
}
trap stop EXIT
trap 'exit 130' INT TERM
"$cache/bin/moto_server" -H 127.0.0.1 -p "$port" >"$log" 2>&1 &
server=$!

tries=0
until python3 -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:$port/moto-api/')" 2>/dev/null; do
	tries=$((tries + 1))
	kill -0 "$server" 2>/dev/null || { cat "$log" >&2; echo "moto ended before it answered" >&2; exit 1; }
	[ $tries -lt 100 ] || { cat "$log" >&2; echo "moto did not answer in time" >&2; exit 1; }
	sleep 0.2
done

code=0
BANYAN_CONFORMANCE_SQS=http://127.0.0.1:$port "$@" || code=$?
exit $code
