package mongodb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/store"
)

// Config says how to run a server. The zero value works.
type Config struct {
	Addr         string        // where to listen, loopback only; "" means "127.0.0.1:0"
	OplogEntries int           // the oplog's limit in entries; 0 means 500,000
	OplogBytes   int64         // the oplog's limit in bytes; 0 means 256 MiB
	History      time.Duration // how far back atClusterTime may reach; 0 means 5 minutes
	Passives     []string      // other members that it says the set has, which may be anything
	Now          func() time.Time
	Log          *slog.Logger // nil writes warnings to stderr

	// Fault is asked before each command but hello and its like; it must be
	// safe for concurrent use. nil means no faults.
	Fault func(command, namespace string) Fault
}

const maxConnections = 2000

// Validate says what is wrong with the configuration.
func (c Config) Validate() error {
	if c.OplogEntries < 0 || c.OplogBytes < 0 || c.History < 0 {
		return errors.New("mongodb: limits must not be negative")
	}
	if c.Addr == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return fmt.Errorf("mongodb: address %q: %w", c.Addr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("mongodb: %q is no loopback address: the sandbox has no authentication and listens on loopback only", host)
	}
	return nil
}

// Server is a running server. Its methods are safe for concurrent use.
type Server struct {
	cfg      Config
	listener net.Listener
	engine   *store.Engine
	sessions *sessions
	cursors  *cursors
	locks    *locks
	profiler profiler
	ctx      context.Context
	stop     context.CancelCauseFunc
	running  sync.WaitGroup

	mu     sync.Mutex
	conns  map[*conn]struct{}
	lastID int32
	lastOp atomic.Int32

	closed bool
}

// Start listens and serves until Close.
func Start(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Addr = cmp.Or(cfg.Addr, "127.0.0.1:0")
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	l, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("mongodb: listening on %s (is the port in use? port 0 takes a free one): %w", cfg.Addr, err)
	}
	s := &Server{cfg: cfg, listener: l, cursors: newCursors(), locks: newLocks(), conns: map[*conn]struct{}{}}
	s.sessions = newSessions(s)
	s.profiler = profiler{byDB: map[string]*profile{}, usage: map[store.Namespace]map[string]int64{}}
	s.engine = store.New(store.Config{OplogEntries: cfg.OplogEntries, OplogBytes: cfg.OplogBytes, History: cfg.History, Now: cfg.Now})
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	s.running.Add(1)
	go s.accept()
	return s, nil
}

// Addr is the address the server listens on, which is also its name in the
// replica set.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URI is a connection string for the server.
func (s *Server) URI() string { return "mongodb://" + s.Addr() + "/?replicaSet=" + setName }

// Close ends all connections and waits for what they were doing. The data is
// gone.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.stop(failure.New(failure.ShutdownInProgress, "the sandbox is shutting down"))
	err := s.listener.Close()
	for c := range s.conns {
		c.net.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
	return err
}

func (s *Server) accept() {
	defer s.running.Done()
	for {
		nc, err := s.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || s.ctx.Err() != nil {
				return
			}
			s.cfg.Log.Warn("mongodb: accepting a connection", "error", err)
			time.Sleep(10 * time.Millisecond) // out of file descriptors, most likely
			continue
		}
		s.serve(nc)
	}
}

func (s *Server) serve(nc net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= maxConnections {
		nc.Close()
		return
	}
	s.lastID++
	c := newConn(s, nc, s.lastID)
	s.conns[c] = struct{}{}
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		err := c.run()
		c.repeats.Wait()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
			s.cfg.Log.Debug("mongodb: connection ended", "id", c.id, "error", err)
		}
	}()
}
