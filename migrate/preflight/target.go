package preflight

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/target"
)

// sampleItems is how many items of a table are looked at.
const sampleItems = 1000

// tableQuestions are those about the plan's tables.
func (w *world) tableQuestions() []question {
	var all []question
	for _, in := range w.Plan.TableInputs() {
		about := func(ask func(context.Context, *dynamodb.CreateTableInput) ([]Finding, error)) func(*world, context.Context) ([]Finding, error) {
			return func(_ *world, ctx context.Context) ([]Finding, error) { return ask(ctx, in) }
		}
		all = append(all,
			question{"table:" + *in.TableName, inDynamoDB, false, about(w.askTable)},
			question{"table-ttl:" + *in.TableName, inDynamoDB, false, about(w.askTableTTL)},
			question{"items:" + *in.TableName, inDynamoDB, false, about(w.askItems)})
	}
	return all
}

// describeTable returns nil for a table that does not exist.
func (w *world) describeTable(ctx context.Context, name string) (*types.TableDescription, error) {
	out, err := w.DynamoDB.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return out.Table, nil
}

// streamMeans says what comes of the stream of a table that run creates.
func streamMeans(in *dynamodb.CreateTableInput) string {
	if in.StreamSpecification == nil {
		return ""
	}
	return ", with a stream of new and old images; the way back reads it, and needs " + streamRights
}

const streamRights = "dynamodb:DescribeStream, GetShardIterator and GetRecords on it"

// askStream looks at the stream of the target table.
func askStream(name string, t *types.TableDescription) []Finding {
	s := t.StreamSpecification
	switch {
	case s == nil || !aws.ToBool(s.StreamEnabled):
		return []Finding{told("table-stream:"+name, "the table "+name+" has no stream",
			"run enables one with new and old images, for which it needs dynamodb:UpdateTable; the way back reads it, and needs "+streamRights, "")}
	case s.StreamViewType != types.StreamViewTypeNewAndOldImages:
		return []Finding{stops("table-stream:"+name, fmt.Sprintf("the stream of the table %s has %s", name, s.StreamViewType),
			"the way back needs new and old images, and those of a stream cannot be changed",
			"disable it once its readers can do with NEW_AND_OLD_IMAGES; run enables it anew")}
	}
	return []Finding{told("table-stream:"+name, "the table "+name+" has a stream of new and old images",
		"the way back reads it, and needs "+streamRights, "at most two readers of a shard are not throttled: keep it to one beside")}
}

func (w *world) askTable(ctx context.Context, in *dynamodb.CreateTableInput) ([]Finding, error) {
	name := *in.TableName
	t, err := w.describeTable(ctx, name)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return []Finding{told("table:"+name, "the table "+name+" does not exist",
			"run creates it, on demand and without deletion protection"+streamMeans(in), "")}, nil
	}
	if c := target.CompareKeys(t, in); c != nil {
		return []Finding{stops("table-key:"+name, fmt.Sprintf("the table %s exists with another key: it has %s, the plan needs %s",
			name, c.Have, c.Want),
			"", "remove the table, or correct target.key or the table's name in the plan")}, nil
	}
	if t.TableStatus != types.TableStatusActive {
		return []Finding{stops("table:"+name, fmt.Sprintf("the table %s is %s", name, t.TableStatus), "nothing can be written to it",
			"wait until it is ACTIVE")}, nil
	}
	if c := target.CompareIndexes(t, in); len(c) > 0 {
		return []Finding{stops("table-index:"+name+"/"+c[0].Index, c[0].Error(), "", "")}, nil
	}
	if name == w.Plan.Target.Table {
		w.indexKeys = indexKeys(t)
	}
	found := []Finding{told("table:"+name, "the table "+name+" exists: "+describeSettings(t), "", "")}
	if in.StreamSpecification != nil {
		found = append(found, askStream(name, t)...)
	}
	units := int64(0)
	if t.ProvisionedThroughput != nil {
		units = aws.ToInt64(t.ProvisionedThroughput.WriteCapacityUnits)
	}
	if units > 0 && units < int64(w.Plan.Budgets.WriteRate) {
		found = append(found, told("capacity:"+name,
			fmt.Sprintf("the table %s has %d write units a second, and budgets.writeRate is %d", name, units, w.Plan.Budgets.WriteRate),
			"the copy is throttled, and the service's writes with it", "raise the table's capacity, or lower budgets.writeRate and run with --throttle"))
	}
	return found, nil
}

