package entitytest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/services/entity"
)

// The operations of a play.
const (
	opGet    = "get"
	opMany   = "get many"
	opCreate = "create"
	opUpdate = "update"
	opDelete = "delete"
)

// A play is few documents that several processes work on at once.
const (
	playProcesses = 3
	playWorkers   = 6
	playDocuments = 4
	playEach      = 20  // operations in a part of a play
	playMost      = 900 // in all parts, so that they can be checked
	playParts     = 4
)

// play is random operations on few documents, and what their callers saw.
type play struct {
	*kit
	t       testing.TB
	tell    bool
	late    bool // commands may come late
	began   time.Time
	working sync.WaitGroup

	mu        sync.Mutex
	processes []*instance
	rng       *rand.Rand
	budget    int // of operations
	more      *sync.Cond
	over      bool
	operated  int
	history   map[string][]operation // by the identity of the _id
	positions map[string]events.Position
}

// newPlay starts a play. Its seed is logged where it fails.
func (w *world) newPlay(t *testing.T, seed uint64, late bool, network func(n int) network) *play {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to run it again: entitytest.Config{Seed: %d}", seed)
		}
	})
	p := &play{late: late, kit: w.newKit(t, 0, ""), t: t, began: time.Now(), rng: rand.New(rand.NewPCG(seed, 1)), history: map[string][]operation{},
		positions: map[string]events.Position{}, tell: w.cfg.Plan.Outbox.Field != "" && w.cfg.Plan.Outbox.Table != ""}
	p.more = sync.NewCond(&p.mu)
	for n := range playProcesses {
		p.processes = append(p.processes, w.newInstance(t, network(n)))
	}
	for n := range playWorkers {
		p.working.Go(func() { p.work(rand.New(rand.NewPCG(seed, uint64(n)+2))) })
	}
	t.Cleanup(p.end)
	return p
}

// run has the workers make some operations more, and returns when they have.
func (p *play) run() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.budget += playEach
	p.more.Broadcast()
	for p.operated < p.budget {
		p.more.Wait()
	}
}

// besides does something while the workers work, and has them go on behind it.
func (p *play) besides(do func()) {
	done := make(chan struct{})
	var working sync.WaitGroup
	working.Go(func() {
		for range playMost / playEach / playParts {
			p.run()
			select {
			case <-done:
				return
			default:
			}
		}
	})
	defer working.Wait()
	defer close(done)
	do()
}

// end returns when the workers have ended.
func (p *play) end() {
	p.mu.Lock()
	p.over = true
	p.more.Broadcast()
	p.mu.Unlock()
	p.working.Wait()
}

func (p *play) work(r *rand.Rand) {
	for n := 0; ; n++ {
		p.mu.Lock()
		for !p.over && p.budget <= p.operated {
			p.more.Wait()
		}
		over, i := p.over, p.processes[r.IntN(len(p.processes))]
		p.mu.Unlock()
		if over {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience/4)
		p.operate(ctx, i, r, fmt.Sprintf("%x.%d", r.Uint32(), n))
		_ = backoff.Sleep(ctx, time.Duration(r.IntN(20))*time.Millisecond)
		cancel()
		p.mu.Lock()
		p.operated++
		p.more.Broadcast()
		p.mu.Unlock()
	}
}

// number is that of one of the documents of a play.
func number(r *rand.Rand) int { return 1 + r.IntN(playDocuments) }

// operate makes a random operation.
func (p *play) operate(ctx context.Context, i *instance, r *rand.Rand, token string) {
	n := number(r)
	o := entity.Options{}
	if p.tell {
		o.Tell = i.tell
	}
	switch k := r.IntN(20); {
	case k < 5:
		p.get(ctx, i, n)
	case k < 7:
		p.getMany(ctx, i, n, number(r))
	case k < 11:
		p.make(ctx, i, n, p.claimed(r, n, token), o)
	case k < 18:
		p.update(ctx, i, n, p.claimed(r, n, token), o)
	default:
		p.remove(ctx, i, n, o)
	}
}

func (p *play) idOf(n int) bson.RawValue {
	return id(marshal(p.t, p.w.cfg.Document(n)))
}

