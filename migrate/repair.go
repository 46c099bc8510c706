package migrate

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/migrate/codec"
)

// repair applies the source's truth again and looks once more. It is stamped
// with a source time from before the source was read, so changes that are on
// their way still apply after it.
func (v *verifier) repair(ctx context.Context, wrong []Mismatch) ([]Mismatch, error) {
	ids := suspectIDs(wrong)
	at, err := v.e.sourceTime(ctx)
	if err != nil {
		return nil, err
	}
	docs, err := v.e.source.current(ctx, ids, v.epoch)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		ent, problem := v.e.target.expected(id, docs[idText(id)])
		if problem != nil {
			continue // it stays a mismatch, and says why
		}
		if _, err := v.e.target.apply(ctx, ent, at, anyItem); err != nil {
			return nil, fmt.Errorf("repair: %w", err)
		}
	}
	for _, m := range wrong {
		if m.Kind == MismatchLeftover {
			if err := v.e.target.dropLeftover(ctx, m.table, m.value); err != nil {
				return nil, fmt.Errorf("repair: %w", err)
			}
		}
	}
	return v.markRepaired(ctx, wrong)
}

func (v *verifier) markRepaired(ctx context.Context, wrong []Mismatch) ([]Mismatch, error) {
	still, err := v.e.recheck(ctx, wrong, v.epoch)
	if err != nil {
		return nil, err
	}
	bad := map[string]bool{}
	for _, m := range still {
		bad[idText(m.id)+m.value] = true
	}
	for i := range wrong {
		wrong[i].Repaired = !bad[idText(wrong[i].id)+wrong[i].value]
	}
	return wrong, nil
}

// dropLeftover removes a unique entry, provided it is still the one that was
// seen and no service has taken it.
func (t *target) dropLeftover(ctx context.Context, constraint int, value string) error {
	ask := make([][]string, len(t.plan.Unique))
	ask[constraint] = []string{value}
	_, held, err := t.get(ctx, nil, ask)
	if err != nil {
		return err
	}
	entry := held[constraint][value]
	if entry == nil {
		return nil
	}
	again, err := t.checkLeftovers(ctx, constraint, []codec.Item{entry})
	if err != nil || len(again) == 0 {
		return err
	}
	err = retry(ctx, "remove a unique entry", func(ctx context.Context) error {
		_, err := t.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &t.plan.Unique[constraint].Table, Key: uniqueKey(value),
			ConditionExpression:       aws.String("#owner = :owner AND attribute_not_exists(#b.#e)"),
			ExpressionAttributeNames:  map[string]string{"#owner": "owner", "#b": codec.Reserved, "#e": stampEpoch},
			ExpressionAttributeValues: map[string]types.AttributeValue{":owner": entry["owner"]}})
		return err
	})
	if conditionFailed(err) {
		return nil
	}
	return err
}
