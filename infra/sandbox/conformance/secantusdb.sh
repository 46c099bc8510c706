#!/usr/bin/env bash
# Runs a command with SecantusDB, an independent MongoDB on the WiredTiger
# engine, as a replica set of one at BANYAN_CONFORMANCE_MONGODB:
#
#   infra/sandbox/conformance/secantusdb.sh go test -run Peer ./infra/sandbox/mongodb
#
# Exits with the command's code. It is installed by pip once, into
# $BANYAN_CACHE (default: .cache in the root of the repository); where that
# cannot be done, the reason is printed as SKIPPED and nothing is run. It is
# under the GPL: a tool to test with, and no part of what is built. Some of its
# faults are mended at the start, since a migration could not run at all.
set -euo pipefail
peer=SecantusDB
source "$(dirname "$0")/peer.sh"

version=0.7.0b3

# Wheels only, its source is all of WiredTiger. The empty file keeps it from
# looking for a configuration elsewhere.
install() { pypi --only-binary=:all: "secantusdb==$version" && : >secantusdb.toml; }

source_of_peer() {
	cat <<'PYTHON'
import sys
from uuid import uuid4
from secantus import commands
from secantus.cli import main
from secantus.storage import Storage

# A collection that MongoDB renames keeps its UUID, its validator and its other
# options. This server forgets them, and a migration follows the UUID.
rename = Storage.rename_collection

def rename_and_keep(self, src_db, src_coll, dst_db, dst_coll, **how):
    with self._lock:
        there = self._coll_options(src_db, src_coll) is not None
        kept = there and {**self.get_collection_options(src_db, src_coll), "uuid": self.collection_uuid(src_db, src_coll)}
        done = rename(self, src_db, src_coll, dst_db, dst_coll, **how)
        if kept and done[0]:
            self.set_collection_options(dst_db, dst_coll, **kept)
        return done

# Its $$NOW has a time zone and stored dates have none, so that every date is
# equal to it, and every lease has run out.
variables = commands._resolve_let_vars

def variables_without_zone(let):
    found = variables(let)
    return {**found, "NOW": found["NOW"].replace(tzinfo=None)}

# It gives a snapshot the time of the reply, when more may have been written.
find = commands._HANDLERS["find"]

def find_as_of(doc, ctx):
    with ctx.storage._coll_lock(ctx.db_name, doc["find"]):
        before = ctx.storage.peek_cluster_time()
        reply = find(doc, ctx)
    if (doc.get("readConcern") or {}).get("level") == "snapshot" and "cursor" in reply:
        reply["cursor"].setdefault("atClusterTime", before)
    return reply

# It accepts collMod of a view, and leaves it as it is.
modify = commands._HANDLERS["collMod"]

def modify_view(doc, ctx):
    reply = modify(doc, ctx)
    if reply.get("ok") and "viewOn" in doc:
        ctx.storage.set_collection_options(ctx.db_name, doc["collMod"], viewOn=doc["viewOn"], viewPipeline=doc.get("pipeline", []))
    return reply

# An update or a delete that finds no collection makes one.
uuid_of, update = Storage._collection_uuid, Storage.update_matching

def uuid_without_making(self, db, coll):
    return uuid_of(self, db, coll) if self._coll_options(db, coll) is not None else uuid4()

def update_without_making(self, db, coll, filter, change, *, upsert=False, **how):
    if not upsert and not self.collection_exists(db, coll):
        return dict(matched=0, modified=0, upserted_id=None, did_upsert=False, post_images=[])
    return update(self, db, coll, filter, change, upsert=upsert, **how)

Storage._collection_uuid, Storage.update_matching = uuid_without_making, update_without_making
Storage.rename_collection = rename_and_keep
commands._HANDLERS.update(find=find_as_of, collMod=modify_view)
commands._resolve_let_vars = variables_without_zone
sys.exit(main())
PYTHON
}

start() {
	PYTHONPATH=lib exec python3 -c "$(source_of_peer)" --config secantusdb.toml --host 127.0.0.1 --port "$port" \
		--storage-path :memory: --cache-size 256M --enable-test-commands --noop-heartbeat-seconds 1
}

need python3
python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
case $python in 3.1[0-3]) ;; *) skip "it has wheels for Python 3.10 to 3.13, python3 is $python" ;; esac
once "secantusdb-$version-python$python" install
serve
BANYAN_CONFORMANCE_MONGODB=mongodb://127.0.0.1:$port/?directConnection=true "$@"
