package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/banyan-fig/banyan/infra/ops/warm"
	"github.com/banyan-fig/banyan/infra/sandbox/functiontest"
)

var (
	oldKey = strings.Repeat("a", 32)
	newKey = strings.Repeat("b", 32)
)

// get reads ada's timeline by the HTTP API.
func (w *world) get(token string) (status int, body string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/v1/timelines/ada?limit=5", nil)
	must(w.t, err)
	r.Close = true
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(r)
	must(w.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(w.t, err)
	return res.StatusCode, string(text)
}

// TestSecretIsFollowed: the function serves, and a new secret is in force without
// a deployment.
func TestSecretIsFollowed(t *testing.T) {
	w := newWorld(t, map[string]string{"TIMELINE_TABLE": table, "BANYAN_JWT_SECRET": "ssm:" + secretName, "BANYAN_CONFIG_TTL": "20ms"})
	w.put(oldKey)
	status, body := w.get(issue(t, oldKey))
	want := `{"items":[{"postId":"p1","authorId":"ada","authorName":"","text":"hello","publishedAt":"2016-11-21T09:00:00Z"}],"nextCursor":""}`
	if status != 200 || !strings.Contains(body, want) {
		t.Fatalf("%d %s", status, body)
	}
	if status, body := w.get(issue(t, newKey)); status != 401 || !strings.Contains(body, "/problems/unauthorized") {
		t.Fatalf("%d %s", status, body)
	}
	w.put("short") // is invalid: the previous secret stays in force
	for deadline := time.Now().Add(time.Minute); w.log.count("the keys of tokens cannot be read") == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the function does not log that the secret is invalid")
		}
		if status, body := w.get(issue(t, oldKey)); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
	}
	w.put(newKey)
	for deadline := time.Now().Add(time.Minute); ; {
		if status, _ = w.get(issue(t, newKey)); status == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the new secret is not in force: %d", status)
		}
	}
	if status, body := w.get(issue(t, oldKey)); status != 401 {
		t.Errorf("with the old secret: %d %s", status, body)
	}
	if n := w.log.count("Init Duration"); n != 1 {
		t.Errorf("%d environments were started", n)
	}
}

// TestKeptWarm: n environments are there, requests start no others, and only these
// are counted.
func TestKeptWarm(t *testing.T) {
	w := newWorld(t, map[string]string{"TIMELINE_TABLE": table, "BANYAN_JWT_SECRET": oldKey})
	w.deploy("ill", map[string]string{"TIMELINE_TABLE": "nowhere", "BANYAN_JWT_SECRET": oldKey})
	const n = 3
	pinger, err := warm.New(lambda.NewFromConfig(w.cfg, warm.Options), warm.Config{Hold: 2 * time.Second, Targets: []warm.Target{
		{Function: "timeline-api", Environments: n}, {Function: "ill"},
	}})
	must(t, err)
	for _, cold := range []int{n, 0} {
		reports := pinger.Ping(t.Context())
		if r := reports[0]; r.Environments != n || r.Cold != cold || r.Err != nil {
			t.Errorf("%+v, want %d cold", r, cold)
		}
		if r := reports[1]; r.Err == nil || errors.Is(r.Err, warm.ErrMisunderstood) || !strings.Contains(r.Err.Error(), "exit status 1") {
			t.Errorf("a function that cannot start: %+v", r)
		}
	}
	if c := w.log.count("CloudWatchMetrics"); c != 0 {
		t.Errorf("pings were counted %d times", c)
	}
	started := w.log.count("Init Duration")
	var requests sync.WaitGroup
	for range n {
		requests.Go(func() {
			if status, body := w.get(issue(t, oldKey)); status != 200 {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	requests.Wait()
	if again := w.log.count("Init Duration"); started != n || again != n {
		t.Errorf("%d environments were started by the pings and %d in all", started, again)
	}
	if c := w.log.count(`"Service":"timeline-api"`); c != n {
		t.Errorf("%d requests were counted", c)
	}
}

// TestInvalidSettingsAreReported in one sentence, before the function runs.
func TestInvalidSettingsAreReported(t *testing.T) {
	w := newWorld(t, nil)
	path := functiontest.Build(t, ".")
	for want, env := range map[string]string{
		"BANYAN_JWT_SECRET is not set":                                 "",
		"BANYAN_JWT_SECRET: the token secret must have at least":       "BANYAN_JWT_SECRET=short",
		"BANYAN_JWT_SECRET refers to ssm:/nowhere":                     "BANYAN_JWT_SECRET=ssm:/nowhere",
		"BANYAN_JWT_SECRET: not a reference":                           "BANYAN_JWT_SECRET=ssm:",
		`there is no table "nowhere": create it, or name another with`: "BANYAN_JWT_SECRET=" + oldKey + " TIMELINE_TABLE=nowhere",
		`invalid LOG_LEVEL "loud"`:                                     "BANYAN_JWT_SECRET=" + oldKey + " LOG_LEVEL=loud",
		"no AWS region is known":                                       "AWS_REGION= AWS_DEFAULT_REGION=",
	} {
		cmd := exec.Command(path)
		cmd.Env = append([]string{
			"AWS_ENDPOINT_URL=" + *w.cfg.BaseEndpoint, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=a",
			"AWS_SECRET_ACCESS_KEY=b", "AWS_CONFIG_FILE=/dev/null", "TIMELINE_TABLE=" + table,
		}, strings.Fields(env)...)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != 1 || !strings.HasPrefix(string(out), "timeline-api: cannot start: "+want) ||
			strings.Count(string(out), "\n") != 1 || strings.Contains(string(out), oldKey) {
			t.Errorf("%s: %v, %s", want, err, out)
		}
	}
	if status, body := w.get(""); status != 500 || w.log.count("timeline-api: cannot start: BANYAN_JWT_SECRET is not set") == 0 {
		t.Errorf("behind the API: %d %s", status, body)
	}
}
