package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/entity/entityhttp"
	"github.com/banyan-fig/banyan/services/entity/gateway/extjson"
	"github.com/banyan-fig/banyan/services/httpjson"
)

// Bounds of a request, unless Config says otherwise.
const (
	DefaultMaxBody = 4 << 20 // bytes: an item of 400 KB in Extended JSON
	MaxEvents      = 10      // of one write
)

// Config configures New. Store is required.
type Config struct {
	Store *entity.Store
	// Source is that of the events. Default /services/ENTITY.
	Source string
	// Timeout bounds a request, waiting for a change of owner included. Default entityhttp.Timeout.
	Timeout time.Duration
	// MaxBody bounds a request's body, in bytes. Default DefaultMaxBody.
	MaxBody int64
	// Log gets the errors that clients are not shown. Default slog.Default().
	Log *slog.Logger
}

// gateway answers requests.
type gateway struct {
	Config
	plan *plan.Plan
	ids  *codec.Codec // of the _id alone
	path string
	// plain and canonical are the forms of documents.
	plain, canonical extjson.Form
}

// The errors that are no store's.
var (
	errKeyReused = errors.New("another request had this Idempotency-Key")
)

var problems = append(httpjson.Problems{
	httpjson.WithDetail(entity.ErrUnfit, "unfit", "It cannot be stored", http.StatusUnprocessableEntity),
	httpjson.WithDetail(errKeyReused, "key-reused", "Idempotency key used before", http.StatusUnprocessableEntity),
	httpjson.WithDetail(events.ErrMalformed, "invalid", "Invalid input", http.StatusBadRequest),
	httpjson.WithDetail(extjson.ErrInvalid, "invalid", "Invalid input", http.StatusBadRequest),
}, entityhttp.Problems...)

// New makes the handler. It sends nothing.
func New(cfg Config) (*httpjson.Mux, error) {
	g, err := newGateway(cfg.Store.Plan())
	if err != nil {
		return nil, err
	}
	cfg.Source, cfg.MaxBody = cmp.Or(cfg.Source, "/services/"+g.plan.Entity), cmp.Or(cfg.MaxBody, DefaultMaxBody)
	g.Config = cfg
	openAPI := OpenAPI(g.plan)
	mux := httpjson.NewMux(httpjson.MuxConfig{Problems: problems, Timeout: cmp.Or(cfg.Timeout, entityhttp.Timeout), Logger: cfg.Log})
	for pattern, serve := range map[string]httpjson.Endpoint{
		"GET " + g.path + "/{id}":         g.get,
		"PUT " + g.path + "/{id}":         g.put,
		"PATCH " + g.path + "/{id}":       g.patch,
		"DELETE " + g.path + "/{id}":      g.delete,
		"POST " + g.path:                  g.post,
		"GET " + g.path:                   g.list,
		"GET " + g.path + "/by/{name}":    g.by,
		"GET " + g.path + "/index/{name}": g.query,
		"GET /openapi.json": func(w http.ResponseWriter, _ *http.Request) error {
			httpjson.WriteJSON(w, http.StatusOK, openAPI)
			return nil
		},
	} {
		mux.Handle(pattern, withVersion(serve))
	}
	return mux, nil
}

func newGateway(p *plan.Plan) (*gateway, error) {
	key := p.Target.Key
	identifier := codec.Config{Key: codec.Key{Type: key.Type}}
	for _, part := range key.Parts {
		if part.Template == "" {
			identifier.Key.Parts = append(identifier.Key.Parts, codec.Part{Field: part.Field, Type: part.Type})
		}
	}
	ids, err := codec.New(identifier)
	if err != nil {
		return nil, fmt.Errorf("gateway of %s: %w", p.Entity, err)
	}
	hidden := append([]string{p.VersionField, RequestsField}, p.Outbox.Fields()...)
	types := map[string]string{"_id": key.Type}
	if key.Type == codec.TypeNumber || key.Type == codec.TypeMixed {
		types["_id"] = ""
	}
	for _, f := range p.Fields {
		if f.From == RequestsField {
			return nil, fmt.Errorf("gateway of %s: the plan declares %s, where the gateway has the keys of requests", p.Entity, f.From)
		}
		types[f.From] = f.Type
	}
	return &gateway{plan: p, ids: ids, path: "/v1/" + p.Entity,
		plain: extjson.Form{Types: types, Hidden: hidden}, canonical: extjson.Form{Canonical: true, Hidden: hidden}}, nil
}

// withVersion gives a problem the version that there is, as ETag.
func withVersion(serve httpjson.Endpoint) httpjson.Endpoint {
	return func(w http.ResponseWriter, r *http.Request) error {
		err := serve(w, r)
		if version, ok := errors.AsType[*entity.VersionError](err); ok {
			w.Header().Set("ETag", entityhttp.ETag(version.Version))
		}
		return err
	}
}

// textOfID is an _id as it is in a path.
func (g *gateway) textOfID(id bson.RawValue) (string, error) {
	key, err := g.ids.Key(id)
	if err != nil {
		return "", fmt.Errorf("%w: %w", entity.ErrInvalid, err)
	}
	return codec.KeyText(key), nil
}

// idOfText is the inverse of textOfID.
func (g *gateway) idOfText(text string) (bson.RawValue, error) {
	id, err := g.ids.ID(g.ids.KeyItem(g.ids.KeyOfText(text)))
	if err != nil {
		return id, fmt.Errorf("%w: the id %.100q is no %s: %w", entity.ErrInvalid, text, g.plan.Target.Key.Type, err)
	}
	return id, nil
}
