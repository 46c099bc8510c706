#!/usr/bin/env bash
# Runs a command against DynamoDB Local, Amazon's own stand-in, with its address in
# BANYAN_CONFORMANCE_DYNAMODB:
#
#   infra/local/conformance/dynamodb-local.sh go test ./infra/local/dynamodb/...
#
# DynamoDB Local is fetched from Maven Central once, into $BANYAN_CACHE (default: .cache in the root
# of the repository). It needs Java 17 and Maven; where one of them is missing, or Maven Central
# cannot be reached, nothing is run and the reason is printed.
set -euo pipefail

version=${BANYAN_DYNAMODB_LOCAL_VERSION:-2.6.1}
root=$(cd "$(dirname "$0")/../../.." && pwd)
cache=${BANYAN_CACHE:-$root/.cache}
home=$cache/dynamodb-local-$version

skip() {
	echo "SKIPPED dynamodb-local: $1"
	exit 0
}

[ $# -gt 0 ] || { echo "usage: $0 command [argument...]" >&2; exit 2; }
command -v java >/dev/null || skip "java is not installed"

# install fetches the jars and native libraries into a directory that only gets its name when whole.
install() {
	command -v mvn >/dev/null || skip "mvn is not installed"
	mkdir -p "$cache"
	local stage
	stage=$(mktemp -d "$cache/dynamodb-local.XXXXXX")
	cat >"$stage/pom.xml" <<-POM
		<project xmlns="http://maven.apache.org/POM/4.0.0">
		  <modelVersion>4.0.0</modelVersion>
		  <groupId>local</groupId><artifactId>dynamodb-local</artifactId><version>1</version>
		  <dependencies><dependency>
		    <groupId>com.amazonaws</groupId><artifactId>DynamoDBLocal</artifactId><version>$version</version>
		  </dependency></dependencies>
		</project>
	POM
	if ! (cd "$stage" && mvn -q -B dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=lib >mvn.log 2>&1); then
		rm -rf "$cache/dynamodb-local-failed" && mv "$stage" "$cache/dynamodb-local-failed"
		skip "Maven could not fetch version $version; see $cache/dynamodb-local-failed/mvn.log"
	fi
	mv "$stage" "$home" 2>/dev/null || rm -rf "$stage" # another run was quicker
}

[ -d "$home/lib" ] || install

log=$(mktemp)
server=
stop() {
	if [ -n "$server" ]; then
		kill "$server" 2>/dev/null || true
		wait "$server" 2>/dev/null || true
	fi
	rm -f "$log"
}
trap stop EXIT
trap 'exit 130' INT TERM

answers() {
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# start tries ports until the server stays up on one and answers.
start() {
	local attempt port tick
	for attempt in 1 2 3 4 5; do
		port=$((20000 + RANDOM % 20000))
		answers "$port" && continue
		java -Djava.library.path="$home/lib" -cp "$home/lib/*" com.amazonaws.services.dynamodbv2.local.main.ServerRunner \
			-inMemory -port "$port" >"$log" 2>&1 &
		server=$!
		for tick in $(seq 300); do
			if answers "$port"; then
				export BANYAN_CONFORMANCE_DYNAMODB=http://127.0.0.1:$port
				return 0
			fi
			kill -0 "$server" 2>/dev/null || break
			sleep 0.2
		done
		kill "$server" 2>/dev/null || true
		wait "$server" 2>/dev/null || true
		server=
	done
	echo "dynamodb-local did not start:" >&2
	cat "$log" >&2
	return 1
}

start
"$@"