// indexKeys returns the keys of the table's secondary indexes, and their types.
func indexKeys(t *types.TableDescription) map[string]plan.IndexKey {
	keys := map[string]plan.IndexKey{}
	for _, a := range t.AttributeDefinitions { // has only keys: of the table, and of its indexes
		keys[aws.ToString(a.AttributeName)] = plan.IndexKey{Kind: a.AttributeType, Max: codec.MaxKeySize}
	}
	for _, k := range t.KeySchema {
		delete(keys, aws.ToString(k.AttributeName))
	}
	return keys
}

// describeSettings says what a table has besides its key.
func describeSettings(t *types.TableDescription) string {
	words := []string{"on demand", "no stream", "deletion protection off"}
	if p := t.ProvisionedThroughput; p != nil && aws.ToInt64(p.WriteCapacityUnits) > 0 {
		words[0] = fmt.Sprintf("%d read and %d write units a second", aws.ToInt64(p.ReadCapacityUnits), aws.ToInt64(p.WriteCapacityUnits))
	}
	if s := t.StreamSpecification; s != nil && aws.ToBool(s.StreamEnabled) {
		words[1] = "stream " + string(s.StreamViewType)
	}
	if aws.ToBool(t.DeletionProtectionEnabled) {
		words[2] = "deletion protection on"
	}
	for _, i := range t.GlobalSecondaryIndexes {
		words = append(words, "index "+aws.ToString(i.IndexName))
	}
	for _, i := range t.LocalSecondaryIndexes {
		words = append(words, "local index "+aws.ToString(i.IndexName))
	}
	for _, r := range t.Replicas {
		words = append(words, "replica in "+aws.ToString(r.RegionName))
	}
	return strings.Join(words, ", ")
}

func (w *world) askTableTTL(ctx context.Context, in *dynamodb.CreateTableInput) ([]Finding, error) {
	out, err := w.DynamoDB.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: in.TableName})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	by := target.ExpiresBy(out.TimeToLiveDescription)
	switch {
	case by == "":
		return nil, nil
	case w.Plan.TTL != nil && by != w.Plan.TTL.Attribute && *in.TableName == w.Plan.Target.Table:
		return []Finding{stops("table-ttl:"+*in.TableName, fmt.Sprintf("the table %s deletes items by their attribute %s, the plan says %s",
			*in.TableName, by, w.Plan.TTL.Attribute), "", "correct ttl.attribute in the plan, or switch it off")}, nil
	}
	return []Finding{acknowledge("table-ttl:"+*in.TableName, fmt.Sprintf("the table %s deletes items by their attribute %s",
		*in.TableName, by),
		"what it deletes before the migration is complete, a late copy may bring back, and verify reports as missing unless the plan's ttl says that it has expired",
		"switch it off; complete switches it on where the plan has a ttl")}, nil
}

// askItems looks at some items of a table that exists already: whose they are.
func (w *world) askItems(ctx context.Context, in *dynamodb.CreateTableInput) ([]Finding, error) {
	name := *in.TableName
	scan := &dynamodb.ScanInput{TableName: &name, Limit: aws.Int32(sampleItems), ConsistentRead: aws.Bool(true)}
	out, err := w.DynamoDB.Scan(ctx, scan)
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return nil, nil
	}
	if err != nil || len(out.Items) == 0 {
		return nil, err
	}
	var copied, owned, strange int
	for _, item := range out.Items {
		switch s := stamp.Of(item); {
		case s.HasTime && stamp.IsMongoDBs(s.Epoch), s.Barrier != "": // one that a dead process left
			copied++
		case s.HasEpoch:
			owned++
		default:
			strange++
		}
	}
	what := fmt.Sprintf("the table %s holds items already: of %d looked at, a migration copied %d, an owning service wrote %d, and %d are of neither",
		name, len(out.Items), copied, owned, strange)
	switch {
	case strange > 0:
		return []Finding{acknowledge("items:"+name, what,
			"those of neither are never overwritten: the copy stops at the first that is in its way",
			"empty the table, or name another in the plan")}, nil
	case w.record.Phase == ownership.Legacy:
		return []Finding{acknowledge("items:"+name, what,
			"this control table has copied nothing yet, so that they are of another migration or of an abandoned one",
			"check AWS_REGION and BANYAN_CONTROL_TABLE; empty the table, or name another in the plan")}, nil
	}
	return []Finding{told("items:"+name, what, "", "")}, nil
}
