#!/usr/bin/env bash
# Runs h2spec against banyan-proxy, and the cases of legacy routes against banyan-proxy, nginx
# and HAProxy, and prints a table of the cases that any of them fails, with the reason. Exits
# with 1 where banyan-proxy fails one: what the others do varies, and is only told. nginx and HAProxy are installed from Debian's packages where they are missing
# and this is root, with their services disabled; else they are SKIPPED by name.
set -euo pipefail
cd "$(dirname "$0")/../.."

missing=()
for program in nginx haproxy; do
	command -v "$program" >/dev/null || missing+=("$program")
done
if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "installing ${missing[*]}" >&2
	if timeout 60 apt-get install -y --no-install-recommends "${missing[@]}" >/dev/null && command -v systemctl >/dev/null; then
		systemctl disable --now "${missing[@]}" >/dev/null 2>&1 || true # there may be no systemd that runs
	fi
fi

for program in "${missing[@]}"; do
	command -v "$program" >/dev/null || echo "SKIPPED $program: it is not installed"
done

table=$(mktemp)
h2=$(mktemp -d)
trap 'rm -rf "$table" "$h2"' EXIT
GOFLAGS=-mod=mod GOBIN=$h2 timeout 60 "${GO:-go}" install github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible ||
	echo "SKIPPED h2spec: it cannot be had"
status=0
[ ! -x "$h2/h2spec" ] || BANYAN_CONFORMANCE_H2SPEC=$h2/h2spec "${GO:-go}" test -count=1 -timeout=10m -run '^TestHTTP2Conforms$' -v ./proxy || status=$?
BANYAN_CONFORMANCE_PROXIES=$table "${GO:-go}" test -count=1 -timeout=10m -run '^TestPeersConform$' ./proxy || status=$?
cat "$table"
exit "$status"
