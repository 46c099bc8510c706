package fence_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/migrate/fence"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/source"
)

// open connects a session, as one that is about to send something.
func (w *world) open(s *fence.Session) {
	w.t.Helper()
	f := w.fence(func(f *fence.Fence) { f.DDL = s })
	if err := f.Discard(w.ctx, "users__banyan_stray_g1"); !contains(err, "does not exist") {
		w.t.Fatal(err)
	}
}

// looking is a session with a context that ends when it looks for connections once more than
// twice.
func (w *world) looking() (context.Context, *fence.Session) {
	ctx, cancel := context.WithCancel(w.ctx)
	w.t.Cleanup(cancel)
	dial, looks := w.dial(w.uri), 0
	s := fence.NewSession(func(application, host string, dialer options.ContextDialer) (*mongo.Client, error) {
		if application == "banyan-migrate look" {
			if looks++; looks > 2 {
				cancel()
			}
		}
		return dial(application, host, dialer)
	}, w.db.Name(), "users")
	w.t.Cleanup(s.Close)
	return ctx, s
}

// abandonFails tries to abandon until it has looked for connections several times, and
// returns what it then says.
func (w *world) abandonFails() error {
	w.t.Helper()
	rec := w.record()
	ctx, s := w.looking()
	_, err := w.fence(func(f *fence.Fence) { f.DDL = s }).Abandon(ctx)
	s.Close()
	if now := w.record(); now.Collection != rec.Collection || now.Hold {
		w.t.Errorf("%+v", now)
	}
	if e := w.at("users"); !e.View {
		w.t.Errorf("%+v", e)
	}
	return err
}

// While a connection is open over which a command may arrive, the public name is not given
// back: also when the process behind it has ended, and a proxy holds the command back.
func TestAbandonWaitsForConnections(t *testing.T) {
	t.Run("of another process", func(t *testing.T) {
		w := newWorld(t)
		first := w.fence()
		w.encapsulate(first)
		first.DDL.Close()
		other := w.session(w.uri)
		w.open(other)
		if err := w.abandonFails(); !errors.Is(err, fence.ErrNotAlone) || !contains(err, "from 127.0.0.1:") {
			t.Errorf("%v", err)
		}
		other.Close()
		_, err := w.fence().Abandon(w.ctx)
		w.must(err)
		w.mustBeHome(ownership.Abandoned, "user")
	})
	t.Run("of one that has ended, behind a proxy", func(t *testing.T) {
		w := newWorld(t)
		first := w.fence()
		w.encapsulate(first)
		first.DDL.Close()
		// The drop of a view that holds a collection by the time it arrives.
		l := &linktest.Link{Choose: func(c linktest.Command) linktest.Fate {
			if c.Name == "drop" {
				return linktest.Late
			}
			return linktest.Deliver
		}, Delay: 3 * time.Second}
		server, err := url.Parse(w.uri)
		w.must(err)
		proxy, err := l.StartProxy(server.Host)
		w.must(err)
		defer proxy.Close()
		server.Host, server.RawQuery = proxy.Addr(), "directConnection=true"
		f := w.fence(func(f *fence.Fence) { f.DDL, f.Budget = w.session(server.String()), time.Second })
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			ctx, cancel := context.WithCancel(w.ctx)
			w.before("drop", sync.OnceFunc(func() { time.AfterFunc(100*time.Millisecond, cancel) }))
			_, _ = f.Abandon(ctx)
			f.DDL.Close()
		}()
		<-ended
		_, err = w.fence(func(f *fence.Fence) { f.Budget = time.Second }).Abandon(w.ctx)
		w.must(err)
		w.mustBeHome(ownership.Abandoned, "user")
		l.AwaitLate()
		w.mustBeHome(ownership.Abandoned, "user")
	})
}

// dials are counts by application name.
type dials struct {
	mu   sync.Mutex
	made map[string]int // connections, since the first command
	sent map[string]int // commands
}

type countingDialer struct {
	*dials
	next        options.ContextDialer
	application string
}

func (d countingDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.next.DialContext(ctx, network, address)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil && d.sent[d.application] > 0 {
		d.made[d.application]++
	}
	return conn, err
}

// A session that has sent a command makes no connection any more, also when the one it has
// is given up: the next command goes over one with another application name.
func TestASessionIsNeverConnectedAgain(t *testing.T) {
	const idle = 200 * time.Millisecond
	w := newWorld(t)
	d := &dials{made: map[string]int{}, sent: map[string]int{}}
	f := w.fence(func(f *fence.Fence) {
		f.DDL = fence.NewSession(func(application, host string, dialer options.ContextDialer) (*mongo.Client, error) {
			o := options.Client().ApplyURI(w.uri).SetAppName(application).SetMaxConnIdleTime(idle)
			if dialer != nil {
				o.SetDialer(countingDialer{d, dialer, application})
				o.SetMonitor(&event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
					d.mu.Lock()
					defer d.mu.Unlock()
					if e.CommandName != "ping" {
						d.sent[application]++
					}
				}})
			}
			return mongo.Connect(o)
		}, w.db.Name(), "users")
	})
	t.Cleanup(f.DDL.Close)
	w.encapsulate(f)
	<-time.After(2 * idle)
	w.moveAndUndo(f)
	w.mustStand(f, w.record().Collection)
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.sent) < 2 {
		t.Errorf("all commands under one name: %v", d.sent)
	}
	for application, n := range d.made {
		t.Errorf("%d connections of %q were made after its first command", n, application)
	}
}

