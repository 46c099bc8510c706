package wiring_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/rebuild/livetable"
	readmodel "github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/eventually"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
	"github.com/banyan-fig/banyan/services/social/timeline/cmd/internal/wiring"
)

type ada struct{}

func (ada) Subject(*http.Request) (string, error) { return "ada", nil }

// TestServesTheLiveTable: the one of the setting while there is no pointer, and then the pointer's.
func TestServesTheLiveTable(t *testing.T) {
	sdk := sandboxtest.Config(t, sandboxtest.Serve(t, sandbox.New(sandbox.Config{})))
	client := dynamodb.NewFromConfig(sdk)
	for _, table := range []string{"timeline-a", "timeline-b"} {
		_, err := client.CreateTable(t.Context(), readmodel.TableInput(table))
		sandboxtest.Must(t, err)
		model, err := readmodel.New(readmodel.Config{Client: client, Table: table})
		sandboxtest.Must(t, err)
		e, err := events.New(t.Context(), "/test", social.PostPublished{PostID: "p1", AuthorID: "ada", Text: table, PublishedAt: time.Unix(1479718800, 0)})
		sandboxtest.Must(t, err)
		sandboxtest.Must(t, model.Handle(t.Context(), consumers.Message{Event: e, Position: events.Position{Sequence: "42"}}))
	}
	settings := wiring.Settings{Table: "timeline-a", Rebuilds: "rebuilds"}
	if _, err := settings.Handler(t.Context(), sdk, ada{}, nil); err == nil || !strings.Contains(err.Error(), `REBUILD_TABLE: read the pointer of the read model "timeline"`) {
		t.Errorf("without a control table: %v", err)
	}
	_, err := client.CreateTable(t.Context(), dynamo.CompositeTable("rebuilds"))
	sandboxtest.Must(t, err)
	api, err := settings.Handler(t.Context(), sdk, ada{}, nil)
	sandboxtest.Must(t, err)
	get := func() string {
		w := httptest.NewRecorder()
		api.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/timelines/ada", nil))
		return w.Body.String()
	}
	if body := get(); !strings.Contains(body, `"timeline-a"`) {
		t.Errorf("before there is a pointer: %s", body)
	}
	store := livetable.Store{Client: client, Table: "rebuilds"}
	_, err = store.Set(t.Context(), livetable.Pointer{Model: wiring.Model}, "timeline-b", "timeline-a")
	sandboxtest.Must(t, err)
	eventually.True(t, "the table of the pointer is served", func() bool { return strings.Contains(get(), `"timeline-b"`) })
}
