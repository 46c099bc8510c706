package sqsloop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/awserr"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// DefaultTable is the name of the token table where none is set.
const DefaultTable = "banyan-loops"

// The attributes of the table. Items whose sort key begins with reserved are no
// tokens.
const (
	attrQueue     = "queue" // partition key: the queue's URL
	attrToken     = "token" // sort key
	attrLoop      = "loop_id"
	attrIteration = "iteration"
	attrClaim     = "claim"
	attrUsed      = "last_used" // milliseconds since 1970; 0 for released
	reserved      = "#"
	controlToken  = "#loops"
	alarmToken    = "#alarm/"
)

// Why a turn does not run. All are conditions that failed, not writes: the loop
// has ended, or another execution continues it.
var (
	// ErrGone: the token was deleted, since the queue was scaled down.
	ErrGone = errors.New("the token was deleted")
	// ErrTakenOver: a restart gave the token to another loop.
	ErrTakenOver = errors.New("the token was taken over by another loop")
	// ErrDuplicate: another execution has run, or runs, this turn.
	ErrDuplicate = errors.New("the turn was run before")
)

// endsLoop reports whether err is a failed condition, which ends the loop here.
func endsLoop(err error) bool {
	return errors.Is(err, ErrGone) || errors.Is(err, ErrTakenOver) || errors.Is(err, ErrDuplicate)
}

// DynamoDB is what is used of its client.
type DynamoDB interface {
	UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, optFns ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
	Query(ctx context.Context, in *dynamodb.QueryInput, optFns ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, optFns ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
}

// Tokens is the token table. Its methods are safe for concurrent use.
type Tokens struct {
	Client DynamoDB
	// Table is its name; "" means [DefaultTable].
	Table string
	// NewID makes tokens, loop ids and claims; nil means random UUIDs.
	NewID func() string
	// Pick chooses one of n, for scaling down; nil chooses at random.
	Pick func(n int) int
	// Patience is how long a request is tried again that was throttled or lost.
	// 0: 5 s.
	Patience time.Duration
}

// CreateTableInput is the table as it has to be: on demand, keyed by queue and
// token.
func CreateTableInput(name string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName:   &name,
		BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String(attrQueue), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String(attrToken), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String(attrQueue), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String(attrToken), KeyType: types.KeyTypeRange},
		},
	}
}

func (t *Tokens) table() *string {
	if t.Table == "" {
		return aws.String(DefaultTable)
	}
	return &t.Table
}

func (t *Tokens) newID() string {
	if t.NewID == nil {
		return uuid.NewString()
	}
	return t.NewID()
}

func (t *Tokens) pick(n int) int {
	if t.Pick == nil {
		return rand.IntN(n)
	}
	return t.Pick(n)
}

func (t *Tokens) retry(ctx context.Context, do func(context.Context) error) error {
	return retryFor(ctx, cmp.Or(t.Patience, defaultPatience), isPermanent, do)
}

// isPermanent reports whether another attempt cannot help: a failed condition, or a
// request that DynamoDB refused.
func isPermanent(err error) bool { return endsLoop(err) || awserr.IsPermanent(err) }

type item = dynamo.Item

func key(queue, token string) item {
	return item{attrQueue: dynamo.String(queue), attrToken: dynamo.String(token)}
}

// intOf reads what this package wrote, 0 where the table was edited by hand.
func intOf(i item, name string) int64 {
	n, _ := dynamo.IntOf(i, name)
	return n
}

// claimTurn claims a turn for this execution: the one write that decides which execution
// runs it. It succeeds for the turn that the table expects next, and for a claim whose
// answer was lost.
func (t *Tokens) claimTurn(ctx context.Context, turn Turn, claim string, at time.Time) error {
	values := item{
		":loop":  dynamo.String(turn.Loop),
		":this":  dynamo.Int(turn.Iteration),
		":next":  dynamo.Int(turn.Iteration + 1),
		":claim": dynamo.String(claim),
		":now":   dynamo.Int(at.UnixMilli()),
	}
	condition := "loop_id = :loop AND (iteration = :this"
	for i, tried := range turn.Tried {
		name := ":tried" + strconv.Itoa(i)
		condition += " OR (iteration = :next AND claim = " + name + ")"
		values[name] = dynamo.String(tried)
	}
	return t.updateToken(ctx, turn, claim, "SET iteration = :next, claim = :claim, last_used = :now", condition+")", values)
}

// sendHeartbeat writes the time for the execution with this claim, once.
func (t *Tokens) sendHeartbeat(ctx context.Context, turn Turn, claim string, at time.Time) error {
	return t.updateTokenOnce(ctx, turn, claim, "SET last_used = :now", "loop_id = :loop AND claim = :claim",
		item{":loop": dynamo.String(turn.Loop), ":claim": dynamo.String(claim), ":now": dynamo.Int(at.UnixMilli())})
}

