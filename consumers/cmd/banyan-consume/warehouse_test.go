package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/consumers/archive"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/events/social"
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

// TestWarehouseLoad makes rows of the days that are asked for.
func TestWarehouseLoad(t *testing.T) {
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("SCHEMAS", "../../../events/social/testdata/asyncapi.json")
	t.Setenv("ARCHIVE", t.TempDir())
	t.Setenv("WAREHOUSE", t.TempDir())
	writer := &archive.Writer{Store: archive.NewFiles(os.Getenv("ARCHIVE"))}
	for n := range 3 {
		e := streamtest.Event(t, social.UserJoined{UserID: "ada", Name: "Ada", JoinedAt: streamtest.Start})
		r := streamtest.Record(n, "ada", streamtest.Data(t, e))
		r.Kinesis.ApproximateArrivalTimestamp.Time = streamtest.Start.Add(time.Duration(n) * 24 * time.Hour)
		if _, err := writer.HandleKinesis(t.Context(), awsevents.KinesisEvent{Records: []awsevents.KinesisEventRecord{r}}); err != nil {
			t.Fatal(err)
		}
	}
	check(t, "warehouse load --first 2016-11-22 --last 2016-11-22", 0, "1 object of the archive, 1 row")
	check(t, "warehouse load", 0, "3 objects of the archive, 3 rows")
	if files, _ := filepath.Glob(os.Getenv("WAREHOUSE") + "/user_joined/dt=2016-11-2[123]/*.json.gz"); len(files) != 3 {
		t.Errorf("the rows are in %v", files)
	}
	check(t, "warehouse load --first today", 2, "must be a day")
	check(t, "warehouse load --archive gs://x", 2, "must be s3://")
}