// claimed is a document of a number with a value of its own. Now and then it claims the unique
// values of another number.
func (p *play) claimed(r *rand.Rand, n int, token string) bson.Raw {
	of := n
	if r.IntN(4) == 0 {
		of = number(r)
	}
	return with(p.t, with(p.t, marshal(p.t, p.w.cfg.Document(of)), "_id", p.idOf(n)), valueField, token)
}

func tokenOf(doc bson.Raw) string {
	token, _ := doc.Lookup(valueField).StringValueOK()
	return token
}

// note writes down what an operation came to.
func (p *play) note(n int, o operation, began time.Time) {
	o.began, o.epoch = began.Sub(p.began), p.a.member.Record().Epoch
	if o.ended == 0 {
		o.ended = time.Since(p.began)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := codec.Identity(p.idOf(n))
	p.history[key] = append(p.history[key], o)
}

// noteUnknown writes down a write that may have had its effect, or has it yet.
func (p *play) noteUnknown(n int, o operation, began time.Time) {
	o.ended = never
	o.reads = o.what == opCreate
	p.note(n, o, began)
}

// noteRefused writes down a write that was refused for a value that was another document's. It has
// had no effect, unless it was sent twice, and one that came late found the value free.
func (p *play) noteRefused(n int, o operation, began time.Time) {
	if p.late {
		p.noteUnknown(n, o, began)
	}
}

// found is an operation that says what there is.
func found(what string, doc bson.Raw) operation {
	return operation{what: what, reads: true, from: tokenOf(doc)}
}

func (p *play) get(ctx context.Context, i *instance, n int) {
	began := time.Now()
	doc, err := i.Get(ctx, p.idOf(n))
	if err == nil || errors.Is(err, entity.ErrNotFound) {
		p.note(n, found(opGet, doc), began)
	}
}

func (p *play) getMany(ctx context.Context, i *instance, n, m int) {
	began := time.Now()
	docs, err := i.GetMany(ctx, p.idOf(n), p.idOf(m))
	if err != nil {
		return
	}
	for _, one := range []int{n, m} {
		at := slices.IndexFunc(docs, func(doc bson.Raw) bool { return id(doc).Equal(p.idOf(one)) })
		var doc bson.Raw
		if at >= 0 {
			doc = docs[at]
		}
		p.note(one, found(opMany, doc), began)
	}
}

// published remembers where the event of a write is said to be.
func (p *play) published(w entity.Written, token string) {
	if w.Repeated || w.Position == (events.Position{}) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.positions[token] = w.Position
}

func (p *play) make(ctx context.Context, i *instance, n int, doc bson.Raw, o entity.Options) {
	began := time.Now()
	w, err := i.Create(ctx, doc, o)
	made := operation{what: opCreate, reads: true, writes: true, to: tokenOf(doc)}
	switch {
	case errors.Is(err, entity.ErrTaken):
		p.noteRefused(n, made, began)
	case errors.Is(err, entity.ErrExists):
		p.note(n, found(opCreate+"?", w.Doc), began)
		p.noteUnknown(n, made, began) // by an attempt whose answer was lost, and changed since
	case err == nil, errors.Is(err, entity.ErrNotPublished):
		p.note(n, made, began)
		p.published(w, made.to)
	default:
		p.noteUnknown(n, made, began)
	}
}

func (p *play) update(ctx context.Context, i *instance, n int, doc bson.Raw, o entity.Options) {
	began := time.Now()
	var from bson.Raw
	w, err := i.Update(ctx, p.idOf(n), func(current bson.Raw) (bson.Raw, error) { from = current; return doc, nil }, o)
	changed := operation{what: opUpdate, reads: true, from: tokenOf(from), writes: true, to: tokenOf(doc)}
	switch {
	case errors.Is(err, entity.ErrTaken):
		p.noteRefused(n, changed, began)
	case errors.Is(err, entity.ErrNotFound):
		p.note(n, found(opUpdate+"?", nil), began)
		p.noteUnknown(n, changed, began)
	case err == nil, errors.Is(err, entity.ErrNotPublished):
		p.note(n, changed, began)
		p.published(w, changed.to)
		if before := i.Version(from); w.Version != before+1 {
			p.t.Errorf("version %d became %d by an update", before, w.Version)
		}
	default:
		p.noteUnknown(n, changed, began)
	}
}

func (p *play) remove(ctx context.Context, i *instance, n int, o entity.Options) {
	began := time.Now()
	w, err := i.Delete(ctx, p.idOf(n), o)
	removed := operation{what: opDelete, reads: true, from: tokenOf(w.Doc), writes: true}
	switch {
	case errors.Is(err, entity.ErrNotFound):
		p.note(n, found(opDelete+"?", nil), began)
	case err == nil, errors.Is(err, entity.ErrNotPublished):
		p.note(n, removed, began)
	default:
		p.noteUnknown(n, removed, began)
	}
}

// check compares what the callers saw with what could have happened, and with what there is.
func (p *play) check(t *testing.T) {
	t.Helper()
	p.end()
	holders := map[string]int{}
	for n := 1; n <= playDocuments; n++ {
		began := time.Now()
		doc, err := p.a.Get(t.Context(), p.idOf(n))
		if err != nil && !errors.Is(err, entity.ErrNotFound) {
			t.Fatal(err)
		}
		p.note(n, found(opGet, doc), began)
		p.mu.Lock()
		ops := p.history[codec.Identity(p.idOf(n))]
		p.mu.Unlock()
		if err := checkHistory(ops); err != nil {
			t.Errorf("document %d: %v", n, err)
		}
		p.checkUnique(t, doc, holders)
		if p.tell {
			p.checkEvents(t, n, doc)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.history) < playDocuments || p.operated < playEach {
		t.Errorf("only %d operations on %d documents were made", p.operated, len(p.history))
	}
}

// checkUnique: no two documents have one value, and each is found by its own.
func (p *play) checkUnique(t *testing.T, doc bson.Raw, holders map[string]int) {
	t.Helper()
	if doc == nil {
		return
	}
	values, err := p.w.cfg.Plan.UniqueValues(doc)
	must(t, err)
	for i, value := range values {
		u := &p.w.cfg.Plan.Unique[i]
		if value == "" || u.Field == "_id" {
			continue
		}
		if holders[value]++; holders[value] > 1 {
			t.Errorf("%d documents have the value %q", holders[value], value)
		}
		got, err := p.b.ByUnique(t.Context(), only(t, doc, u.Names()))
		must(t, err)
		p.mustBe(t, "ByUnique", got, doc)
	}
}

// checkEvents: the events of a document tell one write after the other, to the last. What became
// of a write that had no answer they may tell or not.
func (p *play) checkEvents(t *testing.T, n int, doc bson.Raw) {
	t.Helper()
	unsure := map[string]bool{}
	for _, o := range p.history[codec.Identity(p.idOf(n))] {
		unsure[o.to] = unsure[o.to] || o.ended == never
	}
	var all []told
	var chain []note
	defer func() {
		if t.Failed() {
			t.Logf("document %d: the events are %+v", n, chain)
		}
	}()
	var lead func(from []note, version int64) bool
	lead = func(from []note, version int64) bool {
		if len(from) == 0 {
			return version == p.a.Version(doc)
		}
		e := from[0]
		return e.Before == version && lead(from[1:], e.After) || unsure[e.Value] && lead(from[1:], version)
	}
	eventually(t, "the events of a document lead to it", func() bool {
		all, chain = p.w.told(t, p.idOf(n)), nil
		for _, e := range all {
			if e.Before != e.After && (len(chain) == 0 || e.note != chain[len(chain)-1]) { // else it is told again
				chain = append(chain, e.note)
			}
		}
		return lead(chain, 0)
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.history[codec.Identity(p.idOf(n))] {
		at, known := p.positions[o.to]
		if known && o.writes && !slices.ContainsFunc(all, func(e told) bool { return e.Value == o.to && (e.at == at || slices.Contains(e.again, at)) }) {
			t.Errorf("document %d: the event of %v is not at %v", n, o, at)
		}
	}
}
