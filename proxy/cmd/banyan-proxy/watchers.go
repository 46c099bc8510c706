package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/infra/telemetry/spans"
	"github.com/banyan-fig/banyan/proxy/diff"
	"github.com/banyan-fig/banyan/proxy/guard"
	"github.com/banyan-fig/banyan/proxy/guard/peers"
	"github.com/banyan-fig/banyan/proxy/observation"
	"github.com/banyan-fig/banyan/proxy/override"
	"github.com/banyan-fig/banyan/proxy/shadow"
)

const (
	maxSamples = 64 << 20         // bytes of the file of samples, and the one before it
	keepEvery  = 10 * time.Second // comparisons are written
	minToken   = 16               // characters of the admin token: a placeholder such as unset is none
)

// watchers look at what the proxy does, and turn its routes.
type watchers struct {
	overrides *override.Table
	guard     *guard.Guard
	shadow    *shadow.Shadow
	sinks     []observation.Sink
	spans     trace.TracerProvider // nil: none are sent
	figures   []prometheus.Collector
	closers   []func()
}

func (w *watchers) close() {
	for _, c := range w.closers {
		c()
	}
}

func (f flags) watchers(ctx context.Context, settings *config.Settings, log *slog.Logger) (*watchers, error) {
	w := &watchers{}
	overrides, guards := override.Config{Log: log}, guard.Config{Log: log}
	switch table, shared := strings.CutPrefix(f.Serve.Overrides, "dynamodb:"); {
	case shared:
		cfg, err := awssdk.Load(ctx)
		if err != nil {
			return nil, err
		}
		client := dynamodb.NewFromConfig(cfg)
		overrides.Store = override.NewDynamoDB(client, table, f.Serve.Fleet)
		guards.Peers = peers.New(client, table, f.Serve.Fleet)
	case f.Serve.Overrides != "":
		overrides.Store = override.NewFile(f.Serve.Overrides)
	}
	w.overrides = override.New(overrides)
	if err := w.overrides.Sync(ctx); err != nil {
		return nil, fmt.Errorf("read the overrides, which could say that a route must not be forwarded: %w", err)
	}
	guards.Overrides = w.overrides
	w.guard = guard.New(guards)
	shadows := shadow.Config{Log: log, Observe: func(r shadow.Result) {
		switch r.Outcome {
		case shadow.Equal, shadow.Late, shadow.Differs:
			w.guard.Compared(r.Route, r.Outcome == shadow.Differs)
		}
	}}
	if f.Serve.Samples != "" {
		file, err := diff.OpenFile(f.Serve.Samples, maxSamples)
		if err != nil {
			return nil, err
		}
		shadows.Samples = file
		w.closers = append(w.closers, func() { _ = file.Close() })
	}
	w.shadow = shadow.New(shadows)
	w.closers = append([]func(){w.shadow.Close}, w.closers...)
	if f.Serve.AccessLog >= 0 {
		access := observation.NewLog(os.Stdout, f.Serve.AccessLog)
		w.sinks = append(w.sinks, access)
		w.closers = append(w.closers, access.Close)
	}
	return w, w.trace(ctx, log)
}

// trace has spans sent where the environment says so; the last ones for a while after all else
// has ended.
func (w *watchers) trace(ctx context.Context, log *slog.Logger) error {
	p, err := spans.Open(ctx, "banyan-proxy", log)
	if err != nil {
		return fmt.Errorf("%w: %w", serving.ErrUsage, err)
	}
	if p == nil {
		return nil
	}
	w.spans, w.figures = p, []prometheus.Collector{p}
	w.closers = append(w.closers, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		p.Close(ctx)
	})
	return nil
}

// keep has the gates count on where the process before this one ended; the proxy has its routes.
func (w *watchers) keep(path string, log *slog.Logger) error {
	if path == "" {
		return nil
	}
	keeper, err := w.shadow.Book().Keep(path, keepEvery, log)
	if err != nil {
		return err
	}
	w.closers = append(w.closers, func() { // behind the shadow's, which comes first
		if err := keeper.Close(); err != nil {
			log.Error("comparisons are lost", "error", err.Error())
		}
	})
	return nil
}

// adminToken is what operators must show, "" for nothing. Where other machines can reach the
// address and no token was set, nobody has one: health checks alone are answered.
func (f flags) adminToken(ctx context.Context, settings *config.Settings, log *slog.Logger) (string, error) {
	if f.Serve.AdminToken == "" {
		host, _, err := net.SplitHostPort(f.Serve.AdminListen)
		addr, parseErr := netip.ParseAddr(host)
		if err == nil && host != "localhost" && (parseErr != nil || !addr.IsLoopback()) {
			log.Warn("operators are not served but for health checks, since other machines can reach their address: set --admin-token",
				"admin", f.Serve.AdminListen)
			return rand.Text(), nil
		}
		return "", nil
	}
	setting, err := settings.Secret(ctx, "BANYAN_PROXY_ADMIN_TOKEN", f.Serve.AdminToken)
	if err != nil {
		return "", err
	}
	secret, err := setting.Get(ctx)
	if err != nil {
		return "", err
	}
	if n := len(secret.Reveal()); n < minToken {
		return "", fmt.Errorf("%w: --admin-token has %d characters, and needs %d", serving.ErrUsage, n, minToken)
	}
	return secret.Reveal(), nil
}
