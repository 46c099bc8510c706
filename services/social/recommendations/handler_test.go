package recommendations_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	readmodel "github.com/banyan-fig/banyan/consumers/social/recommendations"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/dynamo"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/infra/token"
	"github.com/banyan-fig/banyan/services/social/recommendations"
)

// newClient is a table of the example on a server of its own.
func newClient(t *testing.T, table string) *dynamodb.Client {
	t.Helper()
	server := httptest.NewServer(sandbox.New(sandbox.Config{}))
	t.Cleanup(server.Close)
	client := dynamodb.New(dynamodb.Options{
		Region: "us-east-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""), HTTPClient: server.Client(),
	})
	if _, err := client.CreateTable(t.Context(), dynamo.CompositeTable(table)); err != nil {
		t.Fatal(err)
	}
	return client
}

// TestRecommendations: events, a sweep, and what the user is answered.
func TestRecommendations(t *testing.T) {
	client := newClient(t, "suggestions")
	model, err := readmodel.New(client, "suggestions")
	if err != nil {
		t.Fatal(err)
	}
	for n, followee := range []string{"bob", "cy", "di"} {
		p := social.RelationshipFollowed{FollowerID: map[bool]string{true: "ada", false: "bob"}[n == 0], FolloweeID: followee}
		m := consumers.Message{Payload: p, Position: events.Position{Sequence: "7"}}
		if err := model.Handle(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := model.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	tokens, err := token.New(token.Config{Secret: []byte("0123456789abcdef0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	api, err := recommendations.NewHandler(recommendations.Config{
		Reader: model, Tokens: tokens, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	get := func(subject, path string, status int, says string) {
		t.Helper()
		r := httptest.NewRequest("GET", path, nil)
		if issued, err := tokens.Issue(subject); err == nil && subject != "" {
			r.Header.Set("Authorization", "Bearer "+issued)
		}
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		if w.Code != status || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s of %q: %d %s, want %d with %s", path, subject, w.Code, w.Body, status, says)
		}
	}
	get("ada", "/v1/recommendations/ada", http.StatusOK, `{"items":[{"userId":"cy","shared":1},{"userId":"di","shared":1}],"asOf":"20`)
	get("ada", "/v1/recommendations/ada?limit=1", http.StatusOK, `[{"userId":"cy","shared":1}]`)
	get("new", "/v1/recommendations/new", http.StatusOK, `{"items":[]}`)
	get("ada", "/v1/recommendations/ada?limit=101", http.StatusBadRequest, "limit must be 1 to 100")
	get("bob", "/v1/recommendations/ada", http.StatusForbidden, "Not your recommendations")
	get("", "/v1/recommendations/ada", http.StatusUnauthorized, "Unauthorized")
	for range 2 { // until a sweep
		if _, _, err := model.Sweep(t.Context()); err != nil {
			t.Error(err)
		}
	}
	now = now.Add(8 * 24 * time.Hour)
	get("ada", "/v1/recommendations/ada", http.StatusOK, "cy")
	if derived, _, err := model.Sweep(t.Context()); err != nil || derived != 1 {
		t.Errorf("an old list was read: %d were due, %v", derived, err)
	}
	if _, err := client.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: aws.String("suggestions")}); err != nil {
		t.Fatal(err)
	}
	get("ada", "/v1/recommendations/ada", http.StatusInternalServerError, "")
}
