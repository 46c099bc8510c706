package plan

import (
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/migrate/codec"
)

// TableInputs returns the definitions of the plan's target table and of the
// tables of its unique constraints: on demand, a partition key and no sort key.
func (p *Plan) TableInputs() []*dynamodb.CreateTableInput {
	kind := types.ScalarAttributeTypeS
	if t := p.Target.Key.Type; t == codec.TypeInt32 || t == codec.TypeInt64 {
		kind = types.ScalarAttributeTypeN
	}
	all := []*dynamodb.CreateTableInput{tableInput(p.Target.Table, p.codec.KeyAttribute(), kind)}
	for _, u := range p.Unique {
		all = append(all, tableInput(u.Table, "value", types.ScalarAttributeTypeS))
	}
	return all
}

func tableInput(table, key string, kind types.ScalarAttributeType) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{TableName: &table, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: &key, AttributeType: kind}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: &key, KeyType: types.KeyTypeHash}}}
}
