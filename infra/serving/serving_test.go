package serving_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/serving"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRequestsEndBeforeTheServer: at the end nobody new is let in, and who is in
// gets an answer.
func TestRequestsEndBeforeTheServer(t *testing.T) {
	inside, finish := make(chan struct{}), make(chan struct{})
	s, err := serving.Listen("--listen", "127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(inside)
		<-finish
		_, _ = io.WriteString(w, "done")
	}))
	if err != nil {
		t.Fatal(err)
	}
	other, err := serving.Listen("--admin-listen", "127.0.0.1:0", http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serving.Run(ctx, s, other) }()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	answer := make(chan string, 1)
	go func() { answer <- get(client, "http://"+s.Addr().String()) }()
	<-inside
	stop()
	for _, address := range []string{s.Addr().String(), other.Addr().String()} {
		for began := time.Now(); !strings.Contains(get(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "http://"+address), "refused"); {
			if time.Since(began) > time.Minute {
				t.Fatal("it goes on to let people in")
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	select {
	case err := <-ended:
		t.Fatalf("it ended with a request inside: %v", err)
	default:
	}
	close(finish)
	if got := <-answer; got != "done" {
		t.Errorf("the request that was inside got %q", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func get(c *http.Client, url string) string {
	r, err := c.Get(url)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = r.Body.Close() }()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func TestListenErrorsNameTheSetting(t *testing.T) {
	s, err := serving.Listen("--listen", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for address, want := range map[string]string{
		s.Addr().String(): "another program uses that port; stop it or choose another with --there",
		"nonsense":        "see --there: ",
	} {
		if _, err := serving.Listen("--there", address, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", address, err, want)
		}
	}
}

type grammar struct {
	Size int `default:"1"`
}

func (g *grammar) Validate() error {
	if g.Size < 1 {
		return errors.New("--size must be positive")
	}
	return nil
}

func TestExitCodes(t *testing.T) {
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	for _, c := range []struct {
		args           []string
		err            error
		code           int
		stdout, stderr string
	}{
		{},
		{args: []string{"--help"}, stdout: "Usage: thing"},
		{args: []string{"--version"}, stdout: "thing " + serving.Version() + "\n"},
		{err: fmt.Errorf("stop: %w", &serving.ExitError{Code: 130, Err: errors.New("stopped")}), code: 130, stderr: "thing: stop: stopped\n"},
		{err: &serving.ExitError{Code: 3}, code: 3},
		{err: errors.New("the shop is closed"), code: serving.ExitFailure, stderr: "thing: the shop is closed\n"},
		{err: fmt.Errorf("publish: %w", awssdk.ErrNoRegion), code: serving.ExitUsage, stderr: "thing: publish: " + awssdk.ErrNoRegion.Error() + "\n"},
		{err: fmt.Errorf("%w: no key", serving.ErrUsage), code: serving.ExitUsage, stderr: "thing: wrong usage: no key\n"},
		{args: []string{"--loud"}, code: serving.ExitUsage, stderr: "thing: unknown flag --loud; see thing --help\n"},
		{args: []string{"more"}, code: serving.ExitUsage, stderr: "thing: unexpected argument more; see thing --help\n"},
		{args: []string{"--size=x"}, code: serving.ExitUsage, stderr: "thing: --size"},
		{args: []string{"--size=0"}, code: serving.ExitUsage, stderr: "--size must be positive"},
	} {
		var stdout, stderr bytes.Buffer
		code := serving.Command{
			Name: "thing", Description: "A thing.", Grammar: &grammar{},
			Run: func(ctx context.Context, _ *kong.Context, log *slog.Logger) error { return c.err },
		}.Execute(t.Context(), c.args, &stdout, &stderr)
		if code != c.code || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) ||
			c.stderr == "" && stderr.Len() > 0 {
			t.Errorf("%q: %d, %q, %q", c.args, code, stdout.String(), stderr.String())
		}
	}
}

func TestLogsAreJSON(t *testing.T) {
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	var stderr bytes.Buffer
	serving.Command{Name: "thing", Grammar: &struct{}{}, Run: func(_ context.Context, _ *kong.Context, log *slog.Logger) error {
		log.Info("serving", "address", "here")
		slog.Warn("from elsewhere")
		return nil
	}}.Execute(t.Context(), nil, io.Discard, &stderr)
	for line := range strings.Lines(stderr.String()) {
		if !strings.HasPrefix(line, `{"time":`) {
			t.Errorf("not JSON: %s", line)
		}
	}
	if strings.Count(stderr.String(), "\n") != 2 {
		t.Errorf("logged %q", stderr.String())
	}
}
