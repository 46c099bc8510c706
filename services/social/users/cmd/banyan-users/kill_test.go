package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/social/socialtest"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/sandbox"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	"github.com/banyan-fig/banyan/infra/serving/servingtest"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/publishers/streamtest"
	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/entity/backbone"
	"github.com/banyan-fig/banyan/services/social/users"
	"github.com/banyan-fig/banyan/services/social/users/userstest"
)

// slowStream keeps events on their way for a while, so that a process is often
// killed after a write and before its event.
const slowStream = "delay 60ms\nkinesis.PutRecords timeout-before=0.4"

// TestNoEventIsLostWithTheProcess: banyan-users is killed again and again under
// writes, whichever store owns the users. In the end the stream has every
// version that was committed, answered or not, in its order, and the read model is the store.
func TestNoEventIsLostWithTheProcess(t *testing.T) {
	eachOwner(t, func(w *killWorld) {
		seed := uint64(time.Now().UnixNano())
		w.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 1))
		w.faults(slowStream)
		process := w.start()
		awaitWrites, stop := w.write(6)
		swept := int64(0)
		for range 3 {
			awaitWrites(int64(3 + r.IntN(9)))
			swept += w.swept()
			w.kill(process)
			process = w.start()
		}
		awaitWrites(6) // by the last process, too
		acknowledged := stop()
		w.faults("")
		w.outboxEmpties()
		swept += w.swept()
		_ = process.Process.Signal(os.Interrupt)
		if err := process.Wait(); err != nil {
			w.Errorf("banyan-users ended with %v", err)
		}
		if len(acknowledged) != 6 {
			w.Errorf("%d users were acknowledged: this tested nothing", len(acknowledged))
		}
		w.Logf("%d events were swept", swept)
		w.mustBeTold(acknowledged)
	})
}

// eachOwner runs a test with each store for the owner.
func eachOwner(t *testing.T, test func(w *killWorld)) {
	for _, owner := range []ownership.Store{ownership.MongoDB, ownership.DynamoDB} {
		t.Run(string(owner), func(t *testing.T) {
			t.Parallel()
			test(newKillWorld(t, owner))
		})
	}
}

// mustBeTold checks the stream against what was acknowledged and what is stored.
func (w *killWorld) mustBeTold(acknowledged map[string]int64) {
	w.Helper()
	fold, published := w.stream()
	state := fold.Profiles()
	for id, version := range acknowledged {
		u := w.stored(id)
		if u.Version < version {
			w.Errorf("user %s: version %d was acknowledged, the store has %d", id, version, u.Version)
		}
		if got := state[id]; got.Name != u.Name || got.Bio != u.Bio || !got.Joined.Equal(u.CreatedAt) {
			w.Errorf("user %s: the read model says %+v, the store %+v", id, got, u)
		}
		for v := int64(0); v <= u.Version; v++ {
			if !slices.Contains(published[id], v) {
				w.Errorf("user %s: of %d versions, number %d was never published (0 is joined)", id, u.Version, v)
			}
		}
		if !slices.IsSorted(published[id]) {
			w.Errorf("user %s: first occurrences of its versions are %v", id, published[id])
		}
	}
}

// TestKilledBetweenTheWriteAndItsEvent: the process is killed when the write has taken effect,
// and its event is not on the stream, or is and this is not known. Another one publishes what was left, once
// where it was not on the stream, and before the next event of the user.
func TestKilledBetweenTheWriteAndItsEvent(t *testing.T) {
	eachOwner(t, func(w *killWorld) {
		acknowledged := map[string]int64{}
		process := w.start()
		for i, point := range []struct {
			name, faults string
			isThere      func(id string) bool
		}{
			{"before the stream has it", "delay 1m\nkinesis.PutRecords timeout-before=1", func(id string) bool { return w.stored(id).Version == 2 }},
			{"before the stream has answered", "delay 1m\nkinesis.PutRecords timeout-after=1", w.isOnStream(2)},
		} {
			id := userstest.User(i).ID
			if version, _ := w.request(http.MethodPut, id, fmt.Sprintf(`{"name":"n","email":"%d@x.y","password":"secret","bio":"b"}`, i)); version != 1 {
				w.Fatalf("%s: created with version %d", point.name, version)
			}
			w.outboxEmpties()
			w.faults(point.faults)
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				w.request(http.MethodPatch, id, `{"bio":"second"}`)
			}()
			w.eventually(point.name, func() bool { return point.isThere(id) })
			w.kill(process)
			<-answered
			w.faults("")
			process = w.start()
			version, position := w.request(http.MethodPatch, id, `{"bio":"third"}`)
			if version != 3 || position != w.positionOf(id, 3) {
				w.Errorf("%s: the next write made version %d, told at %q, which is at %q", point.name, version, position, w.positionOf(id, 3))
			}
			acknowledged[id] = 3
		}
		w.outboxEmpties()
		w.mustBeTold(acknowledged)
		w.kill(process)
	})
}

