package worker_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/infra/dynamo"
	dynamodbserver "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
)

// TestAWorkerIsAliveFromItsStart also for those who looked at all workers just before.
func TestAWorkerIsAliveFromItsStart(t *testing.T) {
	server := httptest.NewServer(dynamodbserver.New(dynamodbserver.Config{}))
	t.Cleanup(server.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := dynamodb.New(dynamodb.Options{Region: "eu-west-1", BaseEndpoint: &server.URL, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	if err := dynamo.EnsureTable(t.Context(), client, dynamo.CompositeTable("control")); err != nil {
		t.Fatal(err)
	}
	start := func() *worker.Worker {
		w, err := worker.Start(t.Context(), worker.Config{Control: control.New(client, "control", "people"), Lease: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	first := start()
	defer first.Stop()
	mustBe := func(dead bool, id string) {
		t.Helper()
		if got, err := first.IsDead(t.Context(), id); err != nil || got != dead {
			t.Errorf("worker %s is dead: %v, %v", id, got, err)
		}
	}
	mustBe(true, "nobody")
	second := start()
	mustBe(false, second.ID)
	second.Stop()
	third := start()
	defer third.Stop()
	mustBe(false, third.ID)
	mustBe(true, second.ID)
}
