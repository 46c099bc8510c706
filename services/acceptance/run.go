package acceptance

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"
)

// Run is one run of a case. It names what the case makes, so that runs on a shared
// stage never meet, and leftovers can be recognised.
type Run struct {
	T testing.TB
	// ID is random, 12 lower-case letters and digits.
	ID string
}

// NewRun makes a Run with an ID of its own, which it logs.
func NewRun(t testing.TB) Run {
	r := Run{t, strings.ToLower(rand.Text()[:12])}
	t.Logf("what this run makes is named %q", r.ID)
	return r
}

// Email is an address that cannot be anybody's (RFC 2606).
func (r Run) Email(who string) string {
	return "acceptance+" + r.ID + "-" + who + "@example.invalid"
}

// Name is a name that identifies the run.
func (r Run) Name(what string) string { return "Acceptance " + r.ID + " " + what }

// Mark is a text for what cannot be deleted by the API.
func (r Run) Mark() string { return "made by the acceptance test " + r.ID + ", may be deleted" }

// Password is random, and stored nowhere.
func (r Run) Password() string { return rand.Text() }

// Send sends a request that may be repeated, and repeats it for half a minute at most
// while it is refused for the moment.
func (r Run) Send(to Target, req Request) Reply {
	r.T.Helper()
	ctx, cancel := context.WithTimeout(r.T.Context(), caseTimeout)
	defer cancel()
	reply, err := sendRepeatedly(ctx, to, req)
	if err != nil {
		r.T.Fatalf("%s %s: no final response within %s: %v", req.Method, req.Path, caseTimeout, err)
	}
	return reply
}

// Eventually tries until there is no error, with growing delays, for half a minute at
// most; then it fails the test with the last error.
func (r Run) Eventually(what string, try func(context.Context) error) {
	r.T.Helper()
	Eventually(r.T, what, try)
}

// Eventually is [Run.Eventually] for tests without a Run.
func Eventually(t testing.TB, what string, try func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), caseTimeout)
	defer cancel()
	if err := retry(ctx, try); err != nil {
		t.Fatalf("%s: not within %s: %v", what, caseTimeout, err)
	}
}

// Expect ends the test unless the status is right, and fails it unless the body
// contains all parts.
func (r Run) Expect(what string, got Reply, status int, parts ...string) {
	r.T.Helper()
	if got.Status != status {
		r.T.Fatalf("%s: status %d, want %d: %.300s", what, got.Status, status, got.Body)
	}
	for _, part := range parts {
		if !strings.Contains(got.Body, part) {
			r.T.Errorf("%s: %.300s does not contain %s", what, got.Body, part)
		}
	}
}

// ExpectProblem expects an application/problem+json response (RFC 9457) whose type ends
// in /problems/ and slug.
func (r Run) ExpectProblem(what string, got Reply, status int, slug string) {
	r.T.Helper()
	r.Expect(what, got, status, `/problems/`+slug+`"`)
	if contentType := got.Header.Get("Content-Type"); contentType != "application/problem+json" {
		r.T.Errorf("%s: content type %q, want application/problem+json", what, contentType)
	}
}

// JSON is the JSON object with these members, for a request's body.
func JSON(members map[string]any) string {
	text, err := json.Marshal(members)
	if err != nil {
		panic(err) // a case that sends what JSON does not have
	}
	return string(text)
}
