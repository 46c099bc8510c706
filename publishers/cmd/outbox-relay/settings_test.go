package main

import (
	"log/slog"
	"strings"
	"testing"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Everything that is wrong with the environment is named at once.
func TestSettings(t *testing.T) {
	_, err := newFunction(t.Context(), func(name string) string {
		return map[string]string{"CLAIM": "soon", "CONCURRENCY": "0", "LOG_LEVEL": "loud", "SCHEMAS": "/does/not/exist"}[name]
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, variable := range []string{"CLAIM", "CONCURRENCY", "LOG_LEVEL", "SCHEMAS"} {
		if !strings.Contains(err.Error(), variable) {
			t.Errorf("%q does not name %s", err, variable)
		}
	}
}
