package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
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

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/social/socialtest"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/sandbox"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/publishers/streamtest"
	"github.com/banyan-fig/banyan/services/social/users"
	"github.com/banyan-fig/banyan/services/social/users/dynamodb"
	"github.com/banyan-fig/banyan/services/social/users/userstest"
)

// slowStream keeps events on their way for a while, so that a process is often
// killed after a write and before its event.
const slowStream = "delay 60ms\nkinesis.PutRecords timeout-before=0.6"

// TestNoEventIsLostWithTheProcess: banyan-users is killed again and again under
// writes, with DynamoDB for the owner. In the end the stream has every
// version that was committed, answered or not, and the read model is the table.
func TestNoEventIsLostWithTheProcess(t *testing.T) {
	w := newKillWorld(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	w.faults(slowStream)
	process := w.start()
	awaitWrites, stop := w.write(6)
	swept := int64(0)
	for range 3 {
		awaitWrites(int64(3 + r.IntN(9)))
		swept += w.swept()
		_ = process.Process.Kill()
		_ = process.Wait()
		process = w.start()
	}
	awaitWrites(6) // by the last process, too
	acknowledged := stop()
	w.faults("")
	w.outboxEmpties()
	swept += w.swept()
	_ = process.Process.Signal(os.Interrupt)
	if err := process.Wait(); err != nil {
		t.Errorf("banyan-users ended with %v", err)
	}
	fold, published := w.stream()
	if len(acknowledged) != 6 || swept == 0 {
		t.Errorf("%d users were acknowledged, %d events swept: this tested nothing", len(acknowledged), swept)
	}
	state := fold.Profiles()
	for id, version := range acknowledged {
		u := w.stored(id)
		if u.Version < version {
			t.Errorf("user %s: version %d was acknowledged, the table has %d", id, version, u.Version)
		}
		if got := state[id]; got.Name != u.Name || got.Bio != u.Bio || !got.Joined.Equal(u.CreatedAt) {
			t.Errorf("user %s: the read model says %+v, the table %+v", id, got, u)
		}
		for v := int64(0); v <= u.Version; v++ {
			if !published[id][v] {
				t.Errorf("user %s: of %d versions, number %d was never published (0 is joined)", id, u.Version, v)
			}
		}
	}
}

type killWorld struct {
	*testing.T
	sandbox    *sandbox.Sandbox
	env        []string
	url, admin string
	dynamo     *awsdynamodb.Client
	kinesis    *awskinesis.Client
	store      *dynamodb.Store
}

func newKillWorld(t *testing.T) *killWorld {
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
	api, admin := freeAddress(t), freeAddress(t)
	w := &killWorld{T: t, sandbox: sandbox, url: "http://" + api, admin: "http://" + admin}
	w.env = append(os.Environ(), append(sandbox.Env(), "USERS_LISTEN="+api, "USERS_ADMIN_LISTEN="+admin,
		"USERS_BCRYPT_COST=4", "USERS_SWEEP_EVERY=100ms", "USERS_SWEEP_AGE=700ms")...)
	base := aws.Config{
		Region: "us-east-1", HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	}
	for _, kv := range sandbox.Env() {
		if name, value, _ := strings.Cut(kv, "="); name == "AWS_ENDPOINT_URL" {
			base.BaseEndpoint = &value
		}
	}
	w.dynamo, w.kinesis = awsdynamodb.NewFromConfig(base), awskinesis.NewFromConfig(base)
	w.store = dynamodb.New(w.dynamo, "", "")
	w.provision()
	return w
}

// provision makes DynamoDB the owner from the beginning.
func (w *killWorld) provision() {
	if err := w.sandbox.CreateStream(w.Context(), "banyan-events", 1); err != nil {
		w.Fatal(err)
	}
	userstest.Tables(w.T, w.dynamo)
	control := ownership.NewTable(w.dynamo, "")
	err := control.Ensure(w.Context())
	if err == nil {
		var r ownership.Record
		if r, err = control.Load(w.Context(), entity); err == nil {
			_, err = control.Update(w.Context(), r, func(r *ownership.Record) {
				r.Owner, r.Epoch, r.Phase = ownership.DynamoDB, 2, ownership.Switched
			})
		}
	}
	if err != nil {
		w.Fatal(err)
	}
}

func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
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
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
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
				version := w.request(method, id, body)
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
		for deadline := time.Now().Add(time.Minute); count.Load() < until; time.Sleep(time.Millisecond) {
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

// request returns the version of the answer, 0 if there was none.
func (w *killWorld) request(method, id, body string) int64 {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, w.url+"/v1/users/"+id, strings.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	version, err := strconv.ParseInt(strings.Trim(res.Header.Get("ETag"), `"`), 10, 64)
	if err != nil || res.StatusCode >= 300 {
		return 0
	}
	return version
}

func (w *killWorld) outboxEmpties() {
	w.Helper()
	left := -1
	for deadline := time.Now().Add(time.Minute); left != 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("%d items are left in the outbox", left)
		}
		out, err := w.dynamo.Scan(w.Context(), &awsdynamodb.ScanInput{TableName: aws.String(dynamodb.DefaultOutboxTable), ConsistentRead: aws.Bool(true)})
		if err != nil {
			w.Fatal(err)
		}
		left = len(out.Items)
	}
}

// swept is how many events the present process found in the outbox.
func (w *killWorld) swept() (n int64) {
	w.Helper()
	res, err := http.Get(w.admin + "/metrics.json")
	if err != nil {
		w.Fatal(err)
	}
	defer res.Body.Close()
	var m metrics
	if err := json.NewDecoder(res.Body).Decode(&m); err != nil {
		w.Fatal(err)
	}
	return m.EventsSwept
}

func (w *killWorld) stored(id string) users.User {
	w.Helper()
	u, err := w.store.Get(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	return u
}

// stream reads all events: what they amount to, and which versions of each user
// they tell of.
func (w *killWorld) stream() (*socialtest.Fold, map[string]map[int64]bool) {
	w.Helper()
	fold, told := socialtest.NewFold(), map[string]map[int64]bool{}
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
		if err == nil {
			err = fold.Apply(consumers.Message{Event: e, Position: r.Position})
		}
		if err != nil {
			w.Fatal(err)
		}
		if told[e.PartitionKey] == nil {
			told[e.PartitionKey] = map[int64]bool{}
		}
		version := int64(0)
		if changed, ok := p.(social.UserProfileUpdated); ok {
			version = changed.Version
		}
		told[e.PartitionKey][version] = true
	}
	return fold, told
}
