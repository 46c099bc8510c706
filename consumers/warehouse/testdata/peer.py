"""Loads the newline JSON of a table by its generated schema into DuckDB, through Parquet, and
prints the rows of the generated view, a JSON object each.

    peer.py FOLDER    with schema.json (BigQuery's form), view.sql, and the objects in rows/
"""
import json
import sys

import duckdb

folder = sys.argv[1]
types = {"STRING": "VARCHAR", "INTEGER": "BIGINT", "FLOAT": "DOUBLE", "BOOLEAN": "BOOLEAN", "TIMESTAMP": "TIMESTAMP"}
with open(folder + "/schema.json") as f:
    columns = {c["name"]: types[c["type"]] for c in json.load(f)}
db = duckdb.connect()
db.execute("CREATE TABLE loaded AS SELECT * FROM read_json($files, columns = $columns, format = 'newline_delimited', hive_partitioning = false)",
           {"files": folder + "/rows/*/*.json.gz", "columns": columns})
db.execute(f"COPY loaded TO '{folder}/rows.parquet' (FORMAT parquet)")
db.execute(f"CREATE TABLE order_placed AS SELECT * FROM read_parquet('{folder}/rows.parquet')")
with open(folder + "/view.sql") as f:
    db.execute(f.read())
rows = db.execute("SELECT * FROM order_placed_once")
names = [d[0] for d in rows.description]
for row in rows.fetchall():
    values = {n: v.strftime("%Y-%m-%d %H:%M:%S.%f") if hasattr(v, "strftime") else v for n, v in zip(names, row) if v is not None}
    print(json.dumps(values))
