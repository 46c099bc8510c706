package legacydb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/auth"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/description"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/mnet"
	//lint:ignore SA1019 see the package comment: there is no other way below one client
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/session"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"
)

// generation is the servers and connections of one URI.
type generation struct {
	*topology.Topology
	over    context.Context // ends when there is a next one
	replace context.CancelFunc
}

// dial connects by a URI, and returns when a server has answered and let it in.
func dial(ctx context.Context, uri string) (*generation, error) {
	parsed, err := parse(uri)
	if err != nil {
		return nil, err
	}
	opts := options.Client().ApplyURI(uri)
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("connect to MongoDB: %w", err)
	}
	//lint:ignore SA1019 as above
	cfg, err := topology.NewConfig(opts, new(session.ClusterClock))
	if err != nil {
		return nil, fmt.Errorf("connect to MongoDB: %w", err)
	}
	t, err := topology.New(cfg)
	if err == nil {
		err = t.Connect()
	}
	if err != nil {
		return nil, fmt.Errorf("connect to MongoDB: %w", err)
	}
	g := &generation{Topology: t}
	g.over, g.replace = context.WithCancel(context.Background())
	if err := g.answers(ctx); err != nil {
		g.close(0)
		return nil, noAnswer(parsed, err)
	}
	return g, nil
}

// answers gets a connection to the primary, the handshake and log-in of which show
// that the URI is good.
func (g *generation) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	server, err := g.SelectServer(ctx, primary{})
	if err != nil {
		return err
	}
	conn, err := server.Connection(ctx)
	if err != nil {
		return err
	}
	return conn.Close()
}

// close lets operations end for a while.
func (g *generation) close(while time.Duration) {
	g.replace()
	ctx, cancel := context.WithTimeout(context.Background(), while)
	defer cancel()
	_ = g.Disconnect(ctx) // it fails only if it was closed before
}

// primary selects servers that take writes.
type primary struct{}

// SelectServer implements description.ServerSelector.
func (primary) SelectServer(t description.Topology, candidates []description.Server) ([]description.Server, error) {
	var out []description.Server
	for _, s := range candidates {
		switch s.Kind {
		case description.ServerKindRSPrimary, description.ServerKindMongos, description.ServerKindStandalone, description.ServerKindLoadBalancer:
			out = append(out, s)
		}
	}
	return out, nil
}

// deployment is what a mongo.Client believes to be its servers: those of the
// newest generation.
type deployment struct {
	now      atomic.Pointer[generation]
	patience time.Duration
	hurry    func()                // the credentials were refused
	end      func(context.Context) // stops the following; set before the first Disconnect

	mu      sync.Mutex
	updates chan description.Topology // for the client's pool of sessions
}

var (
	_ driver.Deployment   = (*deployment)(nil)
	_ driver.Disconnector = (*deployment)(nil)
	_ driver.Subscriber   = (*deployment)(nil)
)

func newDeployment(g *generation, patience time.Duration, hurry func()) *deployment {
	d := &deployment{patience: patience, hurry: hurry, end: func(context.Context) {}, updates: make(chan description.Topology, 1)}
	d.swap(g)
	return d
}

// swap brings next into force and returns what was.
func (d *deployment) swap(next *generation) (old *generation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-d.updates:
	default:
	}
	d.updates <- next.Description() // sessions last as long as the servers there say
	if old = d.now.Swap(next); old != nil {
		old.replace()
	}
	return old
}

// SelectServer implements driver.Deployment. Who waits for a server when there is a
// next generation goes on to look there.
func (d *deployment) SelectServer(ctx context.Context, selector description.ServerSelector) (driver.Server, error) {
	for {
		g := d.now.Load()
		chosen, err := g.choose(ctx, selector)
		if err == nil {
			s := &server{deployment: d, selector: selector}
			s.at.Store(&place{chosen, g})
			return s, nil
		}
		if d.now.Load() == g || ctx.Err() != nil {
			return nil, err
		}
	}
}

func (g *generation) choose(ctx context.Context, selector description.ServerSelector) (driver.Server, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(g.over, cancel)()
	return g.Topology.SelectServer(ctx, selector)
}

// Kind implements driver.Deployment.
func (d *deployment) Kind() description.TopologyKind { return d.now.Load().Kind() }

// GetServerSelectionTimeout implements driver.Deployment.
func (d *deployment) GetServerSelectionTimeout() time.Duration {
	return d.now.Load().GetServerSelectionTimeout()
}

// Disconnect implements driver.Disconnector.
func (d *deployment) Disconnect(ctx context.Context) error {
	d.end(ctx)
	g := d.now.Load()
	g.replace()
	return g.Topology.Disconnect(ctx)
}

// Subscribe implements driver.Subscriber, for the one client.
func (d *deployment) Subscribe() (*driver.Subscription, error) {
	return &driver.Subscription{Updates: d.updates}, nil
}

// Unsubscribe implements driver.Subscriber.
func (d *deployment) Unsubscribe(*driver.Subscription) error { return nil }

// server is a server that was selected. If it refuses the credentials it becomes
// one of the next generation.
type server struct {
	deployment *deployment
	selector   description.ServerSelector
	at         atomic.Pointer[place]
}

type place struct {
	driver.Server
	of *generation
}

var (
	_ driver.Server         = (*server)(nil)
	_ driver.ErrorProcessor = (*server)(nil)
)

// Connection implements driver.Server. Nothing was sent when a connection cannot be
// had, so trying again repeats nothing.
func (s *server) Connection(ctx context.Context) (*mnet.Connection, error) {
	at := s.at.Load()
	conn, err := at.Connection(ctx)
	if err == nil || !credentialsRefused(err) {
		return conn, err
	}
	s.deployment.hurry()
	next, ok := s.deployment.after(ctx, at.of)
	if !ok {
		return nil, err
	}
	chosen, selectErr := next.choose(ctx, s.selector)
	if selectErr != nil {
		return nil, errors.Join(err, selectErr)
	}
	s.at.Store(&place{chosen, next})
	return chosen.Connection(ctx)
}

// after waits for the generation after g, for as long as patience and ctx allow.
func (d *deployment) after(ctx context.Context, g *generation) (*generation, bool) {
	timer := time.NewTimer(d.patience)
	defer timer.Stop()
	select {
	case <-g.over.Done():
	case <-timer.C:
	case <-ctx.Done():
	}
	next := d.now.Load()
	return next, next != g
}

// RTTMonitor implements driver.Server.
func (s *server) RTTMonitor() driver.RTTMonitor { return s.at.Load().RTTMonitor() }

// ProcessError implements driver.ErrorProcessor.
func (s *server) ProcessError(err error, desc mnet.Describer) driver.ProcessErrorResult {
	if p, ok := s.at.Load().Server.(driver.ErrorProcessor); ok {
		return p.ProcessError(err, desc)
	}
	return driver.NoChange
}

// credentialsRefused tells a log-in that was refused from one that was broken off.
func credentialsRefused(err error) bool {
	var refusal *auth.Error
	var broken net.Error
	return errors.As(err, &refusal) && !errors.As(err, &broken) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
}

// Codes of the server: Unauthorized, AuthenticationFailed, and AtlasError.
var unauthorizedCodes = []int32{13, 18, 8000}

// unauthorized tells whether the server refused a command to its user.
func unauthorized(err error) bool {
	var failure driver.Error
	if !errors.As(err, &failure) {
		return false
	}
	for _, code := range unauthorizedCodes {
		if failure.Code == code {
			return true
		}
	}
	return false
}
