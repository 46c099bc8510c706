package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/social/users/plan"
)

// service is two instances of the owning service, which insert users all the
// time, to whichever store owns them.
type service struct {
	s     *stores
	ddb   *dynamodb.Client
	owner *ownership.Table
	stop  context.CancelFunc
	wg    sync.WaitGroup

	mu       sync.Mutex
	kept     map[ownership.Store]map[string]bool // acknowledged
	failures []error
	late     atomic.Int64 // acknowledged by MongoDB after DynamoDB had acknowledged one
}

func (s *stores) serve() *service {
	s.t.Helper()
	ddb := dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &s.aws, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	ctx, cancel := context.WithCancel(context.Background())
	v := &service{s: s, ddb: ddb, owner: ownership.NewTable(ddb, ""), stop: cancel,
		kept: map[ownership.Store]map[string]bool{ownership.MongoDB: {}, ownership.DynamoDB: {}}}
	s.t.Cleanup(func() {
		cancel()
		v.wg.Wait()
	})
	for i := range 2 {
		m, err := ownership.Join(ctx, ownership.MemberConfig{Table: v.owner, Entity: "users", MaxWait: 20 * time.Second})
		if err != nil {
			s.t.Fatal(err)
		}
		v.wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				v.write(m, fmt.Sprintf("i%dn%d@example.com", i, n))
				time.Sleep(25 * time.Millisecond) // a load, no flood
			}
			out, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if err := m.Leave(out); err != nil {
				s.t.Error(err)
			}
		})
	}
	return v
}

func (v *service) write(m *ownership.Member, email string) {
	id, into := bson.NewObjectID(), ownership.Store("")
	err := m.Write(context.Background(), func(ctx context.Context, g ownership.Grant) (err error) {
		v.mu.Lock()
		switched := len(v.kept[ownership.DynamoDB]) > 0
		v.mu.Unlock()
		if into = g.Owner; into == ownership.DynamoDB {
			return v.insertDynamoDB(ctx, g, id, email)
		}
		err = v.insertMongoDB(ctx, id, email)
		if err == nil && switched {
			v.late.Add(1)
		}
		return err
	})
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		v.failures = append(v.failures, err)
		return
	}
	v.kept[into][id.Hex()] = true
}

// insertMongoDB refuses what the users service's store refuses: a write while
// the collection is not there.
func (v *service) insertMongoDB(ctx context.Context, id bson.ObjectID, email string) error {
	_, err := v.s.users.InsertOne(ctx, bson.D{{Key: "_id", Value: id}, {Key: "email", Value: email}, {Key: "version", Value: int64(1)}})
	var server mongo.ServerError
	if errors.As(err, &server) && server.HasErrorCode(166) {
		return fmt.Errorf("%w: %w", ownership.ErrFenced, err)
	}
	return err
}

func (v *service) insertDynamoDB(ctx context.Context, g ownership.Grant, id bson.ObjectID, email string) error {
	stamp := &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{"e": &types.AttributeValueMemberN{Value: fmt.Sprint(g.Epoch)}}}
	_, err := v.ddb.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("users"), Item: map[string]types.AttributeValue{
		"id": &types.AttributeValueMemberS{Value: id.Hex()}, "email": &types.AttributeValueMemberS{Value: email}, "_banyan": stamp}})
	return err
}

// mustHaveMoved ends the service once DynamoDB has taken a write, and checks that
// one store wrote at a time and that every acknowledged write is in DynamoDB.
func (v *service) mustHaveMoved() {
	t := v.s.t
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		v.mu.Lock()
		n := len(v.kept[ownership.DynamoDB])
		v.mu.Unlock()
		if n > 3 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("writes do not go on in DynamoDB")
		}
	}
	v.stop()
	v.wg.Wait()
	r, err := v.owner.Load(t.Context(), "users")
	if err != nil || r.Owner != ownership.DynamoDB || r.Epoch != 2 || r.Hold {
		t.Errorf("%+v %v", r, err)
	}
	for _, err := range v.failures {
		t.Error("a write failed: ", err)
	}
	if n := v.late.Load(); n > 0 {
		t.Errorf("MongoDB took %d writes after DynamoDB had", n)
	}
	items := v.items()
	for _, kept := range v.kept {
		for id := range kept {
			if !items[id] {
				t.Errorf("an acknowledged write is lost: %s", id)
			}
		}
	}
	if _, err := v.s.users.InsertOne(t.Context(), bson.D{{Key: "x", Value: 1}}); err == nil {
		t.Error("MongoDB still takes writes")
	}
	t.Logf("%d writes in MongoDB, %d in DynamoDB", len(v.kept[ownership.MongoDB]), len(v.kept[ownership.DynamoDB]))
}