// The settings of the URI do not matter, nor does an application name in it.
func TestASessionHeedsNoReadPreference(t *testing.T) {
	w := newWorld(t)
	uri := w.uri + "&readPreference=secondary&w=1&retryWrites=false&appName=mine&maxIdleTimeMS=50"
	f := w.fence(func(f *fence.Fence) {
		f.DDL = w.session(uri)
		f.DB = source.Primary(w.connect(uri), w.db.Name())
	})
	w.encapsulate(f)
	w.moveAndUndo(f)
	w.mustStand(f, w.record().Collection)
	_, err := f.Abandon(w.ctx)
	w.must(err)
	w.mustBeHome(ownership.Abandoned, "user")
	for _, s := range w.all("writeConcern") {
		if s.command.Lookup("writeConcern", "w").StringValue() != "majority" {
			t.Errorf("%s", s.command)
		}
	}
}

// termDialer lets the server's answers name another term of the primary.
type termDialer struct{ term *atomic.Int64 }

type termConn struct {
	net.Conn
	term *atomic.Int64
}

func (d termDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	return termConn{conn, d.term}, err
}

// firstElection is the sandbox's electionId.
const firstElection = "\x7f\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x01"

func (c termConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if i := strings.Index(string(b[:n]), firstElection); i >= 0 {
		b[i+len(firstElection)-1] = byte(c.term.Load())
	}
	return n, err
}

// A fail-over after the process has seen the collection under its next name takes the move
// back before a majority has it: nothing is adopted that is not there, and it moves again.
func TestAFailOverTakesAMoveBack(t *testing.T) {
	for what, takeBack := range map[string]func(w *world){
		"the rename": func(w *world) {
			w.must(w.raw(w.db.Name(), bson.D{{Key: "drop", Value: "users"}}))
			w.rename("users__banyan_g1", "users", false)
		},
		"the view": func(w *world) { w.must(w.raw(w.db.Name(), bson.D{{Key: "drop", Value: "users"}})) },
		"nothing":  func(*world) {},
	} {
		t.Run(what, func(t *testing.T) {
			inBoth(t, func(t *testing.T, w *world) {
				var term, barriers atomic.Int64
				term.Store(1)
				client := w.connect(w.uri, func(o *options.ClientOptions) {
					o.SetDialer(termDialer{&term}).SetMonitor(&event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
						if e.CommandName == "insert" && barriers.Add(1) == 1 {
							takeBack(w)
							term.Add(1)
						}
					}})
				})
				f := w.fence(func(f *fence.Fence) { f.DB = source.Primary(client, w.db.Name()) })
				w.encapsulate(f)
				w.mustStand(f, "users__banyan_g1")
				if n := barriers.Load(); n != 2 {
					t.Errorf("%d barriers, want one for each term", n)
				}
			})
		})
	}
}

// TestAMemberThatIsDownForGood: an abandonment needs the answer of every member, unless an
// operator says that this one does not come back. One that answers is asked all the same.
func TestAMemberThatIsDownForGood(t *testing.T) {
	w := newWorld(t)
	first := w.fence()
	w.encapsulate(first)
	first.DDL.Close()
	server, err := url.Parse(w.uri)
	w.must(err)
	dial := w.dial(w.uri)
	session := func(without string) *fence.Session {
		s := fence.NewSession(func(application, host string, dialer options.ContextDialer) (*mongo.Client, error) {
			if host == "" {
				return dial(application, host, dialer)
			}
			return mongo.Connect(options.Client().SetHosts([]string{"127.0.0.1:1"}).SetDirect(true).SetServerSelectionTimeout(100 * time.Millisecond))
		}, w.db.Name(), "users")
		s.Without = []string{without}
		t.Cleanup(s.Close)
		return s
	}
	abandon := func(s *fence.Session) error {
		_, err := w.fence(func(f *fence.Fence) { f.DDL = s }).Abandon(w.ctx)
		return err
	}
	down := session("")
	down.Without = nil
	if err := abandon(down); !contains(err, "--without-member "+server.Host) {
		t.Errorf("%v", err)
	}
	if err := abandon(session("elsewhere:27017")); !errors.Is(err, fence.ErrNoMember) || !contains(err, server.Host) {
		t.Errorf("%v", err)
	}
	other := w.session(w.uri)
	w.open(other)
	ctx, asked := w.looking()
	asked.Without = []string{server.Host}
	if _, err := w.fence(func(f *fence.Fence) { f.DDL = asked }).Abandon(ctx); !errors.Is(err, fence.ErrNotAlone) {
		t.Errorf("a member that answers is not asked: %v", err)
	}
	asked.Close()
	other.Close()
	w.must(abandon(session(server.Host)))
	w.mustBeHome(ownership.Abandoned, "user")
}
