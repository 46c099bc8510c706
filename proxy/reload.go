package proxy

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/filelock"
	"github.com/banyan-fig/banyan/proxy/route"
	"github.com/banyan-fig/banyan/proxy/route/source"
)

// readTimeout bounds one look at the source.
const readTimeout = 10 * time.Second

// Source is where a route file is kept, and its history; proxy/route/source has three. The
// errors are those of that package.
type Source interface {
	// String names the place.
	String() string
	// Read returns what stands; last, where that is given and nothing has changed.
	Read(ctx context.Context, last *source.Document) (*source.Document, error)
	// Write puts content in the place of last, nil for no document.
	Write(ctx context.Context, last *source.Document, content []byte) (*source.Document, error)
	// History lists what stood, the newest first.
	History(ctx context.Context) ([]source.Version, error)
	// Version returns what stood by its ID.
	Version(ctx context.Context, id string) ([]byte, error)
}

// Reloader activates the route file of a source whenever that changes. What does not compile, or
// cannot be had, leaves the routes in force as they are. Its methods may be called at the
// same time; Proxy is set after [Reloader.First].
type Reloader struct {
	Proxy  *Proxy
	Source Source
	Every  time.Duration // how often the source is looked at, at most; default 500 ms
	// Copy is a file that gets what is put in force, for a start while the source is away or
	// has what does not compile. Default: none, such a start fails.
	Copy string
	Log  *slog.Logger // what was loaded or refused, and the audit of changes; default discards

	turn   sync.Mutex       // for what reads, writes or swaps
	last   *source.Document // that was read last
	unused *route.Table     // of last, which could not be put in force yet

	mu    sync.Mutex // for what is told of it
	state SourceState
	force []byte // the document in force
}

// SourceState is how the source of the routes is doing.
type SourceState struct {
	Place    string    `json:"place"`
	Read     time.Time `json:"read,omitzero"`     // when it was last read well
	Failures int64     `json:"failures"`          // looks that failed
	Away     string    `json:"away,omitempty"`    // why the last look failed
	Refused  string    `json:"refused,omitempty"` // why what stands there is not in force
}

// First compiles what the source has, or else the copy, for [New].
func (r *Reloader) First(ctx context.Context) (*route.Table, error) {
	r.turn.Lock()
	defer r.turn.Unlock()
	doc, err := r.read(ctx, nil)
	var t *route.Table
	if err == nil {
		t, err = r.compile(doc.Content)
	}
	if err == nil {
		r.setForce(doc.Content)
		return t, nil
	}
	if r.Copy == "" {
		return nil, err
	}
	if doc != nil {
		r.refuse(err)
	}
	src, readErr := os.ReadFile(r.Copy)
	if readErr == nil {
		t, readErr = r.compile(src)
	}
	if readErr != nil {
		return nil, fmt.Errorf("%w; nor can the copy be used: %w", err, readErr)
	}
	r.log().Warn("routes of the copy are in force", "copy", r.Copy, "digest", t.Digest, "instead", err.Error())
	r.setForce(src)
	return t, nil
}

// Run looks at the source until ctx ends.
func (r *Reloader) Run(ctx context.Context) {
	r.keepCopy()
	every := backoff.Backoff{Min: cmp.Or(r.Every, 500*time.Millisecond)} // spread over its upper half
	for every.Wait(ctx, 0) == nil {
		r.Look(ctx)
	}
}

// Look activates what the source has if that is new. Run calls it.
func (r *Reloader) Look(ctx context.Context) {
	r.turn.Lock()
	defer r.turn.Unlock()
	last := r.last
	doc, err := r.read(ctx, last)
	switch {
	case err != nil:
	case doc != last:
		_ = r.use(ctx, doc.Content)
	case r.unused != nil:
		_ = r.activate(ctx, doc.Content, r.unused)
	}
}

// Reload reads the source now. The error says why what it has is not in force.
func (r *Reloader) Reload(ctx context.Context) error {
	r.turn.Lock()
	defer r.turn.Unlock()
	doc, err := r.read(ctx, nil)
	if err != nil {
		return err
	}
	return r.use(ctx, doc.Content)
}

// read looks at the source.
func (r *Reloader) read(ctx context.Context, last *source.Document) (*source.Document, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	doc, err := r.Source.Read(ctx, last)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		if r.state.Failures++; r.state.Away == "" && r.Proxy != nil {
			r.log().Error("routes cannot be read, the previous ones stay in force", "error", err.Error())
		}
		r.state.Away = err.Error()
		return nil, err
	}
	if r.state.Away != "" {
		r.log().Info("routes can be read again", "file", r.Source.String())
	}
	r.state.Read, r.state.Away = time.Now(), ""
	r.last = doc
	return doc, nil
}

func (r *Reloader) compile(src []byte) (*route.Table, error) {
	return route.Compile(r.Source.String(), src, os.LookupEnv)
}

// use puts a document in force.
func (r *Reloader) use(ctx context.Context, src []byte) error {
	r.unused = nil
	t, err := r.compile(src)
	if err != nil {
		r.refuse(err)
		return err
	}
	return r.activate(ctx, src, t)
}

func (r *Reloader) activate(ctx context.Context, src []byte, t *route.Table) error {
	r.unused = nil
	if t.Digest != r.Proxy.Table().Digest {
		if err := r.Proxy.Swap(ctx, t); err != nil {
			r.unused = t
			r.refuse(err)
			return err
		}
		r.log().Info("routes in force", "file", t.File, "digest", t.Digest, "routes", len(t.Routes))
	}
	r.refuse(nil)
	r.setForce(src)
	r.keepCopy()
	return nil
}

// refuse remembers why the document is not in force, and logs it once.
func (r *Reloader) refuse(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	why := ""
	if err != nil {
		why = err.Error()
	}
	if why != "" && why != r.state.Refused && r.Proxy != nil {
		r.log().Error("routes refused, the previous ones stay in force", "error", why)
	}
	r.state.Refused = why
}

func (r *Reloader) setForce(src []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.force = src
}

// keepCopy writes what is in force to the copy.
func (r *Reloader) keepCopy() {
	if r.Copy == "" {
		return
	}
	src, _ := r.InForce()
	if err := filelock.Replace(r.Copy, src); err != nil {
		r.log().Error("the copy of the routes cannot be written", "error", err.Error())
	}
}

// InForce returns the document in force, and its version, which is the digest of the table.
func (r *Reloader) InForce() (src []byte, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.force, route.Digest(r.force)
}

// State tells how the source is doing.
func (r *Reloader) State() SourceState {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.state
	s.Place = r.Source.String()
	return s
}

func (r *Reloader) log() *slog.Logger {
	if r.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return r.Log
}
