package httpjson_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/banyan-fig/banyan/services/httpjson"
)

type body struct {
	Name string    `json:"name"`
	Age  int       `json:"age"`
	At   time.Time `json:"at"`
}

func TestReadJSON(t *testing.T) {
	deep := `{"name":` + strings.Repeat("[", 30000) + strings.Repeat("]", 30000) + `}`
	for name, c := range map[string]struct {
		body, kind string
		strict     error // of ReadJSON
		both       error // of ReadJSON and ReadLooseJSON
		says       string
	}{
		"good":            {body: `{"name":"Ada","age":36}`},
		"with space":      {body: " \n{\"name\":\"Ada\"}\n"},
		"empty object":    {body: `{}`},
		"no media type":   {body: `{}`, kind: "-", strict: httpjson.ErrMediaType},
		"text":            {body: `{}`, kind: "text/plain", strict: httpjson.ErrMediaType},
		"nothing":         {body: ``, both: httpjson.ErrInvalid, says: "one JSON object"},
		"null":            {body: `null`, both: httpjson.ErrInvalid, says: "one JSON object"},
		"array":           {body: `[]`, both: httpjson.ErrInvalid, says: "one JSON object"},
		"cut off":         {body: `{"name":"A`, both: httpjson.ErrInvalid, says: "ends in the middle"},
		"not JSON":        {body: `{name:1}`, both: httpjson.ErrInvalid, says: "invalid character"},
		"two":             {body: `{}{}`, both: httpjson.ErrInvalid, says: "after the object"},
		"rubbish behind":  {body: `{} x`, both: httpjson.ErrInvalid, says: "after the object"},
		"unknown member":  {body: `{"nam":1}`, strict: httpjson.ErrInvalid, says: `"nam"`},
		"wrong type":      {body: `{"name":1}`, both: httpjson.ErrInvalid, says: "name cannot be a JSON number"},
		"too big number":  {body: `{"age":99999999999999999999}`, both: httpjson.ErrInvalid, says: "age cannot be"},
		"bad time":        {body: `{"at":"never"}`, both: httpjson.ErrInvalid, says: "never"},
		"not UTF-8":       {body: "{\"name\":\"\xff\"}", both: httpjson.ErrInvalid, says: "not UTF-8"},
		"deep":            {body: deep, both: httpjson.ErrInvalid, says: "depth"},
		"as large as can": {body: `{"name":"` + strings.Repeat("x", httpjson.MaxBody-11) + `"}`},
		"too large":       {body: `{"name":"` + strings.Repeat("x", httpjson.MaxBody-10) + `"}`, both: httpjson.ErrTooLarge, says: "65536"},
	} {
		t.Run(name, func(t *testing.T) {
			for reader, want := range map[string]error{"strict": cmp.Or(c.strict, c.both), "loose": c.both} {
				r := httptest.NewRequest("POST", "/", strings.NewReader(c.body))
				if c.kind == "" {
					c.kind = "application/json; charset=utf-8"
				}
				r.Header.Set("Content-Type", c.kind)
				read := httpjson.ReadJSON
				if reader == "loose" {
					read = httpjson.ReadLooseJSON
				}
				var into body
				err := read(httptest.NewRecorder(), r, &into)
				if !errors.Is(err, want) || err != nil && !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s: %v; want %v with %q", reader, err, want, c.says)
				}
				if err != nil && strings.Contains(err.Error(), "Go ") {
					t.Errorf("%s: %v speaks of Go", reader, err)
				}
			}
		})
	}
}

func FuzzReadJSON(f *testing.F) {
	f.Add(`{"name":"Ada","age":36,"at":"2016-11-21T09:00:00Z"}`)
	f.Add(`{"name":"\ud800"}`)
	f.Add("{\"name\":\"\xff\"}")
	f.Add(`{"age":1e400}`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, read := range []func(*body) error{
			func(b *body) error {
				r := httptest.NewRequest("POST", "/", strings.NewReader(text))
				r.Header.Set("Content-Type", "application/json")
				return httpjson.ReadJSON(httptest.NewRecorder(), r, b)
			},
			func(b *body) error {
				return httpjson.ReadLooseJSON(httptest.NewRecorder(), httptest.NewRequest("POST", "/", strings.NewReader(text)), b)
			},
		} {
			var b body
			err := read(&b)
			if status := (httpjson.Problems{}).Of(err).Status; err != nil && status != 400 && status != 413 {
				t.Errorf("%v is a %d", err, status)
			}
			if err == nil && !utf8.ValidString(b.Name) {
				t.Errorf("%q was let in", b.Name)
			}
		}
	})
}

func TestQuery(t *testing.T) {
	for query, ok := range map[string]bool{"": true, "a=1&b=%41": true, "ids=%zz": false, "a;b": false} {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.RawQuery = query
		if _, err := httpjson.Query(r); (err == nil) != ok || err != nil && !errors.Is(err, httpjson.ErrInvalid) {
			t.Errorf("%q: %v", query, err)
		}
	}
}

var errGone = errors.New("gone")

func TestProblems(t *testing.T) {
	problems := httpjson.Problems{httpjson.WithoutDetail(errGone, "gone", "Gone", 410), httpjson.WithDetail(httpjson.ErrInvalid, "invalid", "Bad", 422)}
	for _, c := range []struct {
		err  error
		want httpjson.Problem
	}{
		{fmt.Errorf("it is %w", errGone), httpjson.Problem{Type: "/problems/gone", Title: "Gone", Status: 410}},
		{fmt.Errorf("x: %w", httpjson.ErrInvalid), httpjson.Problem{Type: "/problems/invalid", Title: "Bad", Status: 422, Detail: "x: invalid request"}},
		{context.DeadlineExceeded, httpjson.Problem{Type: "/problems/timeout", Title: "The request timed out; try again", Status: 504}},
		{errors.New("a secret"), httpjson.Problem{Type: "/problems/internal", Title: "Internal error", Status: 500}},
	} {
		if got := problems.Of(c.err); got != c.want {
			t.Errorf("%v is %+v, want %+v", c.err, got, c.want)
		}
	}
}
