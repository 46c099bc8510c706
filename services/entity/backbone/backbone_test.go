package backbone_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/sandbox"
	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/entity/backbone"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const plain = "entity: notes\nsource: {collection: notes}\ntarget: {table: notes, key: {type: string}}\nversionField: version\n"

const telling = plain + "outbox: {field: _outbox, table: notes-outbox}\n"

type noted struct {
	ID string `json:"id"`
}

func (noted) EventType() string      { return "note.written" }
func (noted) EventVersion() int      { return 1 }
func (n noted) Subject() string      { return "note/" + n.ID }
func (n noted) PartitionKey() string { return n.ID }

// start makes a sandbox with a stream and a control table, and the flags to use it.
func start(t *testing.T) (backbone.Flags, aws.Config) {
	t.Helper()
	box, err := sandbox.Start(t.Context(), sandbox.Config{Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = box.Close() })
	flags := backbone.Flags{EventsStream: "notes-events"}
	for _, kv := range box.Env() {
		name, value, _ := strings.Cut(kv, "=")
		if name == "MONGODB_URI" {
			flags.MongodbURI = value
		}
		t.Setenv(name, value)
	}
	sdk, err := awssdk.Load(t.Context())
	if err == nil {
		err = ownership.NewTable(awsdynamodb.NewFromConfig(sdk), "").Ensure(t.Context())
	}
	if err == nil {
		err = box.CreateStream(t.Context(), "notes-events", 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	return flags, sdk
}

// TestOpen: the plan by a reference; a write tells its event; what operators see of that; and an
// end after the context's.
func TestOpen(t *testing.T) {
	flags, sdk := start(t)
	_, err := secretsmanager.NewFromConfig(sdk).CreateSecret(t.Context(),
		&secretsmanager.CreateSecretInput{Name: aws.String("notes/plan"), SecretString: aws.String(telling)})
	if err != nil {
		t.Fatal(err)
	}
	flags.Plan = "secret:notes/plan"
	ctx, cancel := context.WithCancel(t.Context())
	b, err := flags.Open(ctx, slog.New(slog.DiscardHandler), "notes", []byte("entity: another"))
	if err != nil {
		t.Fatal(err)
	}
	tell := func(ctx context.Context, _, _ bson.Raw) ([]events.Event, error) {
		e, err := events.New(ctx, "/notes", noted{"1"})
		return []events.Event{e}, err
	}
	doc, _ := bson.Marshal(bson.D{{Key: "_id", Value: "1"}})
	w, err := b.Store.Create(t.Context(), doc, entity.Options{Tell: tell})
	if err != nil || w.Position == (events.Position{}) {
		t.Errorf("create: %+v, %v", w, err)
	}
	if w, err = b.Store.Delete(t.Context(), "1", entity.Options{Tell: tell}); err != nil || w.Position == (events.Position{}) {
		t.Errorf("delete: %+v, %v", w, err)
	}
	rec := httptest.NewRecorder()
	serving.Admin(b.Member.Ready, func() any { return b.Figures(nil) }).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(rec.Body.String(), "banyan_events_published 2\n") {
		t.Errorf("metrics: %s", rec.Body)
	}
	cancel()
	if err := b.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := b.Member.Ready(); err == nil {
		t.Error("it is still a member")
	}
}

// TestNothingToTell: a plan without an outbox needs no stream.
func TestNothingToTell(t *testing.T) {
	flags, _ := start(t)
	flags.EventsStream = "none"
	b, err := flags.Open(t.Context(), slog.New(slog.DiscardHandler), "notes", []byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	if b.Outbox != nil || b.Publisher != nil {
		t.Error("there is an outbox")
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestRefusals: what cannot be opened says why, and leaves nothing running.
func TestRefusals(t *testing.T) {
	flags, _ := start(t)
	for what, c := range map[string]struct {
		change func(*backbone.Flags)
		plan   string
		want   string
		usage  bool // no attempt will mend it
	}{
		"no plan":              {nil, "", "name an existing file with --plan", true},
		"a wrong one":          {nil, "entity: [", "invalid entity plan", true},
		"no version":           {nil, strings.ReplaceAll(plain, "versionField: version\n", ""), "has no versionField", true},
		"no URI":               {func(f *backbone.Flags) { f.MongodbURI = "" }, plain, "set MONGODB_URI", true},
		"a wrong URI":          {func(f *backbone.Flags) { f.MongodbURI = "127.0.0.1:27017" }, plain, "scheme must be", true},
		"another database":     {nil, strings.ReplaceAll(plain, "source: {", "source: {database: elsewhere, "), "let the URI name it", false},
		"no stream":            {func(f *backbone.Flags) { f.EventsStream = "none" }, telling, `"none"`, false},
		"no control table":     {func(f *backbone.Flags) { f.ControlTable = "none" }, plain, "banyan-migrate init", false},
		"indexes that are not": {func(f *backbone.Flags) { f.CheckIndexes = true }, telling, "lacks what its plan needs", false},
	} {
		f := flags
		if c.change != nil {
			c.change(&f)
		}
		b, err := f.Open(t.Context(), slog.New(slog.DiscardHandler), "notes", []byte(c.plan))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
		if errors.Is(err, serving.ErrUsage) != c.usage {
			t.Errorf("%s: wrong usage is not %t: %v", what, c.usage, err)
		}
		if err == nil {
			_ = b.Close(t.Context())
		}
	}
}

// TestAPlanInAFile is read in the place of the built-in one; and flags that cannot be are refused.
func TestAPlanInAFile(t *testing.T) {
	flags, _ := start(t)
	flags.Plan = filepath.Join(t.TempDir(), "notes.yaml")
	if err := os.WriteFile(flags.Plan, []byte(plain), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := flags.Open(t.Context(), slog.New(slog.DiscardHandler), "notes", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
	for _, s := range []backbone.Settings{
		{ShadowReads: 1.1, SweepEvery: time.Second, SweepAge: time.Second}, {SweepEvery: time.Millisecond, SweepAge: time.Second}, {SweepEvery: time.Second},
	} {
		if s.Validate() == nil {
			t.Errorf("%+v is taken", s)
		}
	}
}
