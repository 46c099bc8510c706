package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/mongoclient/mongoclienttest"
	"github.com/banyan-fig/banyan/publishers/outbox"
)

// TestRelayIsRotated: the relay gets other MongoDB users, one after the other, while
// events are written. It publishes them all, in their order, and holds no connection
// of who was replaced.
func TestRelayIsRotated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const secret = "banyan/test/mongodb"
	secrets := secretsmanager.New(secretsmanager.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(w.variable("AWS_ENDPOINT_URL")), HTTPClient: w.http,
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
	gate := mongoclienttest.New(t, w.variable("MONGODB_URI"))
	uri := func(n int) *string {
		user := fmt.Sprintf("user%d", n)
		gate.SetUser(user, "pw:"+user)
		return aws.String(gate.URI(user, "pw:"+user, "legacy"))
	}
	if _, err := secrets.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String(secret), SecretString: uri(0)}); err != nil {
		t.Fatal(err)
	}
	db := w.database()
	written := 0
	write := func() {
		joined, err := events.New(t.Context(), "/legacy", social.UserJoined{UserID: "ada", Name: fmt.Sprint(written), JoinedAt: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		insert := func(ctx context.Context) error { return outbox.Insert(ctx, db.Collection("outbox"), joined) }
		if err := outbox.InTransaction(t.Context(), db.Client(), insert); err != nil {
			t.Fatal(err)
		}
		written++
	}
	w.env = []string{"MONGODB_URI=secret:" + secret, "BANYAN_CONFIG_TTL=100ms"}
	p := w.follow("relay", "--outboxes=outbox")
	for n := 1; n <= 2; n++ {
		write()
		if _, err := secrets.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: aws.String(secret), SecretString: uri(n)}); err != nil {
			t.Fatal(err)
		}
		w.eventually("who was replaced is gone", func() bool { write(); return strings.Count(p.log(), "no longer used") == n })
		gate.Drop(fmt.Sprintf("user%d", n-1))
		write()
	}
	w.eventually("published", func() bool { return len(distinct(w.read())) == written })
	last := -1
	for _, e := range w.read() {
		var fact struct {
			Name int `json:"name,string"`
		}
		if err := json.Unmarshal(e.Data, &fact); err != nil || fact.Name > last+1 {
			t.Fatalf("%v: %d came after %d", err, fact.Name, last)
		}
		last = max(last, fact.Name)
	}
	if code := p.end(syscall.SIGTERM); code != 0 || gate.Refused() > 0 || strings.Contains(p.log(), "pw:") {
		t.Errorf("exit code %d, refused %d times: %s", code, gate.Refused(), p.log())
	}
}
