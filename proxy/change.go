package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/banyan-fig/banyan/proxy/route"
	"github.com/banyan-fig/banyan/proxy/route/source"
)

// maxPut bounds the body of PUT /routes, in bytes; a route file must be shorter.
const maxPut = 8 << 20

// A MismatchError says that a change was meant for another document than the one that stands.
type MismatchError struct {
	Stands string // the version, "" where there is no document
}

// Error says what to do.
func (e *MismatchError) Error() string {
	if e.Stands == "" {
		return "there is no document any more: roll back to one of its versions"
	}
	return fmt.Sprintf("version %s stands: look at it, and change that one", e.Stands)
}

// ErrInvalid is returned for a document that does not compile.
var ErrInvalid = errors.New("invalid routes")

// ErrUnused is returned where a document was put in its place, and cannot be put in force
// here yet; the reloader goes on trying.
var ErrUnused = errors.New("the routes are stored, and not in force here")

// A Change is a new document, and what the audit says of it.
type Change struct {
	Content  []byte
	Replaces string // the version that it is meant to replace, * for whichever stands
	By, Why  string
}

// Put stores a document that compiles, if that which stands is the one that it is meant to
// replace, and puts it in force here. Other proxies see it at their next look. The errors are
// [ErrInvalid], [*MismatchError], [ErrUnused] and those of the source.
func (r *Reloader) Put(ctx context.Context, c Change) (version string, err error) {
	if _, err := r.compile(c.Content); err != nil {
		return "", fmt.Errorf("%w:\n%w", ErrInvalid, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 3*readTimeout)
	defer cancel()
	r.turn.Lock()
	defer r.turn.Unlock()
	stands, old, err := r.stands(ctx)
	if err == nil && c.Replaces != "*" && c.Replaces != old {
		err = &MismatchError{old}
	}
	if err != nil {
		return "", err
	}
	doc, err := r.Source.Write(ctx, stands, c.Content)
	if errors.Is(err, source.ErrConflict) {
		if _, old, err = r.stands(ctx); err == nil {
			err = &MismatchError{old}
		}
	}
	if err != nil {
		return "", err
	}
	version, r.last = route.Digest(doc.Content), doc
	r.log().Warn("routes changed", "file", r.Source.String(), "from", old, "to", version, "by", c.By, "why", c.Why)
	if err := r.use(ctx, doc.Content); err != nil {
		return version, fmt.Errorf("%w: %w", ErrUnused, err)
	}
	return version, nil
}

// stands reads what the source has now, nil for nothing.
func (r *Reloader) stands(ctx context.Context) (doc *source.Document, version string, err error) {
	if doc, err = r.Source.Read(ctx, nil); errors.Is(err, source.ErrNotFound) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	return doc, route.Digest(doc.Content), nil
}

// Rollback puts a version of the source's history in its place again, as [Reloader.Put] does.
func (r *Reloader) Rollback(ctx context.Context, id string, c Change) (version string, err error) {
	if c.Content, err = r.Source.Version(ctx, id); err != nil {
		return "", err
	}
	return r.Put(ctx, c)
}

// serve registers what operators read and change of the route file.
func (r *Reloader) serve(mux *http.ServeMux) {
	mux.HandleFunc("GET /routes", r.serveDocument)
	mux.HandleFunc("GET /routes/history", func(w http.ResponseWriter, req *http.Request) {
		history, err := r.Source.History(req.Context())
		if err != nil {
			writeError(w, statusOf(err), err)
			return
		}
		writeJSON(w, http.StatusOK, append([]source.Version{}, history...))
	})
	mux.HandleFunc("PUT /routes", func(w http.ResponseWriter, req *http.Request) {
		src, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxPut))
		if err != nil {
			writeError(w, http.StatusRequestEntityTooLarge, fmt.Errorf("read the routes, of at most %d bytes: %w", maxPut, err))
			return
		}
		r.change(w, req, "", func(ctx context.Context, c Change) (string, error) {
			c.Content = src
			return r.Put(ctx, c)
		})
	})
	mux.HandleFunc("POST /routes/rollback", func(w http.ResponseWriter, req *http.Request) {
		r.change(w, req, "*", func(ctx context.Context, c Change) (string, error) {
			return r.Rollback(ctx, req.URL.Query().Get("version"), c)
		})
	})
}

func (r *Reloader) serveDocument(w http.ResponseWriter, req *http.Request) {
	src, version := r.InForce()
	if id := req.URL.Query().Get("version"); id != "" {
		var err error
		if src, err = r.Source.Version(req.Context(), id); err != nil {
			writeError(w, statusOf(err), err)
			return
		}
		version = route.Digest(src)
	}
	w.Header().Set("ETag", `"`+version+`"`)
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(src)
}

// change answers a change. The version that it replaces is that of If-Match.
func (r *Reloader) change(w http.ResponseWriter, req *http.Request, replaces string, do func(context.Context, Change) (string, error)) {
	q := req.URL.Query()
	c := Change{Replaces: cmp.Or(strings.Trim(req.Header.Get("If-Match"), `"`), replaces), By: q.Get("by"), Why: q.Get("why")}
	switch {
	case c.By == "" || c.Why == "":
		writeError(w, http.StatusBadRequest, errors.New("by and why are needed, in the query: who changes the routes, and what the audit is to say"))
		return
	case c.Replaces == "":
		writeError(w, http.StatusPreconditionRequired, errors.New("If-Match is needed: the version, the ETag of GET /routes, that was changed"))
		return
	}
	version, err := do(req.Context(), c)
	if mismatch, ok := errors.AsType[*MismatchError](err); ok {
		version = mismatch.Stands
	}
	if version != "" {
		w.Header().Set("ETag", `"`+version+`"`)
	}
	if err != nil {
		writeError(w, statusOf(err), err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"version": version})
}

func statusOf(err error) int {
	_, mismatch := errors.AsType[*MismatchError](err)
	switch {
	case mismatch:
		return http.StatusPreconditionFailed
	case errors.Is(err, ErrInvalid):
		return http.StatusUnprocessableEntity
	case errors.Is(err, ErrUnused):
		return http.StatusAccepted
	case errors.Is(err, source.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, source.ErrReadOnly):
		return http.StatusMethodNotAllowed
	}
	return http.StatusBadGateway
}

var (
	sourceAgeFigure      = prometheus.NewDesc("banyan_proxy_routes_age_seconds", "Time since the source of the routes was last read well.", nil, nil)
	sourceFailuresFigure = prometheus.NewDesc("banyan_proxy_routes_failures_total", "Looks at the source of the routes that failed.", nil, nil)
	refusedFigure        = prometheus.NewDesc("banyan_proxy_routes_refused", "1 while what stands at the source is not in force.", nil, nil)
	routesFigure         = prometheus.NewDesc("banyan_proxy_routes_info", "1 for the version in force.", []string{"version"}, nil)
)

// Describe implements [prometheus.Collector].
func (r *Reloader) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{sourceAgeFigure, sourceFailuresFigure, refusedFigure, routesFigure} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (r *Reloader) Collect(to chan<- prometheus.Metric) {
	s := r.State()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	if !s.Read.IsZero() {
		gauge(sourceAgeFigure, time.Since(s.Read).Seconds())
	}
	to <- prometheus.MustNewConstMetric(sourceFailuresFigure, prometheus.CounterValue, float64(s.Failures))
	refused := 0.0
	if s.Refused != "" {
		refused = 1
	}
	gauge(refusedFigure, refused)
	_, version := r.InForce()
	gauge(routesFigure, 1, version)
}
