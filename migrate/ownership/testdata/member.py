"""A member in another language, by the letter of PROTOCOL.md: python3 member.py URL TABLE ENTITY FORBIDDEN

It prints a line for each write that it would make, and is as simple as can be: one
operation at a time, so that nothing runs while it acknowledges. FORBIDDEN is a file that
names a collection which it has no rights for. After SIGUSR1 it falls asleep at the worst
moment, between the record and the write, until SIGCONT.
"""
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
import uuid

url, table, entity, forbidden = sys.argv[1:5]
LEASE = 1.0
PARTITION = {"S": "entity#" + entity}
clock = lambda: time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def call(operation, **body):
    """Sends one request; None where its condition failed. A real one is signed by an SDK."""
    request = urllib.request.Request(url, json.dumps({"TableName": table, **body}).encode(), {
        "X-Amz-Target": "DynamoDB_20120810." + operation, "Content-Type": "application/x-amz-json-1.0",
        "Authorization": "AWS4-HMAC-SHA256 Credential=any/20160101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=any"})
    try:
        with urllib.request.urlopen(request, timeout=LEASE / 4) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refused:
        if "ConditionalCheckFailed" in refused.read().decode():
            return None
        raise


class Member:
    def __init__(self):
        self.beat, self.acked, self.problem = 0, 0, None
        self.register()

    def register(self):
        self.id, self.record, self.read_sent, self.renewed = uuid.uuid4().hex, None, None, None
        self.put()

    def put(self, **condition):
        self.beat += 1
        row = {"pk": PARTITION, "sk": {"S": "member#" + self.id}, "service": {"S": "python"}, "acked": {"N": str(self.acked)},
               "beat": {"N": str(self.beat)}, "leaseMs": {"N": str(int(LEASE * 1000))}, "inflight": {"N": "0"}, "names": {"BOOL": True}}
        if self.problem:
            row["problem"], row["problemRevision"] = {"S": self.problem}, {"N": str(self.record["revision"])}
        sent = clock()
        there = call("PutItem", Item=row, **condition) is not None
        if there:
            self.renewed = sent
        return there

    def read(self):
        sent = clock()
        item = call("GetItem", Key={"pk": PARTITION, "sk": {"S": "owner"}}, ConsistentRead=True).get("Item", {})
        text = lambda name: item.get(name, {}).get("S")
        self.record, self.read_sent = {
            "owner": text("owner") or "mongodb", "epoch": int(item.get("epoch", {"N": "1"})["N"]),
            "revision": int(item.get("revision", {"N": "0"})["N"]), "hold": item.get("hold", {}).get("BOOL", False),
            "collection": text("collection"), "moveTo": text("moveTo")}, sent

    def step(self):
        """Reads, probes, acknowledges and renews once."""
        self.read()
        r, self.problem = self.record, None
        if r["moveTo"] and not r["hold"] and os.path.exists(forbidden) and open(forbidden).read() == r["moveTo"]:
            self.problem = "no rights for " + r["moveTo"]
        if not self.problem:
            self.acked = max(self.acked, r["revision"])
        if not self.put(ConditionExpression="attribute_exists(pk)"):
            self.register()

    def write(self):
        """Makes a write, if one is admitted; the store is what the test reads."""
        if dozing:
            dozing.clear()
            print(json.dumps({"dozes": True}), flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
        if self.record is None or self.record["hold"] or clock() - min(self.read_sent, self.renewed) >= LEASE:
            return
        print(json.dumps({"revision": self.record["revision"], "owner": self.record["owner"], "epoch": self.record["epoch"],
                          "collection": self.record["collection"]}), flush=True)

    def leave(self):
        call("DeleteItem", Key={"pk": PARTITION, "sk": {"S": "member#" + self.id}})


leaving, dozing = [], []
signal.signal(signal.SIGTERM, lambda *_: leaving.append(True))
signal.signal(signal.SIGUSR1, lambda *_: dozing.append(True))
member = Member()
while not leaving:
    try:
        member.step()
    except OSError as failed:
        print(failed, file=sys.stderr)
    member.write()
    time.sleep(0.02)
member.leave()
