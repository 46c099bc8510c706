package dynamodb

import "time"

// tableSettings are what a table was told and only repeats.
type tableSettings struct {
	attributes []attributeDefinition
	onDemand   bool
	throughput throughput
}

func (s *tableSettings) setThroughput(t *throughput) {
	if t != nil {
		s.throughput = *t
	}
}

type tableDescription struct {
	TableName                 string
	TableArn                  string
	TableId                   string
	TableStatus               string
	CreationDateTime          epoch
	AttributeDefinitions      []attributeDefinition
	KeySchema                 keySchema
	ItemCount                 int
	TableSizeBytes            int
	ProvisionedThroughput     throughputDescription
	BillingModeSummary        *billing             `json:",omitempty"`
	GlobalSecondaryIndexes    []indexDescription   `json:",omitempty"`
	StreamSpecification       *streamSpecification `json:",omitempty"`
	LatestStreamArn           string               `json:",omitempty"`
	LatestStreamLabel         string               `json:",omitempty"`
	DeletionProtectionEnabled bool
}

type throughputDescription struct {
	throughput
	NumberOfDecreasesToday int
}

type billing struct {
	BillingMode                       string
	LastUpdateToPayPerRequestDateTime epoch
}

type indexDescription struct {
	IndexName             string
	IndexArn              string
	IndexStatus           string `json:",omitempty"`
	KeySchema             keySchema
	Projection            projection
	ItemCount             int
	IndexSizeBytes        int
	ProvisionedThroughput *throughputDescription `json:",omitempty"`
}

func (k keys) schema() keySchema {
	out := keySchema{{k.hash, "HASH"}}
	if k.sort != "" {
		out = append(out, keyElement{k.sort, "RANGE"})
	}
	return out
}

// describe is the table's description. The caller holds its lock, for reading at least.
func (t *table) describe(status string) tableDescription {
	d := tableDescription{
		TableName: t.name, TableArn: t.arn, TableId: t.id, TableStatus: status,
		CreationDateTime: epoch(t.created), AttributeDefinitions: t.description.attributes, KeySchema: t.keys.schema(),
		ItemCount: t.items.Len(), TableSizeBytes: t.bytes,
		ProvisionedThroughput: throughputDescription{throughput: t.description.throughput},
	}
	if t.description.onDemand {
		d.BillingModeSummary = &billing{"PAY_PER_REQUEST", epoch(t.created)}
	}
	for _, ix := range t.indexes {
		d.GlobalSecondaryIndexes = append(d.GlobalSecondaryIndexes, ix.describe(t))
	}
	if t.stream != nil {
		d.StreamSpecification = &streamSpecification{true, t.stream.view}
		d.LatestStreamArn, d.LatestStreamLabel = t.stream.arn, t.stream.label
	}
	return d
}

func (ix *index) describe(t *table) indexDescription {
	return indexDescription{
		IndexName: ix.name, IndexArn: t.arn + "/index/" + ix.name, KeySchema: ix.keys.schema(),
		Projection: projection{ix.projection, ix.nonKey}, ItemCount: ix.items.Len(), IndexSizeBytes: ix.bytes,
		IndexStatus: "ACTIVE", ProvisionedThroughput: &throughputDescription{throughput: t.description.throughput},
	}
}

// streamLabel is the label of a stream that is made now.
func streamLabel(now time.Time) string { return now.UTC().Format("2006-01-02T15:04:05.000") }
