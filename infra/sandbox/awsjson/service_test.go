package awsjson_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type echoInput struct {
	Text string
	When *awsjson.Time
}

func (in echoInput) Resource() string { return in.Text }

func echoService(effects *atomic.Int32) *awsjson.Service {
	return &awsjson.Service{
		Target: "Echo_1", Version: "1.1", MaxBody: 1000,
		Operations: map[string]awsjson.Operation{
			"Echo": awsjson.Op(func(_ context.Context, in *echoInput) (*echoInput, error) {
				effects.Add(1)
				return in, nil
			}),
			"Nothing": awsjson.Op(func(context.Context, *struct{}) (*struct{}, error) { return nil, nil }),
			"Refuse": awsjson.Op(func(context.Context, *struct{}) (*struct{}, error) {
				return nil, &awsjson.Error{Type: "NoSuchThing", Message: "there is none", Status: 404, QueryCode: "Old.NoSuchThing"}
			}),
			"Break": awsjson.Op(func(context.Context, *struct{}) (*struct{}, error) { return nil, errors.New("broken") }),
			"Kind": awsjson.FaultyOp(func(_ context.Context, _ *struct{}, f fault.Fault) (*map[string]string, error) {
				return &map[string]string{"kind": f.Kind.String()}, nil
			}),
		},
	}
}

type answer struct {
	status int
	header http.Header
	body   string
}

func post(t *testing.T, h http.Handler, target, body string, change ...func(*http.Request)) answer {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", target)
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

func TestAnswers(t *testing.T) {
	tests := []struct {
		name, target, body string
		change             func(*http.Request)
		status             int
		want               string
	}{
		{"success", "Echo_1.Echo", `{"Text":"hé"}`, nil, 200, `{"Text":"hé","When":null}`},
		{"unknown parameter", "Echo_1.Echo", `{"Text":"x","Colour":1}`, nil, 400, `not implemented by the sandbox: the parameter Colour`},
		{"more than JSON", "Echo_1.Echo", `{"Text":"x"} y`, nil, 400, `SerializationException`},
		{"timestamps keep milliseconds", "Echo_1.Echo", `{"When":1.7E9}`, nil, 200, `{"Text":"","When":1700000000.000}`},
		{"no output", "Echo_1.Nothing", ``, nil, 200, ``},
		{"modelled error", "Echo_1.Refuse", `{}`, nil, 404, `{"__type":"NoSuchThing","message":"there is none"}`},
		{"own failure", "Echo_1.Break", `{}`, nil, 500, `{"__type":"InternalFailure","message":"the sandbox failed: broken"}`},
		{"unknown operation", "Echo_1.Dance", `{}`, nil, 400, `{"__type":"UnknownOperationException","message":"not implemented by the sandbox: Dance"}`},
		{"another service", "Other_1.Echo", `{}`, nil, 400, `UnknownOperationException`},
		{"no JSON", "Echo_1.Echo", `{"Text":`, nil, 400, `SerializationException`},
		{"a wrong type", "Echo_1.Echo", `{"Text":1}`, nil, 400, `SerializationException`},
		{"a bad timestamp", "Echo_1.Echo", `{"When":"NaN"}`, nil, 400, `SerializationException`},
		{"too large", "Echo_1.Echo", `{"Text":"` + strings.Repeat("x", 1000) + `"}`, nil, 413, `RequestEntityTooLargeException`},
		{"too large, of unknown length", "Echo_1.Echo", `{"Text":"` + strings.Repeat("x", 1000) + `"}`,
			func(r *http.Request) { r.ContentLength = -1 }, 413, `RequestEntityTooLargeException`},
		{"of unknown length", "Echo_1.Echo", `{"Text":"` + strings.Repeat("x", 900) + `"}`, func(r *http.Request) { r.ContentLength = -1 }, 200, `xxx`},
		{"CBOR", "Echo_1.Echo", `{}`, func(r *http.Request) { r.Header.Set("Content-Type", "application/x-amz-cbor-1.1") }, 400, `let the client send JSON`},
		{"GET", "Echo_1.Echo", `{}`, func(r *http.Request) { r.Method = http.MethodGet }, 405, `POST`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			change := test.change
			if change == nil {
				change = func(*http.Request) {}
			}
			got := post(t, echoService(new(atomic.Int32)), test.target, test.body, change)
			if got.status != test.status || !strings.Contains(got.body, test.want) || test.want == "" && got.body != "" {
				t.Errorf("%d %s, want %d %s", got.status, got.body, test.status, test.want)
			}
			if got.header.Get("X-Amzn-Requestid") == "" || got.header.Get("Content-Type") != "application/x-amz-json-1.1" {
				t.Errorf("header %v", got.header)
			}
		})
	}
	if got := post(t, echoService(new(atomic.Int32)), "Echo_1.Refuse", "").header.Get("X-Amzn-Query-Error"); got != "Old.NoSuchThing;Sender" {
		t.Errorf("X-Amzn-Query-Error: %s", got)
	}
}

// TestFaults: each kind has its effect or none, and its answer or none.
func TestFaults(t *testing.T) {
	tests := []struct {
		kind    fault.Kind
		effects int
		status  int // 0: no answer
		want    string
	}{
		{fault.None, 1, 200, `"Text":"r"`},
		{fault.Throttle, 0, 400, "ThrottlingException"},
		{fault.Internal, 0, 500, "InternalFailure"},
		{fault.TimeoutBefore, 0, 0, ""},
		{fault.TimeoutAfter, 1, 0, ""},
		{fault.Partial, 1, 200, `"Text":"r"`}, // the operation does not know it
	}
	for _, test := range tests {
		t.Run(test.kind.String(), func(t *testing.T) {
			var effects atomic.Int32
			service := echoService(&effects)
			service.Fault = func(operation, resource string) fault.Fault {
				if operation != "Echo" || resource != "r" {
					t.Errorf("asked about %s of %s", operation, resource)
				}
				return fault.Fault{Kind: test.kind, Delay: time.Millisecond}
			}
			front := httptest.NewServer(service)
			defer front.Close()
			status, body := send(t, front)
			if int(effects.Load()) != test.effects || status != test.status || !strings.Contains(body, test.want) {
				t.Errorf("%d effects, %d %s; want %d, %d %s", effects.Load(), status, body, test.effects, test.status, test.want)
			}
		})
	}
}

// send returns status 0 if the connection ended without an answer.
func send(t *testing.T, front *httptest.Server) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, front.URL, strings.NewReader(`{"Text":"r"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "Echo_1.Echo")
	resp, err := front.Client().Do(r)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestOtherKindsReachTheOperation(t *testing.T) {
	service := echoService(new(atomic.Int32))
	service.Fault = func(string, string) fault.Fault { return fault.Fault{Kind: fault.Duplicate} }
	if got := post(t, service, "Echo_1.Kind", "{}"); !strings.Contains(got.body, "duplicate") {
		t.Errorf("the operation was told %s", got.body)
	}
}

// FuzzRequest: any bytes get an answer in JSON.
func FuzzRequest(f *testing.F) {
	f.Add("Echo_1.Echo", []byte(`{"Text":"x","When":1}`))
	f.Add("Echo_1", []byte(`[]`))
	f.Fuzz(func(t *testing.T, target string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(body)))
		r.Header["X-Amz-Target"] = []string{target}
		w := httptest.NewRecorder()
		echoService(new(atomic.Int32)).ServeHTTP(w, r)
		if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
			t.Errorf("answer %q", w.Body)
		}
	})
}
