package replay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/archive"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/replay"
	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/sandbox/functiontest"
	"github.com/banyan-fig/banyan/infra/sandbox/lambda"
)

func TestMain(m *testing.M) { functiontest.Main(m) }

const streamARN = "arn:aws:kinesis:us-east-1:000000000000:stream/events"

// world is an archive of what users did, and a function that records what it is given.
type world struct {
	*streamtest.World
	t        *testing.T
	seed     uint64
	store    archive.Store
	function replay.Function
	record   string // the file
}

func newWorld(t *testing.T, host functiontest.Host, size streamtest.Size) *world {
	t.Helper()
	w := &world{t: t, seed: rand.Uint64(), store: archive.NewFiles(t.TempDir()), record: filepath.Join(t.TempDir(), "record")}
	w.World = streamtest.NewWorld(t, w.seed, size)
	writer := &archive.Writer{Store: w.store}
	for _, records := range w.Shards {
		for batch := range slices.Chunk(records, 20) {
			answer, err := writer.HandleKinesis(t.Context(), awsevents.KinesisEvent{Records: batch})
			if err != nil || len(answer.BatchItemFailures) > 0 {
				t.Fatal(answer, err)
			}
		}
	}
	name := fmt.Sprint("recorder-", w.seed)
	functiontest.Deploy(t, host.Client, name, functiontest.Small(t, functiontest.Build(t, "./internal/recorder")),
		map[string]string{"RECORD": w.record, "SEED": fmt.Sprint(w.seed)})
	w.function = replay.Function{Client: host.Client, Name: name}
	return w
}

func (w *world) replay() *replay.Replay {
	return &replay.Replay{
		Function: w.function, StreamARN: streamARN, Batch: 20, Delay: backoff.Backoff{Min: time.Millisecond, Max: 10 * time.Millisecond},
	}
}

func (w *world) open(after map[string]string) *archive.Reader {
	w.t.Helper()
	r, err := archive.NewReader(w.t.Context(), w.store, archive.Range{After: after})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(r.Close)
	return r
}

// want are the lines of events in the order of positions.
func want(messages []consumers.Message, keep func(consumers.Message) bool) []string {
	var all []string
	for _, m := range messages {
		if keep == nil || keep(m) {
			all = append(all, fmt.Sprintf("%v %s %s", m.Position, m.Shard, m.Event.PartitionKey))
		}
	}
	slices.Sort(all)
	return all
}

// check compares what was recorded, each event where it came first: those of one key are in
// order, and all are there.
func (w *world) check(want []string) {
	w.t.Helper()
	content, err := os.ReadFile(w.record)
	if err != nil {
		w.t.Fatal(err)
	}
	seen, last, got := map[string]bool{}, map[string]string{}, []string{}
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		if seen[line] {
			continue
		}
		key := line[strings.LastIndexByte(line, ' '):]
		if line < last[key] {
			w.t.Errorf("seed %d: %s came after %s", w.seed, line, last[key])
		}
		seen[line], last[key] = true, line
		got = append(got, line)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("seed %d: %s", w.seed, diff)
	}
}

var errStop = errors.New("stop here")

// TestReplayInterruptedAndResumed: with a function that fails in part and dies, each event
// arrives, those of a key in order, wherever the replay was stopped.
func TestReplayInterruptedAndResumed(t *testing.T) {
	w := newWorld(t, functiontest.Start(t, lambda.Config{}), streamtest.Size{Users: 20, Events: 500, Shards: 3})
	path := filepath.Join(t.TempDir(), "progress.json")
	random, runs := rand.New(rand.NewPCG(w.seed, 3)), 0
	for {
		p, err := replay.LoadProgress(path, "this replay")
		if err != nil {
			t.Fatal(err)
		}
		parts := 1 + random.IntN(2)
		err = w.replay().Run(t.Context(), w.open(p.After), &p, func(p replay.Progress) error {
			if parts--; parts == 0 && random.IntN(2) == 0 {
				return errStop // delivered, and not noted
			}
			if err := p.Save(path); err != nil || parts > 0 {
				return err
			}
			return errStop
		})
		if runs++; err == nil {
			break
		}
		if !errors.Is(err, errStop) {
			t.Fatalf("seed %d: %v", w.seed, err)
		}
	}
	p, err := replay.LoadProgress(path, "this replay")
	if err != nil || p.Events != len(w.Messages) || runs < 3 || len(p.After) != 3 {
		t.Errorf("seed %d: %d runs, %+v of %d events, %v", w.seed, runs, p, len(w.Messages), err)
	}
	if _, err := replay.LoadProgress(path, "another"); !errors.Is(err, replay.ErrOtherReplay) {
		t.Errorf("the progress of another replay: %v", err)
	}
	w.check(want(w.Messages, nil))
}

