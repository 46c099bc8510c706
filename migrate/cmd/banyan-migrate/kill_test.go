package main

import (
	"bufio"
	"cmp"
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

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/matrix"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
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
		m, err := ownership.Join(ctx, ownership.MemberConfig{Table: v.owner, Entity: "users", MaxWait: insistence,
			Probe: func(context.Context, string) error { return nil }})
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
		err = v.insertMongoDB(ctx, g, id, email)
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
func (v *service) insertMongoDB(ctx context.Context, g ownership.Grant, id bson.ObjectID, email string) error {
	users := v.s.users.Database().Collection(cmp.Or(g.Collection, "users"))
	_, err := users.InsertOne(ctx, bson.D{{Key: "_id", Value: id}, {Key: "email", Value: email}, {Key: "version", Value: int64(1)}})
	var server mongo.ServerError
	if errors.As(err, &server) && server.HasErrorCode(166) {
		return fmt.Errorf("%w: %w", ownership.ErrFenced, err)
	}
	return err
}

func (v *service) insertDynamoDB(ctx context.Context, g ownership.Grant, id bson.ObjectID, email string) error {
	put := func(table, key, value, name, of string) types.TransactWriteItem {
		return types.TransactWriteItem{Put: &types.Put{TableName: &table, Item: dynamo.Item{key: dynamo.String(value), name: dynamo.String(of),
			stamp.Attribute: stamp.OfEpoch(g.Epoch)}}}
	}
	_, err := v.ddb.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		put("users", "id", id.Hex(), "email", email), put("users-unique", "value", "email#"+email, "owner", id.Hex())}})
	return err
}

// mustHaveMoved ends the service once DynamoDB has taken a write, and checks that
// one store wrote at a time and that every acknowledged write is in DynamoDB.
func (v *service) mustHaveMoved() {
	t := v.s.t
	t.Helper()
	v.awaitWrites(ownership.DynamoDB)
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
	s.hold("5s") // for as long is waited where one was killed
	s.seed(300)
	s.must("init")
	v := s.serve()
	s.must("encapsulate", "--watch", "1ms", "--accept-gap")
	s.must("run", "--until", "shadowing")
	s.must("verify")
	return s, v
}

// must has an operator run a command line who does not give up.
func (s *stores) must(args ...string) {
	s.t.Helper()
	var told string
	for until := time.Now().Add(insistence); time.Now().Before(until); time.Sleep(200 * time.Millisecond) {
		out, err := s.binary(args...).CombinedOutput()
		if err == nil {
			return
		}
		told += string(out)
	}
	s.t.Fatalf("%v never succeeds:\n%s", args, told)
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
	drawn := matrix.Some(3, 9)
	for i, step := range []string{cutover.StepPreTail, cutover.StepAnnounce, cutover.StepHold, cutover.StepFence, cutover.StepDrain, cutover.StepTail,
		cutover.StepConfirm, cutover.StepSwitch, cutover.StepRelease} {
		t.Run(step, func(t *testing.T) {
			drawn.Skip(t, i)
			t.Parallel() // most of it is waiting
			s, v := shadowed(t)
			cmd, _ := s.comesTo(step, "cutover")
			time.Sleep(time.Duration(i%3) * time.Millisecond) // somewhere in the step
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			s.must("cutover")
			v.mustHaveMoved()
		})
	}
}

// insistence is much longer than the transaction of a dead process can stay open, which is a
// minute.
const insistence = 3 * time.Minute

// comesTo starts a verb, again where it is refused or undone on a busy machine, and returns
// when a step of it begins.
func (s *stores) comesTo(step, verb string) (*exec.Cmd, *bufio.Scanner) {
	s.t.Helper()
	for end := time.Now().Add(insistence); time.Now().Before(end); {
		cmd, lines := s.piped(verb, "--json")
		if until(lines, step) {
			return cmd, lines
		}
		_ = cmd.Wait()
	}
	s.t.Fatalf("%s never came to %s", verb, step)
	return nil, nil
}

