package rebuild

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers/rebuild/livetable"
	"github.com/banyan-fig/banyan/consumers/replay"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// Plan is what is built of what. A rebuild that was begun goes on only with the same one.
type Plan struct {
	Model    string `json:"model"`    // name of the read model
	Table    string `json:"table"`    // that is built
	Function string `json:"function"` // ARN of the function that writes to it
	Archive  string `json:"archive,omitempty"`
	Stream   string `json:"stream"`
}

// State is how far a rebuild came.
type State struct {
	Plan   Plan            `json:"plan"`
	Replay replay.Progress `json:"replay"`
	// Archived says that the archive was read, and only the stream is left.
	Archived bool `json:"archived,omitempty"`
	// CaughtUp is when the new table last had all that the stream had. Zero: never yet.
	CaughtUp time.Time `json:"caught_up,omitzero"`
	Began    time.Time `json:"began"`
	Noted    time.Time `json:"noted"` // when this was written
}

// API is what a Control needs of *dynamodb.Client.
type API interface {
	livetable.API
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
}

// Control is the control table: the pointers, and the rebuilds under way. Safe for concurrent use.
type Control struct {
	Client API
	Table  string
}

// Errors that a caller may tell apart.
var (
	ErrNone      = errors.New("no rebuild is under way: begin one with rebuild start")
	ErrOther     = errors.New("another rebuild of this read model is under way: go on with that, or end it with rebuild remove")
	ErrTakenOver = errors.New("another start took over, or the rebuild was removed")
)

const (
	sortRebuild = "rebuild"
	attrState   = "state"
	attrRun     = "run"
)

// maxState bounds what a state says once it is unpacked.
const maxState = 64 << 20

func (c Control) pointers() livetable.Store { return livetable.Store{Client: c.Client, Table: c.Table} }

// Pointer reads the pointer of a model; its Epoch is 0 where there is none.
func (c Control) Pointer(ctx context.Context, model string) (livetable.Pointer, error) {
	return c.pointers().Get(ctx, model)
}

// State reads how far the rebuild of a model came, or [ErrNone].
func (c Control) State(ctx context.Context, model string) (s State, err error) {
	out, err := c.Client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &c.Table, Key: dynamo.Key(model, sortRebuild), ConsistentRead: aws.Bool(true),
	})
	if err == nil && len(out.Item) == 0 {
		err = ErrNone
	}
	if err == nil {
		err = s.unpack(dynamo.BytesOf(out.Item, attrState))
	}
	if err != nil {
		return s, fmt.Errorf("read the rebuild of %q from %s: %w", model, c.Table, err)
	}
	return s, nil
}

// claim makes the state that of a run: no other run writes it any more.
func (c Control) claim(ctx context.Context, plan Plan, run string) (State, error) {
	s, err := c.State(ctx, plan.Model)
	switch {
	case errors.Is(err, ErrNone):
		s = State{Plan: plan, Began: time.Now().UTC(), Replay: replay.Progress{Of: plan.Model, After: map[string]string{}}}
	case err != nil:
		return s, err
	case s.Plan != plan:
		return s, fmt.Errorf("%w: it builds table %s by function %s of archive %q and stream %q, and not %s by %s of %q and %q", ErrOther,
			s.Plan.Table, s.Plan.Function, s.Plan.Archive, s.Plan.Stream, plan.Table, plan.Function, plan.Archive, plan.Stream)
	}
	return s, c.write(ctx, &s, run, true)
}

// write keeps the state, if it is still that of the run.
func (c Control) write(ctx context.Context, s *State, run string, claim bool) error {
	s.Noted = time.Now().UTC()
	packed, err := s.pack()
	if err != nil {
		return err
	}
	item := dynamo.Key(s.Plan.Model, sortRebuild)
	maps.Copy(item, dynamo.Item{attrRun: dynamo.String(run), attrState: dynamo.Bytes(packed)})
	in := &dynamodb.PutItemInput{TableName: &c.Table, Item: item}
	if !claim {
		in.ConditionExpression, in.ExpressionAttributeNames = aws.String("#run = :run"), map[string]string{"#run": attrRun}
		in.ExpressionAttributeValues = dynamo.Item{":run": dynamo.String(run)}
	}
	_, err = c.Client.PutItem(ctx, in)
	if dynamo.IsConditionFailed(err) {
		err = ErrTakenOver
	}
	if err != nil {
		return fmt.Errorf("keep how far the rebuild of %q came in %s: %w", s.Plan.Model, c.Table, err)
	}
	return nil
}

// pack compresses: with many shards it is long.
func (s *State) pack() ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	err := errors.Join(json.NewEncoder(z).Encode(s), z.Close())
	return b.Bytes(), err
}

func (s *State) unpack(packed []byte) error {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err == nil {
		err = json.NewDecoder(io.LimitReader(z, maxState)).Decode(s)
	}
	if err == nil && s.Replay.After == nil {
		s.Replay.After = map[string]string{}
	}
	return err
}
