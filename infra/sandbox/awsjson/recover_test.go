package awsjson_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
)

func TestPanicsAreAnswered(t *testing.T) {
	var log bytes.Buffer
	handler := awsjson.Recover(&log, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a mistake") }))
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", nil)
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810.PutItem")
	handler.ServeHTTP(w, r)
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), `"InternalServerError"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if text := log.String(); strings.Count(text, "PutItem panicked: a mistake") != 1 || !strings.Contains(text, "TestPanicsAreAnswered") {
		t.Errorf("the log says %q", text)
	}
}

// TestAbortedHandlersStayAborted: a lost answer is injected by that panic.
func TestAbortedHandlersStayAborted(t *testing.T) {
	var log bytes.Buffer
	defer func() {
		if recover() != http.ErrAbortHandler || log.Len() > 0 {
			t.Errorf("the log says %q", log.String())
		}
	}()
	awsjson.Recover(&log, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })).
		ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", nil))
}