// TestSomeOfAnAggregate are replayed at their own positions, and nothing else is.
func TestSomeOfAnAggregate(t *testing.T) {
	w := newWorld(t, functiontest.Start(t, lambda.Config{}), streamtest.Size{Users: 6, Events: 200, Shards: 2})
	r := w.replay()
	r.Keep = replay.Filter{Keys: w.Users[:2], Types: []string{"post.published", "relationship.followed"}}.Keep
	p, err := replay.LoadProgress("", "")
	if err == nil {
		err = r.Run(t.Context(), w.open(nil), &p, func(replay.Progress) error { return nil })
	}
	if err != nil {
		t.Fatal(err)
	}
	some := want(w.Messages, func(m consumers.Message) bool {
		return slices.Contains(w.Users[:2], m.Event.PartitionKey) && slices.Contains([]string{"post.published", "relationship.followed"}, m.Event.Type)
	})
	inner := slices.ContainsFunc(some, func(line string) bool { return !strings.Contains(line, ".000000 ") })
	if len(some) == 0 || !inner || p.Events != len(some) || p.Skipped != len(w.Messages)-len(some) {
		t.Errorf("seed %d: %d events, some inside of aggregates: %v; %+v", w.seed, len(some), inner, p)
	}
	w.check(some)
}

// TestDryRun counts, and invokes nothing.
func TestDryRun(t *testing.T) {
	w := newWorld(t, functiontest.Start(t, lambda.Config{}), streamtest.Size{Users: 6, Events: 60, Shards: 2})
	r := w.replay()
	r.Function = nil
	p, _ := replay.LoadProgress("", "")
	if err := r.Run(t.Context(), w.open(nil), &p, func(replay.Progress) error { return nil }); err != nil || p.Events != len(w.Messages) {
		t.Errorf("%v, %+v", err, p)
	}
	if _, err := os.Stat(w.record); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the function was invoked: %v", err)
	}
}

// TestFailuresThatStay end a replay, with the record, and nothing behind it is noted.
func TestFailuresThatStay(t *testing.T) {
	host := functiontest.Start(t, lambda.Config{})
	w := newWorld(t, host, streamtest.Size{Users: 6, Events: 60, Shards: 1})
	p, _ := replay.LoadProgress("", "")
	r := w.replay()
	r.Function = replay.Function{Client: host.Client, Name: "nobody"}
	run := func() error {
		return r.Run(t.Context(), w.open(p.After), &p, func(replay.Progress) error { return nil })
	}
	if err := run(); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("a function that does not exist: %v", err)
	}
	failed := 0
	r.Function, r.Retries, r.Failed = failing{}, 3, func(error) { failed++ }
	if err := run(); !errors.Is(err, errFailing) || failed != 4 || len(p.After) > 0 {
		t.Errorf("%d failures, %v, %+v", failed, err, p)
	}
}

var errFailing = errors.New("it fails")

type failing struct{}

func (failing) Invoke(context.Context, []byte, []string) (int, error) { return 0, errFailing }

// TestRecordsThatAreLarge are delivered in as many invocations as they need; one that fits into
// none is an error, with all before it done.
func TestRecordsThatAreLarge(t *testing.T) {
	var sizes []int
	r := &replay.Replay{StreamARN: streamARN, Function: invoker(func(payload []byte, sequences []string) int {
		if len(payload) > 6<<20 {
			t.Errorf("a payload of %d bytes", len(payload))
		}
		sizes = append(sizes, len(sequences))
		return len(sequences)
	})}
	record := func(n, size int) archive.Record {
		return archive.Record{Shard: "s", Sequence: streamtest.Sequence(n), Events: []archive.Event{{Key: "k", Raw: []byte(strings.Repeat("x", size))}}}
	}
	records := list{record(1, 10), record(2, 1<<20), record(3, 4<<20), record(4, 10)}
	p, _ := replay.LoadProgress("", "")
	if err := r.Run(t.Context(), &records, &p, func(replay.Progress) error { return nil }); err != nil || !slices.Equal(sizes, []int{2, 2}) {
		t.Errorf("batches of %v, %v", sizes, err)
	}
	records = list{record(5, 10), record(6, 5<<20)}
	err := r.Run(t.Context(), &records, &p, func(replay.Progress) error { return nil })
	if !errors.Is(err, replay.ErrTooLarge) || p.After["s"] != streamtest.Sequence(5) {
		t.Errorf("%v, %+v", err, p)
	}
}

type invoker func(payload []byte, sequences []string) int

func (i invoker) Invoke(_ context.Context, payload []byte, sequences []string) (int, error) {
	return i(payload, sequences), nil
}

type list []archive.Record

func (l *list) Next(context.Context) (archive.Record, error) {
	if len(*l) == 0 {
		return archive.Record{}, io.EOF
	}
	first := (*l)[0]
	*l = (*l)[1:]
	return first, nil
}

// TestAnswers are understood as a mapping understands them.
func TestAnswers(t *testing.T) {
	sequences := []string{"1", "2", "3"}
	for answer, want := range map[string]int{
		"": 3, "null": 3, `""`: 3, "{}": 3, `{"batchItemFailures":[]}`: 3, `{"batchItemFailures":null}`: 3,
		`{"batchItemFailures":[{"itemIdentifier":"3"},{"itemIdentifier":"2"}]}`: 1,
		`{"batchItemFailures":[{"itemIdentifier":"9"}]}`:                        -1,
		`{"batchItemFailures":[{"itemIdentifier":""}]}`:                         -1,
		`[]`: -1, `"done"`: -1,
	} {
		done, err := replay.ParseAnswer([]byte(answer), sequences)
		if err != nil {
			done = -1
		}
		if done != want {
			t.Errorf("%s: %d are done, want %d (%v)", answer, done, want, err)
		}
	}
}
