package main

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/infra/serving"
)

// here runs a command in this process, with the environment of the test.
func here(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	before := slog.Default()
	defer slog.SetDefault(before)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out, err lockedBuffer
	code = newCommand().Execute(ctx, args, &out, &err)
	return code, out.String(), err.String()
}

// lockedBuffer is written by all that logs and tells how far it is.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// setEnvironment makes the sandbox's that of the process.
func (w *world) setEnvironment() {
	w.t.Helper()
	for _, kv := range w.sandbox.Env() {
		name, value, _ := strings.Cut(kv, "=")
		w.t.Setenv(name, value)
	}
	w.t.Setenv("EVENTS_STREAM", stream)
}

// writeFile makes a file with that text and gives its path.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRefusals: what is wrong with the command line, the environment or a file is
// said in a line, with exit code 2, and what is wrong around it with 1.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	good := writeFile(t, "mapping.yaml", "version: 1\ncollections:\n  users:\n    - {on: insert, event: user.joined}\n")
	bad := writeFile(t, "mapping.yaml", "version: 1\ncollections:\n  users:\n    - on: upsert\n      event: user.joined\n")
	for name, c := range map[string]struct {
		args string
		env  []string
		code int
		says string
	}{
		"nothing":      {code: serving.ExitUsage, says: "expected one of"},
		"unknown flag": {args: "serve --nonsense", code: serving.ExitUsage, says: "unknown flag --nonsense; see banyan-publish --help"},
		"remote":       {args: "serve --listen 0.0.0.0:1", code: serving.ExitUsage, says: "without authentication"},
		"remote name":  {args: "serve --listen example.com:1", code: serving.ExitUsage, says: "without authentication"},
		"no address": {args: "serve --listen nonsense",
			code: serving.ExitUsage, says: `invalid --listen "nonsense": must be an address such as 127.0.0.1:8090`},
		"mode":                 {args: "serve --socket-mode 999", code: serving.ExitUsage, says: `invalid --socket-mode "999"`},
		"timeout":              {args: "serve --timeout 1h", code: serving.ExitUsage, says: "--timeout must be more than 0 and at most 5m0s, not 1h0m0s"},
		"drain timeout":        {args: "serve --drain-timeout=-1s", code: serving.ExitUsage, says: "--drain-timeout -1s is negative"},
		"no such schemas":      {args: "serve --schemas=/does/not/exist", code: serving.ExitUsage, says: "--schemas: schema: open /does/not/exist"},
		"no stream":            {args: "serve --stream=", code: serving.ExitUsage, says: "--stream is empty"},
		"when full":            {args: "serve --spool-when-full panic", code: serving.ExitUsage, says: "wait"},
		"publisher's limits":   {args: "serve --aggregate-bytes 2000000", code: serving.ExitUsage, says: "AggregateBytes 2000000"},
		"spool's limits":       {args: "serve --spool x --spool-max-bytes 5", code: serving.ExitUsage, says: "MaxBytes 5"},
		"sidecar's limits":     {args: "serve --max-batch=-1", code: serving.ExitUsage, says: "MaxEvents -1"},
		"protocol":             {args: "serve --protocol xml", code: serving.ExitUsage, says: "json"},
		"no region":            {args: "serve", env: []string{"AWS_REGION=", "AWS_DEFAULT_REGION="}, code: serving.ExitUsage, says: "set AWS_REGION"},
		"bad variable":         {args: "serve", env: []string{"BANYAN_PUBLISH_LINGER=x"}, code: serving.ExitUsage, says: "invalid duration"},
		"config":               {args: "serve --config " + good, code: serving.ExitUsage, says: "mapping.yaml:2: collections: must be"},
		"relay: no collection": {args: "relay", code: serving.ExitUsage, says: "(--documents), those of events (--outboxes), or both"},
		"relay: no database": {args: "relay --outboxes o", env: []string{"MONGODB_URI"},
			code: serving.ExitUsage, says: "missing flags: --mongodb-uri=$MONGODB_URI"},
		"relay: twice":         {args: "relay --outboxes o --documents o", code: serving.ExitUsage, says: "named twice"},
		"changes: no mapping":  {args: "changes", code: serving.ExitUsage, says: "missing flags: --mapping=FILE"},
		"changes: no file":     {args: "changes --mapping nowhere.yaml", code: serving.ExitUsage, says: "nowhere.yaml"},
		"changes: bad mapping": {args: "changes --mapping " + bad, code: serving.ExitUsage, says: `mapping.yaml:4:11: on cannot be "upsert"`},
		"changes: no snapshot": {args: "changes --snapshot --mapping " + good, code: serving.ExitUsage, says: "no collection has a mapping for it"},
		"changes: which":       {args: "changes redrive --mapping " + good, code: serving.ExitUsage, says: "missing --id or --all"},
		"relay: which":         {args: "relay discard", code: serving.ExitUsage, says: "missing --id or --all"},
		"relay: no word":       {args: "relay redirve", code: serving.ExitUsage, says: "unexpected argument redirve"},
		"spool: which":         {args: "spool inspect", code: serving.ExitUsage, says: "missing flags: --spool=FILE"},
		"spool: which refused": {args: "spool discard --spool x", code: serving.ExitUsage, says: "missing --id, --number or --all"},

		"port in use": {args: "serve --listen " + taken.Addr().String(),
			code: serving.ExitFailure, says: "another program uses that port; stop it or choose another with --listen"},
		"admin port in use": {args: "relay --outboxes o --admin-listen " + taken.Addr().String(),
			code: serving.ExitFailure, says: "choose another with --admin-listen"},
		"no such stream":      {args: "serve --stream elsewhere", code: serving.ExitFailure, says: `stream "elsewhere"`},
		"no schemas, nor AWS": {args: "serve --schemas=/does/not/exist", env: unreachable(t), code: serving.ExitUsage, says: "open /does/not/exist"},
		"no schemas, nor MongoDB": {args: "changes --schemas=/does/not/exist --mongodb-uri mongodb://127.0.0.1:1/x --mapping " + good,
			code: serving.ExitUsage, says: "open /does/not/exist"},
		"no AWS": {args: "serve", env: unreachable(t), code: serving.ExitFailure, says: "AWS_ENDPOINT_URL"},
		"no MongoDB": {args: "relay --outboxes o --mongodb-uri mongodb://127.0.0.1:1/x?serverSelectionTimeoutMS=100",
			code: serving.ExitFailure, says: "check MONGODB_URI\n"},
		"no socket": {args: "serve --socket " + good, code: serving.ExitFailure, says: "something else than a socket"},
		"no spool":  {args: "serve --spool " + good, code: serving.ExitFailure, says: "not a spool file"},
	} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.t = t
			w.setEnvironment()
			for _, kv := range c.env {
				name, value, given := strings.Cut(kv, "=")
				t.Setenv(name, value)
				if !given {
					_ = os.Unsetenv(name)
				}
			}
			code, _, stderr := here(t, strings.Fields(c.args)...)
			if code != c.code || !strings.Contains(stderr, c.says) || !strings.HasPrefix(stderr, "banyan-publish: ") && c.code == serving.ExitUsage {
				t.Errorf("exit code %d: %s; want %d with %q", code, stderr, c.code, c.says)
			}
		})
	}
}

func TestHelpNamesTheVariables(t *testing.T) {
	for _, args := range [][]string{
		{"serve"}, {"spool", "drain"}, {"spool", "inspect"}, {"relay", "run"}, {"relay", "refused"},
		{"changes", "run"}, {"changes", "forget"},
	} {
		code, stdout, stderr := here(t, append(args, "--help")...)
		if code != 0 || stderr != "" || !strings.Contains(stdout, "($BANYAN_PUBLISH_") && !strings.Contains(stdout, "$BANYAN_PUBLISH_") {
			t.Errorf("%v: %d %s %s", args, code, stdout, stderr)
		}
	}
}
