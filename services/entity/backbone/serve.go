package backbone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// Flags are those of a command that serves an entity: embed them. Variables of the command give
// the defaults of its addresses: listen and admin.
type Flags struct {
	Listen       string `help:"Address of the API." default:"${listen=127.0.0.1:8080}" env:"${env}_LISTEN"`
	AdminListen  string `help:"Address of /healthz, /readyz, /metrics and /metrics.json." default:"${admin=127.0.0.1:8090}" env:"${env}_ADMIN_LISTEN"`
	Plan         string `help:"Entity plan, in the place of the built-in one: a file or ssm:/name." env:"BANYAN_PLAN" placeholder:"FILE"`
	MongodbURI   string `help:"Legacy database: URI or reference, ssm:/name, secret:name." env:"MONGODB_URI" required:"" placeholder:"$MONGODB_URI"`
	EventsStream string `help:"Kinesis stream to publish to." default:"banyan-events" env:"EVENTS_STREAM"`
	Settings
	// Bind makes the API's server. Default: serving.Listen on Listen.
	Bind func(api http.Handler) (*serving.Server, error) `kong:"-"`
}

// Settings are flags of what an entity store needs besides.
type Settings struct {
	ControlTable string        `help:"DynamoDB table with the ownership records." default:"banyan-control" env:"BANYAN_CONTROL_TABLE"`
	ShadowReads  float64       `help:"Share of the reads by id that are compared with the other store, 0 to 1." default:"0.01" env:"${env}_SHADOW_READS"`
	SweepEvery   time.Duration `help:"How often the outboxes are searched for what was not published." default:"1s" env:"${env}_SWEEP_EVERY"`
	SweepAge     time.Duration `help:"How long an event of another instance may wait before that counts as dead: more than publishing takes." default:"2s" env:"${env}_SWEEP_AGE"`
	CheckIndexes bool          `help:"Make no indexes in MongoDB, and refuse to start where the plan's are missing." env:"BANYAN_CHECK_INDEXES"`
}

// Validate is called by kong.
func (s *Settings) Validate() error {
	if s.ShadowReads < 0 || s.ShadowReads > 1 {
		return fmt.Errorf("--shadow-reads must be 0 to 1, not %v", s.ShadowReads)
	}
	if s.SweepEvery < 10*time.Millisecond || s.SweepAge < 100*time.Millisecond {
		return fmt.Errorf("--sweep-every must be at least 10ms and --sweep-age 100ms, not %v and %v", s.SweepEvery, s.SweepAge)
	}
	return nil
}

// Serve serves an API and the answers for operators until ctx ends, then shuts down in order: no
// more requests, the last events published, out of the membership. builtIn is the text of
// the entity's plan where the flags name none.
func (f *Flags) Serve(ctx context.Context, log *slog.Logger, service string, builtIn []byte, api func(*Backbone) (http.Handler, error)) (err error) {
	b, err := f.Open(ctx, log, service, builtIn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close(ctx)) }()
	handler, err := api(b)
	if err != nil {
		return err
	}
	if f.Bind == nil {
		f.Bind = func(api http.Handler) (*serving.Server, error) { return serving.Listen("--listen", f.Listen, api) }
	}
	server, err := f.Bind(handler)
	if err != nil {
		return err
	}
	admin, err := serving.Listen("--admin-listen", f.AdminListen, serving.Admin(b.Member.Ready, func() any { return b.Figures(handler) }))
	if err != nil {
		server.Close()
		return err
	}
	s := b.Member.Stats()
	log.InfoContext(ctx, "serving", "entity", b.Store.Plan().Entity, "database", b.database, "api", server.Addr().String(), "admin", admin.Addr().String(),
		"owner", s.Owner, "epoch", s.Epoch)
	return serving.Run(ctx, server, admin)
}

// Figures are what /metrics.json answers; counts are since the start.
type Figures struct {
	WritesHeld         int64           `json:"writes_held"`
	LongestWriteHoldMS float64         `json:"longest_write_hold_ms"`
	EventsPublished    int64           `json:"events_published"`
	EventsSwept        int64           `json:"events_swept"`
	Requests           int64           `json:"requests"`
	Errors             int64           `json:"errors"`
	Owner              ownership.Store `json:"owner"`
	Epoch              int64           `json:"epoch"`
	Phase              ownership.Phase `json:"phase"`
	ControlErrors      int64           `json:"control_errors"`
}

// Figures of the backbone, and of its API where that counts, as *httpjson.Mux does.
func (b *Backbone) Figures(api http.Handler) Figures {
	s := b.Member.Stats()
	f := Figures{
		WritesHeld: s.WritesHeld, LongestWriteHoldMS: float64(s.LongestHold) / float64(time.Millisecond),
		Owner: s.Owner, Epoch: s.Epoch, Phase: s.Phase, ControlErrors: s.ControlErrors,
	}
	if b.Outbox != nil {
		f.EventsPublished, f.EventsSwept = b.Outbox.Published(), b.Outbox.Recovered()
	}
	if counted, ok := api.(interface {
		Requests() int64
		Failures() int64
	}); ok {
		f.Requests, f.Errors = counted.Requests(), counted.Failures()
	}
	return f
}