func (v *service) items() map[string]bool {
	all := map[string]bool{}
	pages := dynamodb.NewScanPaginator(v.ddb, &dynamodb.ScanInput{TableName: aws.String("users"), ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(v.s.t.Context())
		if err != nil {
			v.s.t.Fatal(err)
		}
		for _, item := range page.Items {
			all[item["id"].(*types.AttributeValueMemberS).Value] = true
		}
	}
	return all
}

// shadowed brings users to where they can be cut over, with a service at work.
func shadowed(t *testing.T) (*stores, *service) {
	t.Helper()
	s := open(t)
	s.patient()
	s.seed(300)
	s.must("init")
	v := s.serve()
	s.must("run", "--until", "shadowing")
	s.must("verify")
	return s, v
}

// patient lets a cut-over hold writes for longer than people would: machines that
// run tests are busy.
func (s *stores) patient() {
	s.t.Helper()
	text := strings.Replace(string(plan.Users), "hold: 700ms", "hold: 2s", 1)
	if text == string(plan.Users) {
		s.t.Fatal("the plan has another hold than this test replaces")
	}
	if err := os.WriteFile(s.plan, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stores) must(args ...string) {
	s.t.Helper()
	if out, err := s.binary(args...).CombinedOutput(); err != nil {
		s.t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// until reads a process's lines of JSON until a step begins; false at their end.
func until(lines *bufio.Scanner, step string) bool {
	for lines.Scan() {
		var line struct{ Step string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Step == step {
			return true
		}
	}
	return false
}

// piped starts a process whose lines on stdout can be read.
func (s *stores) piped(args ...string) (*exec.Cmd, *bufio.Scanner) {
	s.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := s.binary(args...)
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	_ = w.Close()
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_, _ = io.Copy(io.Discard, r)
		_ = r.Close()
	})
	return cmd, bufio.NewScanner(r)
}

// The real process is killed as each step of a cut-over begins, and a little
// later; then the same command is run again.
func TestACutoverKilledForRealIsFinishedByTheSameCommand(t *testing.T) {
	t.Parallel()
	for i, step := range []string{migrate.StepPreTail, migrate.StepHold, migrate.StepFence, migrate.StepDrain, migrate.StepTail,
		migrate.StepSwitch, migrate.StepRelease} {
		t.Run(step, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			s, v := shadowed(t)
			cmd, lines := s.piped("cutover", "--json")
			if !until(lines, step) {
				t.Fatal("it ended before that step")
			}
			time.Sleep(time.Duration(i%3) * time.Millisecond) // somewhere in the step
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			s.cutOver()
			v.mustHaveMoved()
		})
	}
}

// cutOver is an operator who does not give up.
func (s *stores) cutOver() {
	s.t.Helper()
	var told string
	for range 5 {
		out, err := s.binary("cutover", "--json").CombinedOutput()
		if err == nil {
			return
		}
		told += string(out)
	}
	s.t.Fatalf("not switched:\n%s", told)
}

// A process that is stopped while it works, and wakes after another has switched
// the owner, does no harm and ends by itself.
func TestAProcessThatSleepsThroughTheSwitchDoesNoHarm(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		args []string
		step string // at which it is stopped; none: while it copies
	}{
		{"run that copies", []string{"run", "--json", "--throttle", "400"}, ""},
		{"run that follows", []string{"run", "--json"}, ""},
		{"cutover that fences", []string{"cutover", "--json"}, migrate.StepFence},
		{"cutover that switches", []string{"cutover", "--json"}, migrate.StepSwitch},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var s *stores
			var v *service
			copies := strings.HasSuffix(tc.name, "copies")
			if copies {
				s = open(t)
				s.patient()
				s.seed(2000)
				s.must("init")
				v = s.serve()
			} else {
				s, v = shadowed(t)
			}
			cmd, lines := s.piped(tc.args...)
			if tc.step != "" && !until(lines, tc.step) {
				t.Fatal("it ended before that step")
			} else if tc.step == "" {
				lines.Scan()                       // it is at work
				time.Sleep(300 * time.Millisecond) // somewhere in the copy
			}
			s.signal(cmd, syscall.SIGSTOP)
			slept := time.Now()
			if copies {
				s.must("run", "--until", "shadowing")
				s.must("verify")
			}
			s.cutOver()
			time.Sleep(time.Until(slept.Add(5 * time.Second))) // longer than its lease
			s.signal(cmd, syscall.SIGCONT)
			go func() {
				for lines.Scan() { // so that it can write
				}
			}()
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			select {
			case err := <-ended:
				t.Log("it ended: ", err)
			case <-time.After(time.Minute):
				t.Error("it goes on although the owner has switched")
			}
			v.mustHaveMoved()
		})
	}
}

func (s *stores) signal(cmd *exec.Cmd, sig os.Signal) {
	s.t.Helper()
	if err := cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}
