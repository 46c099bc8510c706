package demo

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Up starts everything that a migration needs and leaves it running until ctx ends.
func Up(ctx context.Context, cfg Config) error {
	w, err := newWorld(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { w.Close(cfg.Keep) }()
	if err := w.startMonolith(ctx); err != nil {
		return err
	}
	guest := &mobile{http: newTraffic("", 0, nil).http, base: "http://" + w.addresses["proxy"],
		name: "Guest", mail: "guest@example.com", password: "correct horse"}
	defer guest.http.CloseIdleConnections()
	if err := guest.signUp(ctx); err != nil {
		return fmt.Errorf("sign up a guest: %w", err)
	}
	w.screen.heading("Everything is running. Ctrl-C ends it.")
	w.screen.print(w.directions(guest))
	for {
		select {
		case <-ctx.Done():
			w.screen.step("ending")
			return nil
		case <-time.After(time.Second):
			if err := w.checkProcesses(); err != nil {
				return err
			}
		}
	}
}

// directions says what can be tried, ready to paste.
func (w *World) directions(guest *mobile) string {
	a := w.addresses
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("  the old API, by the proxy   http://%s", a["proxy"])
	line("  the proxy's routes          http://%s/status", a["proxy-admin"])
	line("  the monolith itself         http://%s", a["monolith"])
	line("  the users service           http://%s    its metrics: http://%s/metrics.json", a["users"], a["users-admin"])
	line("  the relationships service   http://%s    its metrics: http://%s/metrics.json", a["relationships"], a["relationships-admin"])
	line("  the posts service           http://%s    its metrics: http://%s/metrics.json", a["posts"], a["posts-admin"])
	line("  the timeline API            http://%s", a["timeline"])
	line("  the route file              %s   (edit it: it is reloaded)", w.path("routes.yaml"))
	line("  the logs                    %s/*.log", w.dir)
	line("")
	line("A guest has signed up. Try:")
	line("")
	line("  TOKEN=%s", guest.token)
	line(`  curl -s -H "Authorization: Bearer $TOKEN" http://%s/api/v1/posts -d '{"text":"hello"}'`, a["proxy"])
	line(`  curl -s -H "Authorization: Bearer $TOKEN" http://%s/api/v1/timeline`, a["proxy"])
	line(`  curl -s 'http://%s/explain?path=/api/v1/timeline&subject=%s'`, a["proxy-admin"], guest.id)
	line("")
	line("Migrate users while it runs, and then relationships.yaml and posts.yaml:")
	line("")
	for _, export := range w.sandbox.Exports() {
		line("  %s", export)
	}
	line("  M='%s/banyan-migrate'; P='--plan %s'", w.cfg.Bin, w.path("users.yaml"))
	line("  $M plan $P && $M encapsulate $P --accept-gap && $M run $P --until shadowing && $M verify $P && $M cutover $P && $M status $P")
	line("")
	return b.String()
}
