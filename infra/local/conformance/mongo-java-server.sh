#!/usr/bin/env bash
# Runs a command against mongo-java-server, an independent implementation of
# MongoDB's wire protocol, so that what our conformance suite demands is not
# only what our own sandbox does.
#
#   infra/local/conformance/mongo-java-server.sh go test ./infra/local/mongodb/...
#
# The command finds the server's address in BANYAN_CONFORMANCE_MONGODB. The
# server is fetched from Maven Central once, into $BANYAN_CACHE (default: .cache
# in the repository's root). Without java or mvn it prints SKIPPED and exits 0.
set -euo pipefail

version=1.46.0
here=${BASH_SOURCE[0]%/*}
root=$(cd "$here/../../.." && pwd)
cache=${BANYAN_CACHE:-$root/.cache}/mongo-java-server-$version

skip() { echo "SKIPPED mongo-java-server: $1"; exit 0; }

if [ $# -eq 0 ]; then
  echo "usage: $0 command [arguments]" >&2
  exit 2
fi
for tool in java javac mvn; do
  command -v "$tool" >/dev/null || skip "$tool is not installed"
done

if [ ! -f "$cache/complete" ]; then
  mkdir -p "$cache"
  cat >"$cache/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>banyan</groupId><artifactId>peer</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>de.bwaldvogel</groupId><artifactId>mongo-java-server</artifactId><version>$version</version></dependency>
  </dependencies>
</project>
POM
  cat >"$cache/Peer.java" <<'JAVA'
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.util.List;

// The driver talks to MongoDB 4.4 (wire version 9) and later only. This server
// calls itself 4.0, but knows the commands that a driver sends to a 4.4.
public class Peer implements MongoVersion {
    public List<Integer> getVersionArray() { return List.of(4, 4, 0); }
    public int getWireVersion() { return 9; }
    public String toVersionString() { return "4.4.0"; }

    public static void main(String[] args) {
        MemoryBackend backend = new MemoryBackend();
        backend.version(new Peer());
        MongoServer server = new MongoServer(backend);
        server.enableOplog();
        System.out.println(server.bindAndGetConnectionString());
    }
}
JAVA
  (cd "$cache" && timeout 300 mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >mvn.log 2>&1) ||
    skip "Maven could not fetch it, see $cache/mvn.log"
  javac -cp "$cache/lib/*" -d "$cache" "$cache/Peer.java"
  touch "$cache/complete"
fi

log=$(mktemp)
java -Xmx512m -cp "$cache:$cache/lib/*" Peer >"$log" 2>&1 &
server=$!
stop() {
  kill "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
  rm -f "$log"
}
trap stop EXIT

uri=
for _ in $(seq 100); do
  uri=$(grep -o 'mongodb://[0-9.:]*' "$log" | head -n 1 || true)
  hostport=${uri#mongodb://}
  if [ -n "$uri" ] && (exec 3<>"/dev/tcp/${hostport%:*}/${hostport#*:}") 2>/dev/null; then
    break
  fi
  if ! kill -0 "$server" 2>/dev/null; then
    cat "$log" >&2
    echo "mongo-java-server ended before it listened" >&2
    exit 1
  fi
  uri=
  sleep 0.2
done
if [ -z "$uri" ]; then
  cat "$log" >&2
  echo "mongo-java-server did not answer within 20 s" >&2
  exit 1
fi

BANYAN_CONFORMANCE_MONGODB=$uri "$@"