// The same of a rollback: every acknowledged write is in MongoDB.
func TestARollbackKilledForRealIsFinishedByTheSameCommand(t *testing.T) {
	t.Parallel()
	drawn := matrix.Some(2, 6)
	for i, step := range []string{cutover.StepAnnounce, cutover.StepDrain, cutover.StepFence, cutover.StepPosition, cutover.StepSwitch,
		cutover.StepRelease} {
		t.Run(step, func(t *testing.T) {
			drawn.Skip(t, i)
			t.Parallel()
			s, v := shadowed(t)
			s.must("cutover")
			v.awaitWrites(ownership.DynamoDB)
			s.must("verify")
			cmd, _ := s.comesTo(step, "rollback")
			time.Sleep(time.Duration(i%3) * time.Millisecond) // somewhere in the step
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			s.must("rollback")
			v.mustHaveReturned()
		})
	}
}

// mustHaveReturned ends the service once MongoDB has taken further writes, and checks that
// every acknowledged write is there.
func (v *service) mustHaveReturned() {
	t := v.s.t
	t.Helper()
	v.awaitWrites(ownership.MongoDB)
	v.stop()
	v.wg.Wait()
	r, err := v.owner.Load(t.Context(), "users")
	if err != nil || r.Owner != ownership.MongoDB || r.Epoch != 3 || r.Hold {
		t.Errorf("%+v %v", r, err)
	}
	for _, err := range v.failures {
		t.Error("a write failed: ", err)
	}
	for _, kept := range v.kept {
		for id := range kept {
			oid, _ := bson.ObjectIDFromHex(id)
			err := v.s.users.Database().Collection(r.Collection).FindOne(t.Context(), bson.D{{Key: "_id", Value: oid}}).Err()
			if err != nil {
				t.Errorf("an acknowledged write is lost: %s: %v", id, err)
			}
		}
	}
}

// awaitWrites waits for some more writes to a store.
func (v *service) awaitWrites(to ownership.Store) {
	v.s.t.Helper()
	count := func() int {
		v.mu.Lock()
		defer v.mu.Unlock()
		return len(v.kept[to])
	}
	first := count()
	for end := time.Now().Add(insistence); count() < first+4; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			v.s.t.Fatalf("writes do not go on in %s", to)
		}
	}
}

// A process that is stopped while it works, and wakes after another has switched
// the owner, does no harm and ends by itself.
func TestAProcessThatSleepsThroughTheSwitchDoesNoHarm(t *testing.T) {
	t.Parallel()
	drawn := matrix.Some(2, 4)
	for i, tc := range []struct {
		name string
		args []string
		step string // at which it is stopped; none: while it copies
	}{
		{"run that copies", []string{"run", "--until", "switched", "--json", "--throttle", "400"}, ""},
		{"run that follows", []string{"run", "--until", "switched", "--json"}, ""},
		{"cutover that fences", []string{"cutover", "--json"}, cutover.StepFence},
		{"cutover that switches", []string{"cutover", "--json"}, cutover.StepSwitch},
	} {
		t.Run(tc.name, func(t *testing.T) {
			drawn.Skip(t, i)
			t.Parallel()
			var s *stores
			var v *service
			copies := strings.HasSuffix(tc.name, "copies")
			if copies {
				s = open(t)
				s.hold("5s")
				s.seed(2000)
				s.must("init")
				v = s.serve()
				s.must("encapsulate", "--watch", "1ms", "--accept-gap")
			} else {
				s, v = shadowed(t)
			}
			var cmd *exec.Cmd
			var lines *bufio.Scanner
			if tc.step != "" {
				cmd, lines = s.comesTo(tc.step, "cutover")
			} else {
				cmd, lines = s.piped(tc.args...)
				lines.Scan()                       // it is at work
				time.Sleep(300 * time.Millisecond) // somewhere in the copy
			}
			s.signal(cmd, syscall.SIGSTOP)
			slept := time.Now()
			if copies {
				s.must("run", "--until", "shadowing")
				s.must("verify")
			}
			s.must("cutover")
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
			case <-time.After(insistence):
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