// TestKilledBetweenADeleteAndItsEvent: that a user left is told although the process was killed
// when the user was gone, and nothing was on the stream.
func TestKilledBetweenADeleteAndItsEvent(t *testing.T) {
	eachOwner(t, func(w *killWorld) {
		process, id := w.start(), userstest.User(1).ID
		if version, _ := w.request(http.MethodPut, id, `{"name":"n","email":"1@x.y","password":"secret"}`); version != 1 {
			w.Fatalf("created with version %d", version)
		}
		w.outboxEmpties()
		w.faults("delay 1m\nkinesis.PutRecords timeout-before=1")
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			w.request(http.MethodDelete, id, "")
		}()
		w.eventually("the delete", func() bool {
			_, err := w.store.Get(userstest.Under(w.Context(), ownership.Grant{Owner: w.owner, Epoch: 1}), userstest.ID(id))
			return errors.Is(err, entity.ErrNotFound)
		})
		w.kill(process)
		<-answered
		w.faults("")
		process = w.start()
		w.outboxEmpties()
		var told []string
		w.eachEvent(func(e events.Event, _ int64, _ events.Position) { told = append(told, e.Type) })
		if fmt.Sprint(told) != "[user.joined user.left]" {
			w.Errorf("on the stream: %v", told)
		}
		w.kill(process)
	})
}

type killWorld struct {
	*testing.T
	owner      ownership.Store
	sandbox    *sandbox.Sandbox
	env        []string
	url, admin string
	dynamo     *awsdynamodb.Client
	kinesis    *awskinesis.Client
	mongo      *mongo.Database
	store      entity.Typed[users.User]
}

func newKillWorld(t *testing.T, owner ownership.Store) *killWorld {
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
	api, admin := servingtest.Address(t), servingtest.Address(t)
	w := &killWorld{T: t, owner: owner, sandbox: sandbox, url: "http://" + api, admin: "http://" + admin}
	w.env = append(os.Environ(), append(sandbox.Env(), "USERS_LISTEN="+api, "USERS_ADMIN_LISTEN="+admin,
		"USERS_BCRYPT_COST=4", "USERS_SWEEP_EVERY=100ms", "USERS_SWEEP_AGE=2s")...)
	base := aws.Config{
		Region: "us-east-1", HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	}
	var uri string
	for _, kv := range sandbox.Env() {
		switch name, value, _ := strings.Cut(kv, "="); name {
		case "AWS_ENDPOINT_URL":
			base.BaseEndpoint = &value
		case "MONGODB_URI":
			uri = value
		}
	}
	w.dynamo, w.kinesis = awsdynamodb.NewFromConfig(base), awskinesis.NewFromConfig(base)
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	w.mongo = client.Database("legacy")
	w.store = userstest.Store(t, w.mongo, w.dynamo)
	w.provision()
	return w
}

// provision makes the owner that one from the beginning.
func (w *killWorld) provision() {
	if err := w.sandbox.CreateStream(w.Context(), "banyan-events", 1); err != nil {
		w.Fatal(err)
	}
	userstest.Tables(w.T, w.dynamo)
	control := ownership.NewTable(w.dynamo, "")
	err := control.Ensure(w.Context())
	if err == nil && w.owner == ownership.DynamoDB {
		var r ownership.Record
		if r, err = control.Load(w.Context(), "users"); err == nil {
			_, err = control.Update(w.Context(), r, func(r *ownership.Record) {
				r.Owner, r.Epoch, r.Phase = ownership.DynamoDB, 2, ownership.Switched
			})
		}
	}
	if err != nil {
		w.Fatal(err)
	}
}

func (w *killWorld) faults(text string) {
	w.Helper()
	p, err := fault.Parse(text)
	if err == nil {
		err = w.sandbox.Faults().SetPlan(p)
	}
	if err != nil {
		w.Fatal(err)
	}
}

// start runs this test's program under the name that makes it banyan-users, and
// waits until it is ready.
func (w *killWorld) start() *exec.Cmd {
	w.Helper()
	self, err := os.Executable()
	if err != nil {
		w.Fatal(err)
	}
	var log bytes.Buffer
	cmd := &exec.Cmd{Path: self, Args: []string{"banyan-users"}, Env: w.env, Stdout: &log, Stderr: &log}
	if err := cmd.Start(); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = cmd.Process.Kill() })
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if res, err := http.Get(w.admin + "/readyz"); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return cmd
			}
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	w.Fatalf("banyan-users is not ready:\n%s", log.String())
	return nil
}

func (w *killWorld) kill(process *exec.Cmd) {
	_ = process.Process.Kill()
	_ = process.Wait()
}

func (w *killWorld) eventually(what string, done func() bool) {
	w.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("%s: waited too long", what)
		}
	}
}

// isOnStream reports whether a version of a user is there.
func (w *killWorld) isOnStream(version int64) func(id string) bool {
	return func(id string) bool { return w.positionOf(id, version) != "" }
}

