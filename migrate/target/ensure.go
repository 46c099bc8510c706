package target

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
)

// ensureTimeout bounds the creation of one table.
const ensureTimeout = 2 * time.Minute

// Ensure creates the tables that are missing, and returns the identities of all. It fails if
// one exists with another key than the plan's, without an index of the plan, or with a stream
// of other images. A table that it creates has no stream yet: see [Tables.EnsureStream].
func (t *Tables) Ensure(ctx context.Context) ([]Identity, error) {
	if err := t.conflict(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, ensureTimeout)
	defer cancel()
	for _, in := range t.Plan.TableInputs() {
		in.StreamSpecification = nil
		err := retry.Do(ctx, "create the table "+*in.TableName, func(ctx context.Context) error {
			return dynamo.EnsureTable(ctx, t.Client, in)
		})
		if err != nil {
			return nil, err
		}
	}
	return t.Identities(ctx)
}

// KeyConflict is a table that exists with another key than the plan's.
type KeyConflict struct {
	Table string
	Want  string // the key by the plan, such as "id (S)"
	Have  string // that of the table
}

// Error says what to do.
func (c *KeyConflict) Error() string {
	return fmt.Sprintf("the table %s exists with another key: it has %s, the plan needs %s; remove the table, or correct target.key or "+
		"the table's name in the plan",
		c.Table, c.Have, c.Want)
}

// conflict returns a [*KeyConflict] or an [*IndexConflict] of a table that exists, or an error
// about its stream, nil for none.
func (t *Tables) conflict(ctx context.Context) error {
	for _, in := range t.Plan.TableInputs() {
		table, err := t.describeTable(ctx, *in.TableName)
		if err != nil {
			return err
		}
		if table == nil {
			continue
		}
		if conflict := CompareKeys(table, in); conflict != nil {
			return conflict
		}
		for _, conflict := range CompareIndexes(table, in) {
			return conflict
		}
		if in.StreamSpecification != nil && hasOtherStream(table) {
			return otherStream(table)
		}
	}
	return nil
}

// CompareKeys holds the key of a table that exists against the one that it should have; it
// returns nil where they are the same.
func CompareKeys(exists *types.TableDescription, wanted *dynamodb.CreateTableInput) *KeyConflict {
	have := keyOf(exists.KeySchema, exists.AttributeDefinitions)
	want := keyOf(wanted.KeySchema, wanted.AttributeDefinitions)
	if have == want {
		return nil
	}
	return &KeyConflict{Table: *wanted.TableName, Want: want, Have: have}
}

// describeTable returns nil for a table that does not exist.
func (t *Tables) describeTable(ctx context.Context, table string) (*types.TableDescription, error) {
	var out *dynamodb.DescribeTableOutput
	err := retry.Do(ctx, "describe the table "+table, func(ctx context.Context) (err error) {
		out, err = t.Client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
		return err
	})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return out.Table, nil
}

// keyOf renders a table's key, such as "id (S)" or "pk (S), sk (N)".
func keyOf(schema []types.KeySchemaElement, attributes []types.AttributeDefinition) string {
	kinds := map[string]types.ScalarAttributeType{}
	for _, a := range attributes {
		kinds[aws.ToString(a.AttributeName)] = a.AttributeType
	}
	text := ""
	for i, k := range schema {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s (%s)", aws.ToString(k.AttributeName), kinds[aws.ToString(k.AttributeName)])
	}
	return text
}
