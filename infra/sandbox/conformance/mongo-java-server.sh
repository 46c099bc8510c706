#!/usr/bin/env bash
# Runs a command with mongo-java-server, an independent implementation of
# MongoDB's wire protocol, at BANYAN_CONFORMANCE_MONGODB:
#
#   infra/sandbox/conformance/mongo-java-server.sh go test -run Peer ./infra/sandbox/mongodb
#
# Exits with the command's code. It is fetched from Maven Central once, into
# $BANYAN_CACHE (default: .cache in the root of the repository); where that
# cannot be done, the reason is printed as SKIPPED and nothing is run.
set -euo pipefail
peer=mongo-java-server
source "$(dirname "$0")/peer.sh"

version=1.46.0

install() {
	maven "de.bwaldvogel:mongo-java-server:$version" && source_of_peer >Peer.java && javac -cp 'lib/*' Peer.java
}

source_of_peer() {
	cat <<'JAVA'
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
        server.bind("127.0.0.1", Integer.parseInt(args[0]));
    }
}
JAVA
}

start() { exec java -Xmx512m -cp '.:lib/*' Peer "$port"; }

need java javac mvn
once "mongo-java-server-$version" install
serve
BANYAN_CONFORMANCE_MONGODB=mongodb://127.0.0.1:$port "$@"
