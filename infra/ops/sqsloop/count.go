package sqsloop

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// The attributes of the item that counts a queue's loops.
const (
	attrLoops   = "loops"
	attrVersion = "version" // grows with each change of the count
)

// ErrLimit says that a queue has as many loops as it may, or as few.
var ErrLimit = errors.New("the limit of loops is reached")

// errVictim says that somebody else deleted the token first.
var errVictim = errors.New("the token to delete is gone")

// up adds a loop, if there are fewer than limit, together with also, which may
// hold conditions of its own. The count and the token are written in one
// transaction, so that two at once cannot go beyond the limit.
func (t *Tokens) up(ctx context.Context, queue string, limit int, at time.Time, also ...types.TransactWriteItem) (Turn, error) {
	turn := Turn{Queue: queue, Token: t.newID(), Loop: t.newID()}
	token := key(queue, turn.Token)
	token[attrLoop], token[attrIteration], token[attrUsed] = str(turn.Loop), num(0), num(at.UnixMilli())
	err := t.transact(ctx, append([]types.TransactWriteItem{
		t.count(queue, 1, "attribute_not_exists(loops) OR loops < :limit", limit),
		{Put: &types.Put{TableName: t.table(), Item: token, ConditionExpression: aws.String("attribute_not_exists(loop_id)")}},
	}, also...), ErrLimit, errVictim)
	if err != nil {
		return Turn{}, fmt.Errorf("sqsloop: add a loop to %s: %w", queue, err)
	}
	return turn, nil
}

// down deletes a token, if more than floor are left, together with also. Its
// loop ends at its next turn. The count guards the floor: of two that see two
// tokens and mean to leave one, the second finds a count of one.
func (t *Tokens) down(ctx context.Context, queue string, floor int, also ...types.TransactWriteItem) (string, error) {
	for {
		c, tokens, err := t.read(ctx, queue)
		if err != nil {
			return "", err
		}
		if int(c.loops) <= floor || len(tokens) == 0 {
			return "", ErrLimit
		}
		victim := tokens[t.pick(len(tokens))].id
		err = t.transact(ctx, append([]types.TransactWriteItem{
			t.count(queue, -1, "loops > :limit", floor),
			{Delete: &types.Delete{TableName: t.table(), Key: key(queue, victim), ConditionExpression: aws.String("attribute_exists(loop_id)")}},
		}, also...), ErrLimit, errVictim)
		if errors.Is(err, errVictim) {
			continue // one token fewer to choose from
		}
		if err != nil {
			return "", fmt.Errorf("sqsloop: take a loop from %s: %w", queue, err)
		}
		return victim, nil
	}
}

func (t *Tokens) count(queue string, by int64, condition string, limit int) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{
		TableName: t.table(), Key: key(queue, controlToken),
		UpdateExpression:          aws.String("ADD loops :by, version :one"),
		ConditionExpression:       &condition,
		ExpressionAttributeValues: item{":by": num(by), ":one": num(1), ":limit": num(int64(limit))},
	}}
}

// repair sets the count to the number of tokens, for a table that somebody has
// edited. The version makes sure that no loop came or went since c was read.
func (t *Tokens) repair(ctx context.Context, queue string, c control, tokens int) error {
	values := item{":n": num(int64(tokens)), ":v": num(c.version), ":w": num(c.version + 1)}
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
	if err != nil && !isCondition(err) {
		return fmt.Errorf("sqsloop: correct the count of the loops of %s: %w", queue, err)
	}
	return nil
}

// transact writes all items or none. Of the conditions that failed, the error
// for the last is returned, failures being in the order of the items (more items
// than failures: errStale). The request keeps its token over all attempts: one
// that took effect, with its answer lost, is not repeated.
func (t *Tokens) transact(ctx context.Context, items []types.TransactWriteItem, failures ...error) error {
	in := &dynamodb.TransactWriteItemsInput{TransactItems: items, ClientRequestToken: aws.String(t.newID())}
	failed := error(nil)
	err := t.persist(ctx, func(ctx context.Context) error {
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
	var cancelled *types.TransactionCanceledException
	if !errors.As(err, &cancelled) {
		return nil
	}
	for i, reason := range cancelled.CancellationReasons {
		if aws.ToString(reason.Code) != "ConditionalCheckFailed" {
			continue
		}
		failed = errStale
		if i < len(failures) {
			failed = failures[i]
		}
	}
	return failed
}
