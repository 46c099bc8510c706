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

// Ensure creates the tables that are missing, and fails if one exists with another key
// than the plan's.
func (t *Tables) Ensure(ctx context.Context) error {
	conflicts, err := t.KeyConflicts(ctx)
	if err != nil {
		return err
	}
	for _, conflict := range conflicts {
		return conflict
	}
	ctx, cancel := context.WithTimeout(ctx, ensureTimeout)
	defer cancel()
	for _, in := range t.Plan.TableInputs() {
		err := retry.Do(ctx, "create the table "+*in.TableName, func(ctx context.Context) error {
			return dynamo.EnsureTable(ctx, t.Client, in)
		})
		if err != nil {
			return err
		}
	}
	return nil
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

// KeyConflicts returns the tables of the plan that exist with another key.
func (t *Tables) KeyConflicts(ctx context.Context) ([]*KeyConflict, error) {
	var all []*KeyConflict
	for _, in := range t.Plan.TableInputs() {
		table, err := t.describeTable(ctx, *in.TableName)
		if err != nil {
			return nil, err
		}
		want := keyOf(in.KeySchema, in.AttributeDefinitions)
		if table == nil {
			continue
		}
		if have := keyOf(table.KeySchema, table.AttributeDefinitions); have != want {
			all = append(all, &KeyConflict{Table: *in.TableName, Want: want, Have: have})
		}
	}
	return all, nil
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
