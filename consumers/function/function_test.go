package function_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/consumers/function"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/social/profile"
	"github.com/banyan-fig/banyan/events/social"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func spec() function.Spec {
	return function.Spec{
		Name: "profile", TableVariable: "PROFILE_TABLE", DefaultTable: profile.DefaultTable,
		Handler: func(client *dynamodb.Client, table string) (consumers.Handler, error) {
			m, err := profile.New(profile.Config{Client: client, Table: table})
			if err != nil {
				return nil, err
			}
			return m.Handle, nil
		},
	}
}

func env(m map[string]string) func(string) string { return func(name string) string { return m[name] } }

func TestParseSettings(t *testing.T) {
	got, err := function.ParseSettings(spec(), env(nil))
	if want := (function.Settings{Table: "banyan-profile", DeadLetters: "banyan-dead-letters"}); err != nil || got != want {
		t.Errorf("of nothing: %+v, %v", got, err)
	}
	got, err = function.ParseSettings(spec(), env(map[string]string{
		"PROFILE_TABLE": "p", "DEAD_LETTER_TABLE": "d", "CONCURRENCY": "7", "ATTEMPTS": "2", "LOG_LEVEL": "debug",
	}))
	if want := (function.Settings{Table: "p", DeadLetters: "d", Concurrency: 7, Attempts: 2, Level: slog.LevelDebug}); err != nil || got != want {
		t.Errorf("of all: %+v, %v", got, err)
	}
	_, err = function.ParseSettings(spec(), env(map[string]string{"CONCURRENCY": "many", "ATTEMPTS": "0", "LOG_LEVEL": "loud"}))
	for _, want := range []string{`CONCURRENCY is "many"`, `ATTEMPTS is "0"`, `LOG_LEVEL is "loud"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
}

func setAWS(t *testing.T, endpoint string) {
	t.Setenv("AWS_ENDPOINT_URL", endpoint)
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", "")
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
}

// TestFunction runs a consumer as its function does, from the environment alone.
func TestFunction(t *testing.T) {
	db := streamtest.NewDynamoDB(t)
	setAWS(t, db.Endpoint)
	vars := map[string]string{"PROFILE_TABLE": db.CreateTable(profile.TableInput)}
	if _, err := function.New(t.Context(), spec(), env(vars)); err == nil || !strings.Contains(err.Error(), "banyan-dead-letters") || !strings.Contains(err.Error(), "DEAD_LETTER_TABLE") {
		t.Errorf("without the table of dead letters: %v", err)
	}
	vars["DEAD_LETTER_TABLE"] = db.CreateTable(deadletter.TableInput)
	c, err := function.New(t.Context(), spec(), env(vars))
	if err != nil {
		t.Fatal(err)
	}
	joined := streamtest.Message(t, 1, social.UserJoined{UserID: "ada", Name: "Ada", JoinedAt: streamtest.Start})
	out, err := c.HandleKinesis(t.Context(), awsevents.KinesisEvent{Records: []awsevents.KinesisEventRecord{
		streamtest.Record(1, "ada", joined.Raw), streamtest.Record(2, "x", []byte("poison")),
	}})
	if err != nil || len(out.BatchItemFailures) != 0 {
		t.Fatalf("reported %v, %v", out.BatchItemFailures, err)
	}
	if p, err := profile.NewReader(db.Client(nil), vars["PROFILE_TABLE"]).Get(t.Context(), "ada"); err != nil || p.Name != "Ada" {
		t.Errorf("profile %+v, %v", p, err)
	}
	if page, err := deadletter.New(db.Client(nil), vars["DEAD_LETTER_TABLE"]).List(t.Context(), "profile", deadletter.ListOptions{}); err != nil || len(page.Letters) != 1 {
		t.Errorf("%d dead letters, %v", len(page.Letters), err)
	}
	if answer, err := json.Marshal(out); err != nil || string(answer) != `{"batchItemFailures":[]}` {
		t.Errorf("the answer to Lambda is %s, %v", answer, err)
	}
}

// TestBinaryRefusesAWrongEnvironment builds a function and starts it with one
// that it cannot work in.
func TestBinaryRefusesAWrongEnvironment(t *testing.T) {
	db := streamtest.NewDynamoDB(t)
	binary := filepath.Join(t.TempDir(), "timeline")
	if out, err := exec.Command("go", "build", "-o", binary, "../social/cmd/timeline").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary)
	cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+db.Endpoint, "AWS_ENDPOINT_URL_DYNAMODB=", "AWS_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "TIMELINE_TABLE=nowhere")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), `timeline: cannot start: table "`) || strings.Count(string(out), "\n") != 1 {
		t.Errorf("%v\n%s", err, out)
	}
}
