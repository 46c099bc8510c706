package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/banyan-fig/banyan/infra/mongoclient/mongoclienttest"
	"github.com/banyan-fig/banyan/infra/sandbox"
	"github.com/banyan-fig/banyan/infra/serving/servingtest"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/acceptance"
	social "github.com/banyan-fig/banyan/services/social/acceptance"
	"github.com/banyan-fig/banyan/services/social/users/userstest"
)

// rotationWorld is a sandbox with a MongoDB that has users, whose URI is a secret.
type rotationWorld struct {
	*killWorld
	gate    *mongoclienttest.Gate
	secrets *secretsmanager.Client
}

const secretName = "banyan/test/mongodb"

func newRotationWorld(t *testing.T) *rotationWorld {
	sandbox, err := sandbox.Start(t.Context(), sandbox.Config{Environ: []string{}, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := sandbox.Close(); err != nil {
			t.Error(err)
		}
	})
	base := aws.Config{
		Region: "us-east-1", HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	}
	direct := ""
	for _, kv := range sandbox.Env() {
		switch name, value, _ := strings.Cut(kv, "="); name {
		case "AWS_ENDPOINT_URL":
			base.BaseEndpoint = &value
		case "MONGODB_URI":
			direct = value
		}
	}
	api, admin := servingtest.Address(t), servingtest.Address(t)
	w := &rotationWorld{
		killWorld: &killWorld{T: t, sandbox: sandbox, url: "http://" + api, admin: "http://" + admin, dynamo: awsdynamodb.NewFromConfig(base)},
		gate:      mongoclienttest.New(t, direct), secrets: secretsmanager.NewFromConfig(base),
	}
	w.env = append(os.Environ(), append(sandbox.Env(), "USERS_LISTEN="+api, "USERS_ADMIN_LISTEN="+admin, "USERS_BCRYPT_COST=4",
		"MONGODB_URI=secret:"+secretName+"#uri", "BANYAN_CONFIG_TTL=100ms")...)
	if err := sandbox.CreateStream(t.Context(), "banyan-events", 1); err != nil {
		t.Fatal(err)
	}
	if err := ownership.NewTable(w.dynamo, "").Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// secret is what Secrets Manager has of the n-th user.
func (w *rotationWorld) secret(n int) *string {
	name := fmt.Sprintf("user%d", n)
	w.gate.SetUser(name, "pw:"+name)
	return aws.String(fmt.Sprintf(`{"uri":%q}`, w.gate.URI(name, "pw:"+name, "legacy")))
}

// TestCredentialsAreRotated: the process gets other MongoDB users, one after the
// other, by a Secrets Manager that throttles, without being started anew and without
// one request failing; and what clients need holds all the time.
func TestCredentialsAreRotated(t *testing.T) {
	w := newRotationWorld(t)
	if _, err := w.secrets.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String(secretName), SecretString: w.secret(0)}); err != nil {
		t.Fatal(err)
	}
	process := w.start()
	w.faults("secretsmanager.GetSecretValue throttle=0.3 internal=0.2")
	stop := w.steadily(6)
	for n := 1; n <= 3; n++ {
		next := w.secret(n)
		acceptance.Eventually(t, "put the secret", func(ctx context.Context) error {
			_, err := w.secrets.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: aws.String(secretName), SecretString: next})
			return err
		})
		acceptance.Eventually(t, "the next user works", func(context.Context) error {
			if w.gate.Open(fmt.Sprintf("user%d", n)) == 0 {
				return fmt.Errorf("user%d has no connection", n)
			}
			return nil
		})
	}
	social.Users(t, acceptance.URL(t, w.url))
	acceptance.Eventually(t, "who was replaced is gone", func(context.Context) error {
		if open := w.gate.Open("user0"); open > 0 {
			return fmt.Errorf("user0 has %d connections", open)
		}
		return nil
	})
	stop()
	if refused := w.gate.Refused(); refused > 0 {
		t.Errorf("MongoDB refused %d times", refused)
	}
	_ = process.Process.Signal(os.Interrupt)
	if err := process.Wait(); err != nil {
		t.Errorf("banyan-users ended with %v", err)
	}
}

// steadily writes and reads, a hundred requests and more, of which each must be well.
func (w *rotationWorld) steadily(people int) (stop func()) {
	done := make(chan struct{})
	var running sync.WaitGroup
	var count atomic.Int64
	for i := range people {
		running.Go(func() {
			id := userstest.User(i).ID
			for k := 0; ; k++ {
				body := fmt.Sprintf(`{"name":"n","email":"%d@x.y","password":"secret"}`, i)
				method := http.MethodPut
				if k > 0 {
					method, body = http.MethodPatch, fmt.Sprintf(`{"name":"name %d"}`, k)
				}
				if version, _ := w.request(method, id, body); version == 0 {
					w.Errorf("%s number %d of user %d failed", method, k, i)
				}
				count.Add(1)
				select {
				case <-done:
					return
				case <-time.After(2 * time.Millisecond):
				}
			}
		})
	}
	return func() {
		w.eventually("a hundred requests", func() bool { return count.Load() >= 100 })
		close(done)
		running.Wait()
	}
}