// positionOf is where a version of a user is on the stream last, "" for nowhere.
func (w *killWorld) positionOf(id string, version int64) (at string) {
	w.eachEvent(func(e events.Event, v int64, position events.Position) {
		if e.PartitionKey == id && v == version {
			at = position.String()
		}
	})
	return at
}

// write changes so many users over and over, each by a client of its own, and
// returns how to wait for more acknowledged writes, and how to end that; which returns the last version that each got acknowledged.
func (w *killWorld) write(n int) (awaitWrites func(more int64), stop func() map[string]int64) {
	var mu sync.Mutex
	var count atomic.Int64
	acknowledged := map[string]int64{}
	ended := make(chan struct{})
	var people sync.WaitGroup
	for i := range n {
		people.Go(func() {
			id := userstest.User(i).ID
			body := fmt.Sprintf(`{"name":"n","email":"%d@x.y","password":"secret","bio":"b"}`, i)
			method := http.MethodPut
			for k := 0; ; k++ {
				version, _ := w.request(method, id, body)
				if version > 0 {
					count.Add(1)
					mu.Lock()
					acknowledged[id] = version
					mu.Unlock()
					method = http.MethodPatch
				}
				if method == http.MethodPatch {
					body = fmt.Sprintf(`{"name":"name %d","bio":"bio %d"}`, k, k)
				}
				select {
				case <-ended:
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		})
	}
	awaitWrites = func(more int64) {
		w.Helper()
		until := count.Load() + more
		for deadline := time.Now().Add(3 * time.Minute); count.Load() < until; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				w.Fatalf("%d of %d writes were not acknowledged in time", until-count.Load(), more)
			}
		}
	}
	return awaitWrites, func() map[string]int64 {
		close(ended)
		people.Wait()
		return acknowledged
	}
}

// request returns the version of the answer, 0 if there was none, and the position that it tells.
func (w *killWorld) request(method, id, body string) (version int64, position string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, w.url+"/v1/users/"+id, strings.NewReader(body))
	if err != nil {
		return 0, ""
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	version, err = strconv.ParseInt(strings.Trim(res.Header.Get("ETag"), `"`), 10, 64)
	if err != nil || res.StatusCode >= 300 {
		return 0, ""
	}
	return version, res.Header.Get(events.HeaderWritten)
}

func (w *killWorld) outboxEmpties() {
	w.Helper()
	w.eventually("the outbox empties", func() bool {
		if w.owner == ownership.MongoDB {
			there := bson.D{{Key: "_outbox", Value: bson.D{{Key: "$exists", Value: true}}}}
			n, err := w.mongo.Collection("users").CountDocuments(w.Context(), there)
			if err != nil {
				w.Fatal(err)
			}
			return n == 0
		}
		out, err := w.dynamo.Scan(w.Context(), &awsdynamodb.ScanInput{TableName: aws.String("users-outbox"), ConsistentRead: aws.Bool(true)})
		if err != nil {
			w.Fatal(err)
		}
		return len(out.Items) == 0
	})
}

// swept is how many events the present process found in the outbox.
func (w *killWorld) swept() (n int64) {
	w.Helper()
	res, err := http.Get(w.admin + "/metrics.json")
	if err != nil {
		w.Fatal(err)
	}
	defer res.Body.Close()
	var m backbone.Figures
	if err := json.NewDecoder(res.Body).Decode(&m); err != nil {
		w.Fatal(err)
	}
	return m.EventsSwept
}

func (w *killWorld) stored(id string) users.User {
	w.Helper()
	u, err := w.store.Get(userstest.Under(w.Context(), ownership.Grant{Owner: w.owner, Epoch: 1}), userstest.ID(id))
	if err != nil {
		w.Fatal(err)
	}
	return u.Value
}

// stream reads all events: what they amount to, and the versions of each user in the order
// of their first occurrences.
func (w *killWorld) stream() (*socialtest.Fold, map[string][]int64) {
	w.Helper()
	fold, told := socialtest.NewFold(), map[string][]int64{}
	w.eachEvent(func(e events.Event, version int64, position events.Position) {
		if err := fold.Apply(consumers.Message{Event: e, Position: position}); err != nil {
			w.Fatal(err)
		}
		if !slices.Contains(told[e.PartitionKey], version) {
			told[e.PartitionKey] = append(told[e.PartitionKey], version)
		}
	})
	return fold, told
}

// eachEvent reads the stream; version 0 is joined.
func (w *killWorld) eachEvent(visit func(e events.Event, version int64, position events.Position)) {
	w.Helper()
	records, err := streamtest.Records(w.Context(), w.kinesis, "banyan-events")
	if err != nil {
		w.Fatal(err)
	}
	for _, r := range records {
		e, err := events.Decode(r.Data)
		var p events.Payload
		if err == nil {
			p, err = social.Registry().Decode(e)
		}
		if err != nil {
			w.Fatal(err)
		}
		version := int64(0)
		if changed, ok := p.(social.UserProfileUpdated); ok {
			version = changed.Version
		}
		visit(e, version, r.Position)
	}
}
