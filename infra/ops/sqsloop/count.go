package sqsloop

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// The attributes of the item that counts a queue's loops.
const (
	attrLoops   = "loops"
	attrVersion = "version" // grows with each change of the count
)

// ErrLimit is returned when a queue already has its maximum or minimum of loops.
var ErrLimit = errors.New("the limit of loops is reached")

// errTokenDeleted is returned when another process deleted the token first.
var errTokenGone = errors.New("the token was deleted by another process")

// addLoop adds a loop, if there are fewer than limit, together with also, which may have
// conditions of its own. The count and the token are written in one
// transaction, so that two at once cannot go beyond the limit.
func (t *Tokens) addLoop(ctx context.Context, queue string, limit int, at time.Time, also ...types.TransactWriteItem) (Turn, error) {
	turn := Turn{Queue: queue, Token: t.newID(), Loop: t.newID()}
	token := key(queue, turn.Token)
	token[attrLoop], token[attrIteration], token[attrUsed] = dynamo.String(turn.Loop), dynamo.Int(0), dynamo.Int(at.UnixMilli())
	err := t.writeTransaction(ctx, append([]types.TransactWriteItem{
		t.countUpdate(queue, 1, "attribute_not_exists(loops) OR loops < :limit", limit),
		{Put: &types.Put{TableName: t.table(), Item: token, ConditionExpression: aws.String("attribute_not_exists(loop_id)")}},
	}, also...), ErrLimit, errTokenGone)
	if err != nil {
		return Turn{}, fmt.Errorf("sqsloop: add a loop to %s: %w", queue, err)
	}
	return turn, nil
}

// removeLoop deletes a token, if more than floor are left, together with also. Its loop
// ends at its next turn. The count guards the floor: of two calls that see two tokens
// and may leave one, the second finds a count of one.
func (t *Tokens) removeLoop(ctx context.Context, queue string, floor int, also ...types.TransactWriteItem) (string, error) {
	for {
		c, tokens, err := t.readTokens(ctx, queue)
		if err != nil {
			return "", err
		}
		if int(c.loops) <= floor || len(tokens) == 0 {
			return "", ErrLimit
		}
		victim := tokens[t.pick(len(tokens))].id
		err = t.writeTransaction(ctx, append([]types.TransactWriteItem{
			t.countUpdate(queue, -1, "loops > :limit", floor),
			{Delete: &types.Delete{TableName: t.table(), Key: key(queue, victim), ConditionExpression: aws.String("attribute_exists(loop_id)")}},
		}, also...), ErrLimit, errTokenGone)
		if errors.Is(err, errTokenGone) {
			continue // one token fewer to choose from
		}
		if err != nil {
			return "", fmt.Errorf("sqsloop: remove a loop from %s: %w", queue, err)
		}
		return victim, nil
	}
}

func (t *Tokens) countUpdate(queue string, by int64, condition string, limit int) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{
		TableName: t.table(), Key: key(queue, controlToken),
		UpdateExpression:          aws.String("ADD loops :by, version :one"),
		ConditionExpression:       &condition,
		ExpressionAttributeValues: item{":by": dynamo.Int(by), ":one": dynamo.Int(1), ":limit": dynamo.Int(int64(limit))},
	}}
}

// correctCount sets the count to the number of tokens, for a table that was edited by
// hand. The version ensures that no loop was added or removed since c was read.
func (t *Tokens) correctCount(ctx context.Context, queue string, c control, tokens int) error {
	values := item{":n": dynamo.Int(int64(tokens)), ":v": dynamo.Int(c.version), ":w": dynamo.Int(c.version + 1)}
	condition := "version = :v"
	if !c.known {
		condition = "attribute_not_exists(version)"
		delete(values, ":v")
	}
	_, err := t.Client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: t.table(), Key: key(queue, controlToken),
		UpdateExpression: aws.String("SET loops = :n, version = :w"), ConditionExpression: &condition,
		ExpressionAttributeValues: values,
	})
	if err != nil && !dynamo.IsConditionFailed(err) {
		return fmt.Errorf("sqsloop: correct the count of the loops of %s: %w", queue, err)
	}
	return nil
}

// writeTransaction writes all items or none. Of the conditions that failed, the error
// for the last is returned, failures being in the order of the items (more items
// than failures: errStale). The request keeps its token over all attempts: one
// that took effect, with its answer lost, is not repeated.
func (t *Tokens) writeTransaction(ctx context.Context, items []types.TransactWriteItem, failures ...error) error {
	in := &dynamodb.TransactWriteItemsInput{TransactItems: items, ClientRequestToken: aws.String(t.newID())}
	failed := error(nil)
	err := t.retry(ctx, func(ctx context.Context) error {
		_, err := t.Client.TransactWriteItems(ctx, in)
		if failed = conditionOf(err, failures); failed != nil {
			return nil // an answer, not a failure
		}
		return err
	})
	return errors.Join(failed, err)
}

// conditionOf finds the condition that cancelled a transaction, if one did.
func conditionOf(err error, failures []error) (failed error) {
	for i, reason := range dynamo.CancellationReasons(err) {
		if aws.ToString(reason.Code) != dynamo.CodeConditionFailed {
			continue
		}
		failed = errStale
		if i < len(failures) {
			failed = failures[i]
		}
	}
	return failed
}
