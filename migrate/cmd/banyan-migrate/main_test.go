package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	dynamodbserver "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	mongodbserver "github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/services/social/users/plan"
)

// asCommand makes the test binary be banyan-migrate, to be killed for real.
const asCommand = "BANYAN_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil { // most of a migration's time is waiting
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

type stores struct {
	t     *testing.T
	db    *mongo.Database
	users *mongo.Collection
	plan  string
	aws   string
	env   []string
}

// start opens stores that this process itself reaches through its environment.
func start(t *testing.T) *stores {
	t.Helper()
	s := open(t)
	for _, v := range s.env {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	return s
}

func open(t *testing.T) *stores {
	t.Helper()
	server, err := mongodbserver.Start(mongodbserver.Config{})
	if err != nil {
		t.Fatal(err)
	}
	aws := httptest.NewServer(dynamodbserver.New(dynamodbserver.Config{}))
	client, err := mongo.Connect(options.Client().ApplyURI(server.URI()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = client.Disconnect(ctx)
		aws.CloseClientConnections()
		aws.Close()
		_ = server.Close()
	})
	s := &stores{t: t, db: client.Database("legacy"), aws: aws.URL, plan: filepath.Join(t.TempDir(), "users.yaml")}
	s.users = s.db.Collection("users")
	if err := os.WriteFile(s.plan, plan.Users, 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = []string{"MONGODB_URI=" + strings.Replace(server.URI(), "/?", "/legacy?", 1), "AWS_ENDPOINT_URL=" + aws.URL,
		"AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "BANYAN_PLAN=" + s.plan}
	return s
}

func (s *stores) seed(n int) {
	s.t.Helper()
	if _, err := s.users.Indexes().CreateOne(s.t.Context(),
		mongo.IndexModel{Keys: bson.D{{Key: "email", Value: 1}}, Options: options.Index().SetUnique(true)}); err != nil {
		s.t.Fatal(err)
	}
	for from := 0; from < n; from += 1000 {
		var docs []any
		for i := from; i < min(n, from+1000); i++ {
			docs = append(docs, bson.D{{Key: "_id", Value: bson.NewObjectID()}, {Key: "name", Value: "N"},
				{Key: "email", Value: fmt.Sprintf("u%d@example.com", i)}, {Key: "version", Value: int64(1)}})
		}
		if _, err := s.users.InsertMany(s.t.Context(), docs); err != nil {
			s.t.Fatal(err)
		}
	}
}

// command runs one command line in this process.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = newCommand().Execute(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestTheVerbsInTheirOrder(t *testing.T) {
	s := start(t)
	s.seed(500)
	for _, step := range []struct {
		args string
		code int
		says string
	}{
		{"status", 1, "banyan-control"},
		{"init", 0, "exists"},
		{"plan", 0, "500"},
		{"verify", 1, "phase"},
		{"cutover", 1, "not shadowing"},
		{"run --until shadowing", 0, "500 documents copied"},
		{"cutover --dry-run", 1, "nothing was verified"},
		{"verify", 0, "0 mismatches"},
		{"cutover --dry-run", 0, "possible"},
		{"status", 0, "phase shadowing"},
		{"pause", 0, ""}, {"resume", 0, ""}, {"throttle 100", 0, "100"},
		{"cutover", 0, "belongs to DynamoDB since epoch 2"},
		{"cutover", 0, "belongs to DynamoDB since epoch 2"},
		{"run", 0, "switched"},
		{"status --json", 0, `"phase":"switched"`},
		{"rollback", 2, "unexpected argument"},
		{"run --until nowhere", 2, "shadowing"},
	} {
		code, stdout, stderr := command(t, strings.Fields(step.args)...)
		if code != step.code || !strings.Contains(stdout+stderr, step.says) {
			t.Fatalf("%s: exit %d\n%s%s", step.args, code, stdout, stderr)
		}
	}
}

func TestInitAndSchemaNeedNoPlan(t *testing.T) {
	start(t)
	t.Setenv("BANYAN_PLAN", filepath.Join(t.TempDir(), "absent.yaml"))
	t.Setenv("MONGODB_URI", "mongodb://127.0.0.1:1/nothing")
	for range 2 {
		if code, stdout, stderr := command(t, "init"); code != 0 || !strings.Contains(stdout, "banyan-control exists") {
			t.Errorf("exit %d: %s%s", code, stdout, stderr)
		}
	}
	if code, stdout, stderr := command(t, "schema"); code != 0 || !json.Valid([]byte(stdout)) {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
}

func TestWhatStopsAPlanIsNamedBeforeAnythingIsCopied(t *testing.T) {
	s := start(t)
	id := bson.NewObjectID()
	docs := []any{bson.D{{Key: "_id", Value: id}, {Key: "email", Value: "a"}, {Key: "bio", Value: strings.Repeat("x", 420_000)}},
		bson.D{{Key: "_id", Value: "text"}, {Key: "email", Value: "b"}},
		bson.D{{Key: "_id", Value: bson.NewObjectID()}, {Key: "email", Value: "c"}},
		bson.D{{Key: "_id", Value: bson.NewObjectID()}, {Key: "email", Value: "c"}}}
	if _, err := s.users.InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	code, stdout, _ := command(t, "plan", "--json")
	if code != 1 {
		t.Fatalf("exit %d\n%s", code, stdout)
	}
	for _, want := range []string{id.Hex(), `"field":"bio"`, "compressed", `text`, "has the same value", `"misfits":3`, "no unique index"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in\n%s", want, stdout)
		}
	}
	if code, _, stderr := command(t, "init"); code != 0 {
		t.Fatal(stderr)
	}
	code, _, stderr := command(t, "run", "--until", "shadowing")
	if code != 1 || !strings.Contains(stderr, "document") {
		t.Errorf("run of what does not fit: exit %d, %s", code, stderr)
	}
}

func TestOneClearSentence(t *testing.T) {
	s := start(t)
	for _, tc := range []struct{ name, env, value, args, says string }{
		{"no collection", "X", "", "plan", "legacy.users does not exist"},
		{"wrong AWS endpoint", "AWS_ENDPOINT_URL", "http://127.0.0.1:1", "status", "AWS_ENDPOINT_URL"},
		{"wrong MongoDB", "MONGODB_URI", "mongodb://127.0.0.1:1/x", "plan", "MONGODB_URI"},
		{"bad URI", "MONGODB_URI", "nonsense", "plan", "MONGODB_URI"},
		{"no plan", "BANYAN_PLAN", "/nowhere.yaml", "plan", "--plan"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv(tc.env, tc.value)
			code, _, stderr := command(t, tc.args)
			if code != 1 || !strings.Contains(stderr, tc.says) || strings.Count(strings.TrimSpace(stderr), "\n") > 0 {
				t.Errorf("exit %d: %s", code, stderr)
			}
		})
	}
	if err := os.WriteFile(s.plan, []byte("entity: users\nsauce: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := command(t, "plan"); code != 1 || !strings.Contains(stderr, "users.yaml:2:1") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

// TestKilledAgainAndAgain kills the real process with SIGKILL while it copies
// and follows, starts it again, and in the end compares everything.
func TestKilledAgainAndAgain(t *testing.T) {
	s := start(t)
	s.seed(3000)
	if code, _, stderr := command(t, "init"); code != 0 {
		t.Fatal(stderr)
	}
	for i := range 3 {
		cmd := s.process("run", "--json", "--throttle", "3000")
		time.Sleep(time.Duration(150+100*i) * time.Millisecond) // its life
		if _, err := s.users.InsertOne(t.Context(), bson.D{{Key: "_id", Value: bson.NewObjectID()},
			{Key: "email", Value: fmt.Sprint("late", i)}, {Key: "version", Value: int64(1)}}); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	running := s.process("run", "--json")
	if code, stdout, stderr := command(t, "run", "--until", "shadowing", "--json"); code != 0 {
		t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, stderr := command(t, "verify", "--json")
	var v struct{ Documents, Mismatches int }
	if err := json.Unmarshal([]byte(stdout), &v); code != 0 || err != nil || v.Documents != 3003 || v.Mismatches != 0 {
		t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
	}
	if code, stdout, stderr := command(t, "cutover"); code != 0 {
		t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
	}
	if err := running.Wait(); err != nil {
		t.Errorf("the run that followed to the end: %v", err)
	}
}

func (s *stores) process(args ...string) *exec.Cmd {
	s.t.Helper()
	cmd := s.binary(args...)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}

// binary is the real command, in a process of its own.
func (s *stores) binary(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), s.env...), asCommand+"=1")
	return cmd
}
