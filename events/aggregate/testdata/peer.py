"""The other side of the peer test: aws-kinesis-agg reads and writes aggregates.

Standard input is one JSON object a line, standard output one for each:
  {"decode": base64}            -> [[partition key, explicit hash key or null, base64], ...]
  {"encode": [[key, hash, base64], ...]} -> base64
"""

import base64
import json
import sys

from aws_kinesis_agg import aggregator, deaggregator


def decode(data):
    record = {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "sequenceNumber": "1",
            "partitionKey": "outer",
            "approximateArrivalTimestamp": 0,
            "data": data,
        },
        "eventID": "shardId-0:1",
        "eventVersion": "1.0",
        "eventSource": "aws:kinesis",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "x",
        "awsRegion": "x",
        "eventSourceARN": "x",
    }
    return [
        [k["partitionKey"], k.get("explicitHashKey") or None, k["data"].decode()]
        for k in (r["kinesis"] for r in deaggregator.deaggregate_records([record]))
    ]


def encode(records):
    out = aggregator.RecordAggregator()
    for key, hash_key, data in records:
        out.add_user_record(key, base64.b64decode(data), hash_key)
    return base64.b64encode(out.clear_and_get().get_contents()[2]).decode()


for line in sys.stdin:
    request = json.loads(line)
    if "decode" in request:
        answer = decode(request["decode"])
    else:
        answer = encode(request["encode"])
    print(json.dumps(answer), flush=True)
