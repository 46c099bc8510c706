package target

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/awserr"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
)

// A copy without unique constraints is written by INSERT statements, 25 a request: each is a
// put on the condition that nothing has its key, at the price of a put. BatchWriteItem is
// as cheap, but it has no conditions: one that is delayed, or whose sender was paused, would
// bring back what was changed or deleted meanwhile (invariant 11 of ARCHITECTURE.md), and
// no order of copies and changes would prevent that. A transaction has conditions and takes
// 100 puts, but DynamoDB counts each twice; it is what remains where a server has no
// PartiQL, or where the right to it (dynamodb:PartiQLInsert) is missing.
const (
	maxInserts = 25
	// maxStatement is the longest statement that DynamoDB accepts, in bytes.
	maxStatement = 8192
)

// flow is what the copies of one process have learned of their table.
type flow struct {
	pacer
	noInserts atomic.Bool
}

// flow is shared by all tables that come from one [Tables.Checked].
func (t *Tables) flow() *flow {
	if t.learned == nil {
		return &flow{}
	}
	return t.learned
}

// insertable reports whether the documents are written by INSERT statements.
func (t *Tables) insertable() bool { return len(t.Plan.Unique) == 0 && !t.flow().noInserts.Load() }

// errNoInserts says that the server takes no INSERT statements.
var errNoInserts error = retry.Permanent("the server takes no INSERT statements")

// errSomeLeft says that some statements are to be sent again.
var errSomeLeft = errors.New("some statements of a batch failed for a time")

// insert puts documents where nothing stands, and returns those that are to be written one
// by one: something has their key, or they make no statement. It fails with errNoInserts
// where the server takes none.
func (t *Tables) insert(ctx context.Context, batch []Entry) (rest []Entry, err error) {
	left := make([]Entry, 0, len(batch))
	var statements []types.BatchStatementRequest
	for _, e := range batch {
		if s, ok := t.insertOf(e.Item); ok {
			left, statements = append(left, e), append(statements, s)
		} else {
			rest = append(rest, e)
		}
	}
	if len(left) == 0 {
		return rest, nil
	}
	err = t.paced(ctx, "insert into "+t.Plan.Target.Table, func(ctx context.Context) error {
		out, err := t.Client.BatchExecuteStatement(ctx, &dynamodb.BatchExecuteStatementInput{Statements: statements}, t.ofWrites...)
		if takesNone(err) {
			return errNoInserts
		}
		if err == nil && len(out.Responses) != len(statements) {
			err = fmt.Errorf("%d answers to %d statements", len(out.Responses), len(statements))
		}
		if err != nil {
			return err
		}
		var refused []Entry
		left, statements, refused, err = sortAnswers(left, statements, out.Responses)
		rest = append(rest, refused...)
		return err
	})
	return rest, err
}

// takesNone reports whether a server does not know the request, or does not allow it.
func takesNone(err error) bool {
	return awserr.Status(err) == http.StatusNotImplemented || awserr.Is(err, "UnknownOperationException", "AccessDeniedException")
}

// sortAnswers tells what is to be sent again, with the error that says so, from what was
// refused.
func sortAnswers(sent []Entry, statements []types.BatchStatementRequest, answers []types.BatchStatementResponse) (
	left []Entry, again []types.BatchStatementRequest, refused []Entry, err error) {
	for i, answer := range answers {
		if answer.Error == nil {
			continue
		}
		switch answer.Error.Code {
		case types.BatchStatementErrorCodeEnumThrottlingError, types.BatchStatementErrorCodeEnumProvisionedThroughputExceeded,
			types.BatchStatementErrorCodeEnumRequestLimitExceeded:
			err = &throttledError{fmt.Errorf("%w: %s", errSomeLeft, answer.Error.Code), true}
		case types.BatchStatementErrorCodeEnumInternalServerError, types.BatchStatementErrorCodeEnumTransactionConflict:
			if err == nil {
				err = fmt.Errorf("%w: %s", errSomeLeft, answer.Error.Code)
			}
		case types.BatchStatementErrorCodeEnumAccessDenied:
			return nil, nil, nil, errNoInserts
		default: // there is an item; or the write of its own says what is wrong
			refused = append(refused, sent[i])
			continue
		}
		left, again = append(left, sent[i]), append(again, statements[i])
	}
	return left, again, refused, err
}

// insertOf is the statement that puts an item where nothing has its key. The values are
// parameters, so only the names are text; it makes none of names that would need escapes.
func (t *Tables) insertOf(item codec.Item) (types.BatchStatementRequest, bool) {
	var text strings.Builder
	text.Grow(64 + 16*len(item))
	text.WriteString(`INSERT INTO "`)
	text.WriteString(t.Plan.Target.Table)
	text.WriteString(`" VALUE {`)
	values := make([]types.AttributeValue, 0, len(item))
	for name, v := range item {
		if strings.ContainsFunc(name, needsEscape) || name == "" {
			return types.BatchStatementRequest{}, false
		}
		if len(values) > 0 {
			text.WriteByte(',')
		}
		text.WriteByte('\'')
		text.WriteString(name)
		text.WriteString(`':?`)
		values = append(values, v)
	}
	text.WriteByte('}')
	statement := text.String()
	return types.BatchStatementRequest{Statement: &statement, Parameters: values}, len(statement) <= maxStatement
}

func needsEscape(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-' && r != '.'
}

// putAbsent puts documents where nothing stands: without a look before it, as many with a
// request as can be. What was refused is looked at one by one.
func (t *Tables) putAbsent(ctx context.Context, b batch, fresh bool) error {
	var err error
	rest := b.entries
	if t.insertable() {
		rest, err = t.insert(ctx, rest)
		if !errors.Is(err, errNoInserts) {
			return errors.Join(err, t.putEachAbsent(ctx, rest, b.at, fresh))
		}
		t.flow().noInserts.Store(true)
		rest = b.entries
	}
	for len(rest) > 0 {
		writes := t.absentWrites(rest, b.at)
		err := t.paced(ctx, "copy to "+t.Plan.Target.Table, func(ctx context.Context) error {
			err := t.writeOnce(ctx, writes)
			if _, throttled := errors.AsType[*throttledError](throttledOf(err)); !throttled && dynamo.CancellationReasons(err) != nil {
				err = &finalError{err} // also where somebody writes one of them just now: the others need not wait for it
			}
			return err
		})
		if err == nil {
			return nil
		}
		kept, refused := t.splitRefused(rest, err)
		if len(refused) == 0 {
			return err
		}
		if err := t.putEachAbsent(ctx, refused, b.at, fresh); err != nil {
			return err
		}
		rest = kept
	}
	return nil
}
