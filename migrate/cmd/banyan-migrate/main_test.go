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
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	dynamodbserver "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	mongodbserver "github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
	"github.com/banyan-fig/banyan/services/social/plans"
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
func start(t *testing.T, change ...func(*mongodbserver.Config)) *stores {
	t.Helper()
	s := open(t, change...)
	for _, v := range s.env {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	return s
}

func open(t *testing.T, change ...func(*mongodbserver.Config)) *stores {
	t.Helper()
	var cfg mongodbserver.Config
	for _, c := range change {
		c(&cfg)
	}
	server, err := mongodbserver.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	aws := httptest.NewServer(dynamodbserver.New(dynamodbserver.Config{}))
	// What it writes counts as the service's: a gate takes it for the migration's own.
	client, err := mongo.Connect(options.Client().ApplyURI(server.URI()).SetAppName("banyan-migrate test"))
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
	s.hold("30s")
	s.env = []string{"MONGODB_URI=" + strings.Replace(server.URI(), "/?", "/legacy?", 1), "AWS_ENDPOINT_URL=" + aws.URL,
		"AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "BANYAN_PLAN=" + s.plan}
	return s
}

// hold lets a cut-over hold writes for longer than people would, and begin with more that is
// not applied: machines that run tests are busy.
func (s *stores) hold(d string) {
	s.t.Helper()
	text := strings.Replace(string(plans.Users), "hold: 700ms", "hold: "+d+"\n  lag: 1m", 1)
	if text == string(plans.Users) {
		s.t.Fatal("the plan has another hold than this test replaces")
	}
	if err := os.WriteFile(s.plan, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
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

// command runs one command line in this process, and again where a busy machine cost it its
// lease, and it says so.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	for range 20 {
		var out, errs bytes.Buffer
		code = newCommand().Execute(t.Context(), args, &out, &errs)
		if stdout, stderr = out.String(), errs.String(); !strings.Contains(stderr, worker.ErrLeaseLost.Error()) {
			break
		}
	}
	return code, stdout, stderr
}

func TestTheVerbsInTheirOrder(t *testing.T) {
	s := start(t)
	s.seed(500)
	for _, step := range []struct {
		args string
		code int
		says string
	}{
		{"status", 3, "banyan-control"},
		{"strays", 3, "banyan-migrate init"},
		{"init", 0, "exists"},
		{"plan", 0, "500"},
		{"verify", 3, "not encapsulated"},
		{"complete", 3, "the owner has not switched"},
		{"cutover", 3, "not encapsulated"},
		{"run", 3, "not encapsulated"},
		{"encapsulate --watch 1ms", 3, "--no-members"},
		{"encapsulate --watch 1ms --no-members", 3, "--accept-gap"},
		{"encapsulate --watch 1ms --no-members --accept-gap --dry-run", 0, "possible"},
		{"status", 0, "phase legacy"},
		{"encapsulate --watch 1ms --no-members --accept-gap", 0, "is called users__banyan_g1"},
		{"encapsulate", 0, "is called users__banyan_g1"},
		{"verify", 3, "phase"},
		{"cutover", 3, "not shadowing"},
		{"run --until shadowing", 0, "500 documents copied"},
		{"cutover --dry-run", 3, "nothing was verified"},
		{"strays", 0, "There are no strays."},
		{"strays --discard users", 3, "not a collection that was set aside"},
		{"verify", 0, "0 mismatches"},
		{"cutover --dry-run", 3, "no instance of the owning service"},
		{"cutover --dry-run --no-members", 0, "possible"},
		{"status", 0, "phase shadowing"},
		{"abandon --dry-run", 0, "users__banyan_g1 would be called users again. These views would be dropped: users. These would stay: users, users-unique."},
		{"pause", 0, ""}, {"resume", 0, ""}, {"throttle 100 --max-lag 7s --max-queue=-1", 0, "100"},
		{"status --json", 0, `"maxLagNanoseconds":7000000000,"sourceLagNanoseconds":0,"maxQueue":-1,"sourceQueue":0,`},
		{"cutover --no-members", 0, "belongs to DynamoDB since epoch 2"},
		{"abandon", 3, "DynamoDB is the owner"},
		{"abandon --dry-run", 3, "DynamoDB is the owner"},
		{"cutover", 0, "belongs to DynamoDB since epoch 2"},
		{"run --until switched", 0, "switched"},
		{"status --json", 0, `"phase":"switched"`},
		{"rollback --no-members --watch 0s", 3, "nothing was verified yet since the owner changed"},
		{"verify", 0, "0 mismatches"},
		{"rollback --dry-run --no-members --watch 0s", 0, "The rollback of users is possible now"},
		{"status", 0, "rollback       possible until"},
		{"rollback --no-members --watch 0s", 0, "belongs to MongoDB since epoch 3"},
		{"rollback", 0, "belongs to MongoDB since epoch 3"},
		{"status --json", 0, `"phase":"shadowing"`},
		{"verify", 0, "0 mismatches"},
		{"cutover --no-members --watch 0s", 0, "belongs to DynamoDB since epoch 4"},
		{"history", 0, "shadowing -> switching\n  by           "},
		{"history", 0, "switching -> switched, owner mongodb -> dynamodb, epoch 2\n  by           "},
		{"history", 0, "  evidence     verification "},
		{"history", 0, "rolling-back -> shadowing, owner dynamodb -> mongodb, epoch 3\n  by           "},
		{"history --json", 0, `"fromOwner":"mongodb","owner":"dynamodb","fromPhase":"switching","phase":"switched","epoch":2,"evidence":["verification `},
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

func TestTerraformNeedsNoStore(t *testing.T) {
	start(t)
	t.Setenv("MONGODB_URI", "mongodb://127.0.0.1:1/nothing")
	code, stdout, stderr := command(t, "plan", "--terraform")
	if code != 0 || !strings.Contains(stdout, `module "table_users"`) || !strings.Contains(stdout, `"NEW_AND_OLD_IMAGES"`) {
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
	if code != exitFound {
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
	if code, _, stderr := command(t, "encapsulate", "--watch", "1ms", "--no-members", "--accept-gap"); code != 0 {
		t.Fatal(stderr)
	}
	code, _, stderr := command(t, "run", "--until", "shadowing")
	if code != 1 || !strings.Contains(stderr, "document") {
		t.Errorf("run of what does not fit: exit %d, %s", code, stderr)
	}
}

// TestPlanStopsUntilAcknowledged: the line that plan prints is one that the plan takes.
func TestPlanStopsUntilAcknowledged(t *testing.T) {
	s := start(t)
	s.seed(3)
	if _, err := s.users.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "name", Value: 1}, {Key: "version", Value: -1}}}); err != nil {
		t.Fatal(err)
	}
	code, stdout, _ := command(t, "plan")
	_, line, found := strings.Cut(stdout, "\nacknowledge: ")
	if code != exitFound || !found || !strings.Contains(stdout, "acknowledge    index:name_1_version_-1: ") {
		t.Fatalf("exit %d\n%s", code, stdout)
	}
	line, _, _ = strings.Cut(line, "\n")
	if err := os.WriteFile(s.plan, append(slices.Clone(plans.Users), "\nacknowledge: "+line+"\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := command(t, "plan"); code != 0 || !strings.Contains(stdout, "acknowledged   index:name_1_version_-1: ") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, _ = command(t, "plan", "--json")
	var report struct {
		Findings []struct{ Name, Severity string }
	}
	if err := json.Unmarshal([]byte(stdout), &report); code != 0 || err != nil || len(report.Findings) < 10 {
		t.Errorf("exit %d: %v\n%s", code, err, stdout)
	}
}

func TestOneClearSentence(t *testing.T) {
	s := start(t)
	expect(t, 0, "", "init")
	for _, tc := range []struct {
		name, env, value, args string
		code                   int
		says                   string
	}{
		{"no control table", "BANYAN_CONTROL_TABLE", "other", "status", exitRefused, "banyan-migrate init"},
		{"no collection", "X", "", "plan", exitRefused, "legacy.users does not exist"},
		{"nothing to encapsulate", "X", "", "encapsulate", exitRefused, "legacy.users does not exist"},
		{"wrong AWS endpoint", "AWS_ENDPOINT_URL", "http://127.0.0.1:1", "status", 1, "AWS_ENDPOINT_URL"},
		{"wrong MongoDB in status", "MONGODB_URI", "mongodb://127.0.0.1:1/x", "status", 1, "MONGODB_URI"},
		{"bad URI", "MONGODB_URI", "nonsense", "plan", 2, "MONGODB_URI"},
		{"no plan", "BANYAN_PLAN", "/nowhere.yaml", "plan", 2, "--plan"},
		{"a directory", "BANYAN_PLAN", filepath.Dir(s.plan), "plan --terraform", 2, "name one of its files"},
		{"no workers", "X", "", "run --workers 0", 2, "must be positive"},
		{"negative time", "X", "", "cutover --watch=-1s", 2, "must not be negative"},
		{"negative rate", "X", "", "complete --per-second=-1", 2, "must not be negative"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv(tc.env, tc.value)
			code, _, stderr := command(t, strings.Fields(tc.args)...)
			if code != tc.code || !strings.Contains(stderr, tc.says) || strings.Count(strings.TrimSpace(stderr), "\n") > 0 {
				t.Errorf("exit %d: %s", code, stderr)
			}
		})
	}
	if err := os.WriteFile(s.plan, []byte("entity: users\nsauce: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := command(t, "plan"); code != 2 || !strings.Contains(stderr, "users.yaml:2:1") {
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
	if code, _, stderr := command(t, "encapsulate", "--watch", "1ms", "--no-members", "--accept-gap"); code != 0 {
		t.Fatal(stderr)
	}
	s.users = s.users.Database().Collection("users__banyan_g1")
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
	running := s.process("run", "--until", "switched", "--json")
	if code, stdout, stderr := command(t, "run", "--until", "shadowing", "--json"); code != 0 {
		t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, stderr := command(t, "verify", "--json")
	var v struct{ Documents, Mismatches int }
	lines := strings.Split(strings.TrimSpace(stdout), "\n") // progress, and the result
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &v); code != 0 || err != nil || v.Documents != 3003 || v.Mismatches != 0 {
		t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
	}
	if code, stdout, stderr := command(t, "cutover", "--no-members"); code != 0 {
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

// A plan that was edited, or a region that was mistaken, is refused by every command, with
// a sentence and its exit code; status says it among the problems.
func TestAnEditedPlanIsRefusedByEveryCommand(t *testing.T) {
	s := start(t)
	s.seed(50)
	for _, args := range []string{"init", "encapsulate --watch 1ms --no-members --accept-gap", "run --until shadowing", "verify"} {
		if code, stdout, stderr := command(t, strings.Fields(args)...); code != 0 {
			t.Fatalf("%s: exit %d\n%s%s", args, code, stdout, stderr)
		}
	}
	text := strings.Replace(string(plans.Users), "table: users\n", "table: users2\n", 1)
	if err := os.WriteFile(s.plan, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"encapsulate", "run", "repair", "cutover --no-members", "cutover --dry-run", "strays",
		"strays --discard users__banyan_stray_g2", "pause", "resume", "throttle 5"} {
		code, stdout, stderr := command(t, strings.Fields(args)...)
		if code != exitRefused || !strings.Contains(stderr, "target.table: users -> users2; put the plan back") ||
			strings.Count(strings.TrimSpace(stderr), "\n") > 0 {
			t.Errorf("%s: exit %d\n%s%s", args, code, stdout, stderr)
		}
	}
	if code, stdout, _ := command(t, "status"); code != 0 || !strings.Contains(stdout, "target.table: users -> users2") {
		t.Errorf("status: exit %d\n%s", code, stdout)
	}
	if code, stdout, stderr := command(t, "abandon"); code != 0 {
		t.Errorf("abandon: exit %d\n%s%s", code, stdout, stderr)
	}
}

// With another region, tables appeared there, and the cut-over passed.
func TestAnotherRegionIsRefusedByEveryCommand(t *testing.T) {
	s := start(t)
	s.seed(50)
	for _, args := range []string{"init", "encapsulate --watch 1ms --no-members --accept-gap"} {
		if code, stdout, stderr := command(t, strings.Fields(args)...); code != 0 {
			t.Fatalf("%s: exit %d\n%s%s", args, code, stdout, stderr)
		}
	}
	europe := httptest.NewServer(dynamodbserver.New(dynamodbserver.Config{Region: "eu-west-1"}))
	t.Cleanup(europe.Close)
	t.Setenv("AWS_REGION", "eu-west-1")
	t.Setenv("AWS_ENDPOINT_URL", europe.URL)
	for _, args := range []string{"encapsulate", "run", "run --from-start", "verify", "cutover", "abandon", "strays", "pause", "resume", "throttle 5", "status"} {
		code, stdout, stderr := command(t, strings.Fields(args)...)
		if code != exitRefused || !strings.Contains(stderr, "banyan-control, which does not exist") || !strings.Contains(stderr, "correct AWS_REGION") {
			t.Errorf("%s: exit %d\n%s%s", args, code, stdout, stderr)
		}
	}
	client := dynamodb.New(dynamodb.Options{Region: "eu-west-1", BaseEndpoint: &europe.URL,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	if out, err := client.ListTables(t.Context(), &dynamodb.ListTablesInput{}); err != nil || len(out.TableNames) > 0 {
		t.Errorf("tables appeared: %v %v", out, err)
	}
}
