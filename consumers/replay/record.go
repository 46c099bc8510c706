package replay

import (
	"encoding/json"
	"fmt"
	"strings"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/consumers/archive"
	"github.com/banyan-fig/banyan/events"
)

// delivered is a record as it is delivered.
type delivered struct {
	record awsevents.KinesisEventRecord
	events int
}

// maxPayload is Lambda's 6 MB, and overhead what a record takes beside its data and key.
const (
	maxPayload = 6 << 20
	overhead   = 1000
)

// size is at least what the record takes in a payload.
func (d delivered) size() int {
	return len(d.record.Kinesis.Data)*4/3 + 6*len(d.record.Kinesis.PartitionKey) + len(d.record.EventSourceArn) + overhead
}

// prepare makes records of those events of a record that keep wants.
func (r *Replay) prepare(record archive.Record) (all []delivered) {
	var kept []int
	for i, e := range record.Events {
		if r.Keep == nil || r.Keep(e) {
			kept = append(kept, i)
		}
	}
	if len(kept) == len(record.Events) {
		return []delivered{{r.kinesisRecord(record, ""), len(kept)}}
	}
	for _, i := range kept {
		one := record
		one.Events = record.Events[i : i+1]
		all = append(all, delivered{r.kinesisRecord(one, fmt.Sprintf(":%d", i)), 1})
	}
	return all
}

func (r *Replay) kinesisRecord(record archive.Record, suffix string) awsevents.KinesisEventRecord {
	region := strings.Split(r.StreamARN+":::", ":")[3]
	return awsevents.KinesisEventRecord{
		EventID: record.Shard + ":" + record.Sequence + suffix, EventName: "aws:kinesis:record", EventSource: "aws:kinesis",
		EventSourceArn: r.StreamARN, EventVersion: "1.0", AwsRegion: region,
		Kinesis: awsevents.KinesisRecord{
			ApproximateArrivalTimestamp: awsevents.SecondsEpochTime{Time: record.Arrived}, KinesisSchemaVersion: "1.0",
			PartitionKey: record.Events[0].Key, SequenceNumber: record.Sequence, Data: record.Data(),
		},
	}
}

func payload(batch []delivered) ([]byte, []string, error) {
	var e awsevents.KinesisEvent
	var sequences []string
	for _, d := range batch {
		e.Records = append(e.Records, d.record)
		sequences = append(sequences, d.record.Kinesis.SequenceNumber)
	}
	b, err := json.Marshal(e)
	return b, sequences, err
}

// group is the records of one shard.
type group struct {
	first, last events.Position
	batch       []delivered
}

// byShard sorts groups by their first record, as the records are.
func byShard(batch []delivered) (groups []*group) {
	index := map[string]*group{}
	for _, d := range batch {
		shard, _, _ := strings.Cut(d.record.EventID, ":")
		at := events.Position{Sequence: d.record.Kinesis.SequenceNumber}
		g := index[shard]
		if g == nil {
			g = &group{first: at}
			index[shard], groups = g, append(groups, g)
		}
		g.last, g.batch = at, append(g.batch, d)
	}
	return groups
}
