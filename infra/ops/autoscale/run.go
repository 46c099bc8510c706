package autoscale

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/uuid"
)

// Autoscaler scales streams. It is safe for concurrent use, in any number of
// processes.
type Autoscaler struct {
	cfg     Config
	streams Streams
	metrics Metrics
	states  states
}

// New makes an autoscaler. The error is Config.Validate's.
func New(streams Streams, metrics Metrics, table Table, cfg Config) (*Autoscaler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Policies = slices.Clone(cfg.Policies)
	for i := range cfg.Policies {
		cfg.Policies[i] = cfg.Policies[i].withDefaults()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Autoscaler{cfg: cfg, streams: streams, metrics: metrics, states: states{table, cmp.Or(cfg.Table, DefaultTable)}}, nil
}

func (a *Autoscaler) now() time.Time { return a.cfg.Now() }

// Outcome is the result for one stream in one run.
type Outcome struct {
	Stream string
	Decision
	// Shards were open at the start.
	Shards int
	// Done says that the stream was changed: not in a dry run, nor where another run
	// was first.
	Done bool
	Err  error
}

// Run scales the named streams, or all that have a policy, one after the other. A
// stream's error is in its outcome and does not stop the others.
func (a *Autoscaler) Run(ctx context.Context, only ...string) []Outcome {
	var out []Outcome
	for _, p := range a.cfg.Policies {
		if len(only) == 0 || slices.Contains(only, p.Stream) {
			out = append(out, a.scaleStream(ctx, p))
		}
	}
	return out
}

func (a *Autoscaler) scaleStream(ctx context.Context, p Policy) Outcome {
	out := Outcome{Stream: p.Stream}
	state, err := a.states.load(ctx, p.Stream) // first: the write finds out what changes after it
	if err != nil {
		out.Err = err
		return out
	}
	o, err := a.observe(ctx, p)
	if err != nil {
		out.Err = err
		return out
	}
	out.Shards = len(o.Shards)
	out.Decision = Decide(p, o, state)
	if out.Action == Nothing || a.cfg.DryRun {
		return out
	}
	out.Done, out.Err = a.claimAndChange(ctx, p.Stream, state, out.Decision)
	for _, other := range []error{ErrConflict, errBusy} {
		if errors.Is(out.Err, other) {
			out.Err, out.Reason = nil, out.Reason+"; but "+other.Error()
		}
	}
	return out
}

// errBusy is returned while another program reshards the stream, or an earlier call of
// this one, whose answer was lost.
var errBusy = errors.New("the stream is being resharded already")

// claimAndChange claims the stream by writing the state, and then changes it.
func (a *Autoscaler) claimAndChange(ctx context.Context, stream string, s State, d Decision) (bool, error) {
	next, err := a.states.replace(ctx, stream, s.stateAfter(d, a.now()))
	if err != nil || d.Action == Confirm {
		return err == nil, err
	}
	err = a.changeShards(ctx, stream, d)
	var busy *types.ResourceInUseException
	var limit *types.LimitExceededException
	switch {
	case errors.As(err, &busy):
		return false, errBusy // the next decision sees the result
	case errors.As(err, &limit) && (d.Action == Up || d.Action == Down):
		next.Claim, next.BlockedUntil = uuid.NewString(), a.now().Add(blocked)
		_, errBlocked := a.states.replace(ctx, stream, next)
		return false, errors.Join(fmt.Errorf("%s of %s: %w", d.Action, stream, err), errBlocked)
	case err != nil:
		return false, fmt.Errorf("%s of %s: %w", d.Action, stream, err)
	}
	return true, nil
}

// blocked is for how long UpdateShardCount is not called after Kinesis reported its limit
// earlier than the count of scalings.
const blocked = time.Hour

// stateAfter is the state to write before a decision is carried out.
func (s State) stateAfter(d Decision, now time.Time) State {
	s.Claim = uuid.NewString()
	if d.Action == Confirm {
		s.Pending, s.Confirmed = false, now
		return s
	}
	s.Pending, s.Changed, s.Last = true, now, string(d.Action)+", "+d.Reason
	if d.Action == Up || d.Action == Down {
		old := func(t time.Time) bool { return now.Sub(t) > 25*time.Hour }
		s.Scalings = append(slices.DeleteFunc(slices.Clone(s.Scalings), old), now)
	}
	return s
}

func (a *Autoscaler) changeShards(ctx context.Context, stream string, d Decision) (err error) {
	switch d.Action {
	case Up, Down:
		_, err = a.streams.UpdateShardCount(ctx, &kinesis.UpdateShardCountInput{
			StreamName: &stream, TargetShardCount: aws.Int32(int32(d.Target)), ScalingType: types.ScalingTypeUniformScaling,
		})
	case Split:
		_, err = a.streams.SplitShard(ctx, &kinesis.SplitShardInput{
			StreamName: &stream, ShardToSplit: &d.Shard, NewStartingHashKey: aws.String(d.At.String()),
		})
	case Merge:
		_, err = a.streams.MergeShards(ctx, &kinesis.MergeShardsInput{
			StreamName: &stream, ShardToMerge: &d.Shard, AdjacentShardToMerge: &d.Adjacent,
		})
	}
	return err
}
