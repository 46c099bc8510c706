package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/banyan-fig/banyan/infra/ops/function"
)

func TestAnswersRequests(t *testing.T) {
	const ok = `{"status":200,"hits":{"hits":[]}}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		answers := []string{ok, ok}[:strings.Count(string(body), `"query"`)]
		_, _ = io.WriteString(w, `{"responses":[`+strings.Join(answers, ",")+`]}`)
	}))
	defer server.Close()
	environment := map[string]string{"OPENSEARCH_URL": server.URL, "OPENSEARCH_AUTH": "none", "SEARCH_PUBLIC": "true"}
	parts := function.Parts{Getenv: func(name string) string { return environment[name] }, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	h, err := newFunction(parts)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := h.(lambda.Handler).Invoke(context.Background(), []byte(`{"version":"2.0","rawPath":"/v1/search","rawQueryString":"q=oak",`+
		`"requestContext":{"http":{"method":"GET","path":"/v1/search"},"requestId":"1","stage":"$default"}}`))
	if err != nil || !strings.Contains(string(answer), `\"items\":[]`) {
		t.Errorf("%s, %v", answer, err)
	}
	for name, value := range map[string]string{"SEARCH_PUBLIC": "perhaps", "OPENSEARCH_URL": "", "SEARCH_INDEX": "A*"} {
		before := environment[name]
		environment[name] = value
		if _, err := newFunction(parts); err == nil {
			t.Errorf("%s=%q is taken", name, value)
		}
		environment[name] = before
	}
}
