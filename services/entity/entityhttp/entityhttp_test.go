package entityhttp_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/entity/entityhttp"
)

func TestIfMatch(t *testing.T) {
	for header, want := range map[string]string{ // a field a line
		"none": "<nil>", "*": "<nil>", `"7"`: "7", `"x"`: "another version", `W/"7"`: "invalid", `7`: "invalid", `"1", "2"`: "invalid", "`7`": "invalid",
		"": "invalid", "\"7\"\n\"8\"": "invalid", "*\n\"8\"": "invalid",
	} {
		r := httptest.NewRequest(http.MethodPut, "/", nil)
		if header != "none" {
			r.Header["If-Match"] = strings.Split(header, "\n")
		}
		version, err := entityhttp.IfMatch(r)
		got := fmt.Sprint(version)
		switch {
		case errors.Is(err, entity.ErrVersion):
			got = "another version"
		case errors.Is(err, entity.ErrInvalid):
			got = "invalid"
		case version != nil:
			got = fmt.Sprint(*version)
		}
		if got != want {
			t.Errorf("If-Match %s is %s, want %s: %v", header, got, want, err)
		}
	}
}

func TestAnswers(t *testing.T) {
	get := func(etag string) *httptest.ResponseRecorder {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("If-None-Match", etag)
		entityhttp.WriteRead(w, r, 3, map[string]int{"n": 1})
		return w
	}
	if w := get(`"2"`); w.Code != http.StatusOK || w.Header().Get("ETag") != `"3"` || w.Body.String() != "{\"n\":1}\n" {
		t.Errorf("changed: %d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := get(`"3"`); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
		t.Errorf("unchanged: %d %s", w.Code, w.Body)
	}
	at := events.Position{Sequence: "42"}
	w := httptest.NewRecorder()
	entityhttp.WriteWritten(w, http.StatusCreated, 1, at, map[string]int{})
	if w.Code != http.StatusCreated || w.Header().Get(events.HeaderWritten) != at.String() || w.Header().Get("ETag") != `"1"` {
		t.Errorf("written: %d %v", w.Code, w.Header())
	}
	w = httptest.NewRecorder()
	entityhttp.WriteWritten(w, http.StatusOK, 1, events.Position{}, nil)
	if w.Code != http.StatusNoContent || len(w.Header()) > 0 {
		t.Errorf("deleted: %d %v", w.Code, w.Header())
	}
}

func TestLimit(t *testing.T) {
	for text, want := range map[string]int{"": 50, "1": 1, "100": 100, "0": 0, "101": 0, "x": 0} {
		if got, err := entityhttp.Limit(text, 100); got != want || (err != nil) != (want == 0) {
			t.Errorf("limit %q is %d, %v", text, got, err)
		}
	}
}
