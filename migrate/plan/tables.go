package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// TableInputs returns the definitions of the plan's target table and of the
// tables of its unique constraints: on demand. The target table has the stream that the way
// back reads, and the plan's indexes.
func (p *Plan) TableInputs() []*dynamodb.CreateTableInput {
	kinds := map[string]types.ScalarAttributeType{}
	var keys []string
	for _, a := range p.codec.KeyAttributes() {
		kinds[a.Name] = a.Kind
		keys = append(keys, a.Name)
	}
	for name, k := range p.IndexKeys() {
		kinds[name] = k.Kind
	}
	target := tableInput(p.Target.Table, kinds, keys...)
	target.StreamSpecification = Stream()
	target.GlobalSecondaryIndexes = p.globalIndexes()
	all := []*dynamodb.CreateTableInput{target}
	for _, u := range p.Unique {
		all = append(all, tableInput(u.Table, map[string]types.ScalarAttributeType{"value": types.ScalarAttributeTypeS}, "value"))
	}
	return all
}

// Stream is the stream of a target table: with whole items, before and after each change.
func Stream() *types.StreamSpecification {
	return &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages}
}

func tableInput(table string, kinds map[string]types.ScalarAttributeType, keys ...string) *dynamodb.CreateTableInput {
	in := &dynamodb.CreateTableInput{TableName: &table, BillingMode: types.BillingModePayPerRequest, KeySchema: keySchema(keys...)}
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: &name, AttributeType: kinds[name]})
	}
	return in
}

// keySchema is the schema of a partition key, and of a sort key behind it.
func keySchema(keys ...string) []types.KeySchemaElement {
	schema := []types.KeySchemaElement{{AttributeName: &keys[0], KeyType: types.KeyTypeHash}}
	if len(keys) > 1 {
		schema = append(schema, types.KeySchemaElement{AttributeName: &keys[1], KeyType: types.KeyTypeRange})
	}
	return schema
}

// Definition is a table as `banyan-migrate plan` shows it.
type Definition struct {
	Table   string            `json:"table"`
	Key     string            `json:"key"` // such as "id (S)"
	Stream  string            `json:"stream,omitempty"`
	TTL     string            `json:"ttl,omitempty"` // the attribute, from the verb complete on
	Indexes []IndexDefinition `json:"indexes,omitempty"`
}

// IndexDefinition is a global secondary index as `banyan-migrate plan` shows it.
type IndexDefinition struct {
	Name     string   `json:"name"`
	Key      string   `json:"key"`
	Projects string   `json:"projects"` // ALL, KEYS_ONLY or INCLUDE
	Includes []string `json:"includes,omitempty"`
}

// Definitions are the plan's tables as people read them.
func (p *Plan) Definitions() []Definition {
	var all []Definition
	for _, in := range p.TableInputs() {
		kinds := map[string]types.ScalarAttributeType{}
		for _, a := range in.AttributeDefinitions {
			kinds[*a.AttributeName] = a.AttributeType
		}
		d := Definition{Table: *in.TableName, Key: describeKey(in.KeySchema, kinds)}
		if in.StreamSpecification != nil {
			d.Stream = string(in.StreamSpecification.StreamViewType)
		}
		if p.TTL != nil && d.Table == p.Target.Table {
			d.TTL = p.TTL.Attribute
		}
		for _, x := range in.GlobalSecondaryIndexes {
			d.Indexes = append(d.Indexes, IndexDefinition{Name: *x.IndexName, Key: describeKey(x.KeySchema, kinds),
				Projects: string(x.Projection.ProjectionType), Includes: x.Projection.NonKeyAttributes})
		}
		all = append(all, d)
	}
	return all
}

// String is the definition in one line.
func (d Definition) String() string {
	text := fmt.Sprintf("%s: key %s", d.Table, d.Key)
	if d.Stream != "" {
		text += ", stream " + d.Stream
	}
	if d.TTL != "" {
		text += ", items expire by " + d.TTL + " from complete on"
	}
	for _, x := range d.Indexes {
		text += fmt.Sprintf(", index %s of %s with %s", x.Name, x.Key, strings.TrimSuffix(x.Projects+" "+strings.Join(x.Includes, " "), " "))
	}
	return text
}
