package main

import (
	"testing"
)

func TestWarehouseSchema(t *testing.T) {
	t.Setenv("SCHEMAS", "../../../events/social/testdata/asyncapi.json")
	check(t, "warehouse schema bigquery --table user_joined", 0, `"name": "joined_at"`, `"type": "TIMESTAMP"`)
	check(t, "warehouse schema athena --warehouse s3://acme/rows/", 0,
		"CREATE EXTERNAL TABLE `user_joined`", "LOCATION 's3://acme/rows/other/'", `CREATE VIEW "post_published_once"`)
	check(t, "warehouse schema redshift --table other --warehouse s3://acme/rows --role arn:aws:iam::1:role/load --day 2026-11-30", 0,
		"COPY \"other\" FROM 's3://acme/rows/other/dt=2026-11-30/'")
	check(t, "warehouse schema bigquery --table nothing", 2, `no type with a table "nothing"`)
	check(t, "warehouse schema bigquery", 2, "needs --table")
	check(t, "warehouse schema athena --warehouse s3://acme --day today", 2, "--day must be a day")
	check(t, "warehouse schema redshift --warehouse s3://acme", 2, "--role")
	t.Setenv("SCHEMAS", "main.go")
	check(t, "warehouse schema bigquery --table other", 2, "main.go", "AsyncAPI")
}