// markForRestart notes that the execution with this claim could not start the next turn,
// so that the next restart need not wait for the token to grow stale.
func (t *Tokens) markForRestart(ctx context.Context, turn Turn, claim string) error {
	return t.updateToken(ctx, turn, claim, "SET last_used = :never", "loop_id = :loop AND claim = :claim",
		item{":loop": dynamo.String(turn.Loop), ":claim": dynamo.String(claim), ":never": dynamo.Int(0)})
}

// markUnclaimedForRestart is the same for a loop whose first turn was not started.
func (t *Tokens) markUnclaimedForRestart(ctx context.Context, turn Turn) error {
	return t.updateToken(ctx, turn, "", "SET last_used = :never", "loop_id = :loop AND iteration = :this",
		item{":loop": dynamo.String(turn.Loop), ":this": dynamo.Int(turn.Iteration), ":never": dynamo.Int(0)})
}

func (t *Tokens) updateToken(ctx context.Context, turn Turn, claim, update, condition string, values item) error {
	return t.retry(ctx, func(ctx context.Context) error { return t.updateTokenOnce(ctx, turn, claim, update, condition, values) })
}

// updateTokenOnce changes a token once. A condition that failed because an earlier
// attempt took effect, with its answer lost, counts as success.
func (t *Tokens) updateTokenOnce(ctx context.Context, turn Turn, claim, update, condition string, values item) error {
	_, err := t.Client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: t.table(), Key: key(turn.Queue, turn.Token), UpdateExpression: &update, ConditionExpression: &condition,
		ExpressionAttributeValues:           values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	var failed *types.ConditionalCheckFailedException
	switch {
	case err == nil:
		return nil
	case errors.As(err, &failed):
		return conditionError(failed.Item, turn, claim)
	}
	return fmt.Errorf("sqsloop: token %s of %s in table %s: %w", turn.Token, turn.Queue, *t.table(), err)
}

// conditionError returns why a condition on a token failed, given the item; nil where an
// earlier attempt took effect.
func conditionError(there item, turn Turn, claim string) error {
	switch {
	case len(there) == 0:
		return ErrGone
	case dynamo.StringOf(there, attrLoop) != turn.Loop:
		return ErrTakenOver
	case claim != "" && dynamo.StringOf(there, attrClaim) == claim:
		return nil
	}
	return ErrDuplicate
}

// token is one loop's row.
type token struct {
	queue, id, loop string
	iteration       int64
	used            int64 // milliseconds; meaningful if isUsed
	isUsed          bool
}

func (k token) isStale(now time.Time, after time.Duration) bool {
	return !k.isUsed || now.Sub(time.UnixMilli(k.used)) > after
}

// control is the state of a queue besides its tokens.
type control struct {
	loops, version int64
	known          bool
}

// readTokens returns a queue's tokens and its count, in pages and strongly
// consistent.
func (t *Tokens) readTokens(ctx context.Context, queue string) (c control, tokens []token, err error) {
	in := &dynamodb.QueryInput{
		TableName: t.table(), ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("#queue = :queue"),
		ExpressionAttributeNames:  map[string]string{"#queue": attrQueue},
		ExpressionAttributeValues: item{":queue": dynamo.String(queue)},
	}
	for {
		var out *dynamodb.QueryOutput
		err := t.retry(ctx, func(ctx context.Context) (err error) { out, err = t.Client.Query(ctx, in); return err })
		if err != nil {
			return control{}, nil, fmt.Errorf("sqsloop: read the tokens of %s in table %s: %w", queue, *t.table(), err)
		}
		for _, i := range out.Items {
			switch id := dynamo.StringOf(i, attrToken); {
			case id == controlToken:
				c = control{intOf(i, attrLoops), intOf(i, attrVersion), true}
			case !strings.HasPrefix(id, reserved):
				_, used := i[attrUsed]
				tokens = append(tokens, token{queue, id, dynamo.StringOf(i, attrLoop), intOf(i, attrIteration), intOf(i, attrUsed), used})
			}
		}
		if len(out.LastEvaluatedKey) == 0 {
			return c, tokens, nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// takeOver gives a stale token to a new loop, unless it changed since it was
// read: then the loop runs, or another process has restarted it.
func (t *Tokens) takeOver(ctx context.Context, k token, at time.Time) (Turn, error) {
	next := Turn{Queue: k.queue, Token: k.id, Loop: t.newID()}
	values := item{
		":old":  dynamo.String(k.loop),
		":seen": dynamo.Int(k.used),
		":at":   dynamo.Int(k.iteration),
		":new":  dynamo.String(next.Loop),
		":zero": dynamo.Int(0),
		":now":  dynamo.Int(at.UnixMilli()),
	}
	condition := "loop_id = :old AND iteration = :at AND last_used = :seen"
	if !k.isUsed {
		condition = "loop_id = :old AND iteration = :at AND attribute_not_exists(last_used)"
		delete(values, ":seen")
	}
	err := t.updateToken(ctx, next, "", "SET loop_id = :new, iteration = :zero, last_used = :now REMOVE claim", condition, values)
	if errors.Is(err, ErrDuplicate) {
		err = nil // the token has our new loop id: the first attempt took effect
	}
	return next, err
}
