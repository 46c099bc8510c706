package target

import (
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// IndexConflict is an index of the plan that a table that exists has not, or has otherwise.
type IndexConflict struct {
	Table, Index string
	Want, Have   string // such as "tenant (S), at (S) with ALL"; Have is "" for none
}

// Error says what to do.
func (c *IndexConflict) Error() string {
	if c.Have == "" {
		return fmt.Sprintf("the table %s exists without the index %s of the plan (%s); add it to the table and wait until it is ACTIVE, "+
			"or take it out of the plan", c.Table, c.Index, c.Want)
	}
	return fmt.Sprintf("the index %s of the table %s differs from the plan's: it has %s, the plan needs %s; make it anew, or correct the plan",
		c.Index, c.Table, c.Have, c.Want)
}

// CompareIndexes holds the indexes of a table that exists against those that it should have.
// Further indexes do no harm.
func CompareIndexes(exists *types.TableDescription, wanted *dynamodb.CreateTableInput) []*IndexConflict {
	var all []*IndexConflict
	for _, want := range wanted.GlobalSecondaryIndexes {
		c := &IndexConflict{Table: *wanted.TableName, Index: *want.IndexName,
			Want: indexOf(want.KeySchema, wanted.AttributeDefinitions, want.Projection)}
		for _, have := range exists.GlobalSecondaryIndexes {
			if aws.ToString(have.IndexName) != c.Index {
				continue
			}
			if c.Have = indexOf(have.KeySchema, exists.AttributeDefinitions, have.Projection); have.IndexStatus == types.IndexStatusDeleting {
				c.Have = "it is being deleted"
			}
		}
		if c.Have != c.Want {
			all = append(all, c)
		}
	}
	return all
}

func indexOf(schema []types.KeySchemaElement, attributes []types.AttributeDefinition, p *types.Projection) string {
	text := keyOf(schema, attributes)
	if p != nil {
		text += " with " + string(p.ProjectionType)
		for _, name := range slices.Sorted(slices.Values(p.NonKeyAttributes)) {
			text += " " + name
		}
	}
	return text
}
