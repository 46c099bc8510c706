#!/usr/bin/env bash
# Runs a command with one node of OpenSearch, the real server, at
# BANYAN_CONFORMANCE_OPENSEARCH:
#
#   infra/sandbox/conformance/opensearch.sh go test -run Peer ./consumers/search/opensearch
#
# Exits with the command's code. Its jars are fetched from Maven Central once, into
# $BANYAN_CACHE (default: .cache in the root of the repository); where that
# cannot be done, the reason is printed as SKIPPED and nothing is run.
set -euo pipefail
peer=opensearch
source "$(dirname "$0")/peer.sh"

version=2.19.6 # the last for Java 17

install() { maven "org.opensearch:opensearch:$version" "org.opensearch.plugin:transport-netty4-client:$version" org.apache.logging.log4j:log4j-core:2.25.4; }

start() {
	data=$(mktemp -d)
	exec java -Xmx512m -cp 'lib/*' "$here/OpenSearchNode.java" "$data" "$port"
}

need java mvn
once "opensearch-$version" install
serve
BANYAN_CONFORMANCE_OPENSEARCH=http://127.0.0.1:$port "$@"
