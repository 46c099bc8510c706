package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/figures"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/verify"
)

// collection is what is migrated, in each database once.
const collection = "people"

// planOf is the plan of a migration, whose tables have the database's name.
const planOf = `entity: %[1]s
source: {database: %[1]s, collection: ` + collection + `}
target: {table: %[1]s, key: {attribute: id, type: objectId}}
fields:
  - {from: name, type: string}
  - {from: email, type: string}
  - {from: password, type: string}
  - {from: version, type: int64}
  - {from: createdAt, type: date}
`

const planOfUnique = `unique:
  - {field: email, table: %[1]s-unique}
`

// task is what one process does.
type task struct {
	Kind     string // one of the kinds
	Mongo    string
	Database string
	Unique   bool
	Range    int           // documents in a range, 0 for the default
	Delay    time.Duration // before each request to DynamoDB
	Hot      time.Duration // of kindHot
	Lanes    int           // changes that are applied at once, 0 for the default
	Switches int           // of kindSwitch: changes of the owner each way
}

// plainSuffix distinguishes the table of the plain program.
const plainSuffix = "-plain"

// The kinds of tasks.
const (
	kindPlain  = "plain"  // copy by the plain program
	kindCopy   = "copy"   // encapsulate, then run until shadowing, of which the latter is measured
	kindVerify = "verify" // compare what was copied
	kindHot    = "hot"    // copy, then follow one document that changes all the time
	kindMany   = "many"   // copy, change each document, then follow the changes
	kindSwitch = "switch" // change the owner there and back while a service writes
)

// result is what a process says of its task.
type result struct {
	Used      figures.Usage
	Copied    float64 // of kindCopy: seconds until all was copied, before what else a run does
	Peak      float64 // MiB of memory above what the process had at its start
	Behind    float64 // of kindHot: seconds after the last change until it is in the target
	PerSecond float64 // of kindHot: changes a second from the first until then; of kindMany: from the start of run
	Switched  switched
}

// do has a process of its own do a task.
func do(ctx context.Context, t task, dynamoDB string) (r result, err error) {
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	text, err := json.Marshal(t)
	if err != nil {
		return r, err
	}
	cmd := exec.CommandContext(ctx, self, "--task="+string(text))
	cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+dynamoDB, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=any", "AWS_SECRET_ACCESS_KEY=any")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("%s of %s: %w", t.Kind, t.Database, err)
	}
	return r, json.Unmarshal(out, &r)
}

// runTask does a task in this process.
func runTask(ctx context.Context, text string, out io.Writer) error {
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return err
	}
	client, err := mongo.Connect(options.Client().ApplyURI(t.Mongo))
	if err != nil {
		return err
	}
	defer func() { _ = client.Disconnect(context.WithoutCancel(ctx)) }() // the process ends
	cfg, err := awssdk.Load(ctx)
	if err != nil {
		return err
	}
	w := &work{task: t, mongo: client, people: client.Database(t.Database).Collection(collection), near: dynamodb.NewFromConfig(cfg)}
	cfg.HTTPClient = delayed{cfg.HTTPClient, t.Delay}
	w.dynamoDB, w.streams = dynamodb.NewFromConfig(cfg), dynamodbstreams.NewFromConfig(cfg)
	r, err := w.run(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(r)
}

// delayed sends requests late, as a network does.
type delayed struct {
	aws.HTTPClient
	by time.Duration
}

// Do implements aws.HTTPClient.
func (d delayed) Do(r *http.Request) (*http.Response, error) {
	if d.by > 0 {
		select {
		case <-time.After(d.by):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return d.HTTPClient.Do(r)
}

type work struct {
	task
	mongo    *mongo.Client
	people   *mongo.Collection
	dynamoDB *dynamodb.Client
	streams  *dynamodbstreams.Client
	near     *dynamodb.Client // without delay
}

func (w *work) run(ctx context.Context) (r result, err error) {
	what, err := w.prepare(ctx, &r)
	if err != nil {
		return r, err
	}
	before, memory := figures.Now(), figures.ResidentMiB("VmRSS")
	if err := what(ctx); err != nil {
		return r, err
	}
	r.Used, r.Peak = figures.Since(before), figures.ResidentMiB("VmHWM")-memory
	if r.Copied > 0 {
		r.Used.Wall = r.Copied
	}
	return r, nil
}

// prepare does what goes before, and returns what is measured.
func (w *work) prepare(ctx context.Context, r *result) (func(context.Context) error, error) {
	switch w.Kind {
	case kindPlain:
		return w.plain, nil
	case kindSwitch:
		return func(ctx context.Context) error { return w.changeOwners(ctx, r) }, nil
	}
	e, err := w.engine()
	if err != nil {
		return nil, err
	}
	copyAll := func(ctx context.Context) error { return w.copy(ctx, e, r) }
	switch w.Kind {
	case kindVerify:
		return func(ctx context.Context) error { return w.verify(ctx, e) }, nil
	case kindHot, kindMany:
		follow := w.followHot
		if w.Kind == kindMany {
			follow = w.followMany
		}
		if err := errors.Join(w.encapsulate(ctx, e), copyAll(ctx)); err != nil {
			return nil, err
		}
		r.Copied = 0
		return func(ctx context.Context) error { return follow(ctx, e, r) }, nil
	}
	return copyAll, w.encapsulate(ctx, e)
}

// lease is longer than by default: a process that waits for a processor that others use must
// not take itself for dead, and begin again.
const lease = time.Minute

// plan is the plan of the database, with a unique constraint or without.
func (w *work) plan() (*plan.Plan, error) {
	if w.Kind == kindSwitch {
		return usersPlan()
	}
	text := planOf
	if w.Unique {
		text += planOfUnique
	}
	return plan.Parse(w.Database+".yaml", fmt.Appendf(nil, text, w.Database))
}

// plain copies by the plain program, into a table like the migration's.
func (w *work) plain(ctx context.Context) error {
	p, err := w.plan()
	if err != nil {
		return err
	}
	table := w.Database + plainSuffix
	in := p.TableInputs()[0]
	in.TableName, in.StreamSpecification = &table, nil
	if err := dynamo.EnsureTable(ctx, w.dynamoDB, in); err != nil {
		return err
	}
	return copyPlainly(ctx, w.people, w.dynamoDB, table)
}

func (w *work) engine() (*migrate.Engine, error) {
	p, err := w.plan()
	if err != nil {
		return nil, err
	}
	return migrate.New(migrate.Config{Plan: p, Mongo: w.mongo, Database: w.Database, DynamoDB: w.dynamoDB, Streams: w.streams, RangeSize: w.Range,
		Appliers: w.Lanes, Lease: lease,
		Dial: func(application, host string, dialer options.ContextDialer) (*mongo.Client, error) {
			o := options.Client().ApplyURI(w.Mongo).SetAppName(application)
			if host != "" {
				o.SetHosts([]string{host}).SetDirect(true)
			}
			if dialer != nil {
				o.SetDialer(dialer)
			}
			return mongo.Connect(o)
		}})
}

func (w *work) encapsulate(ctx context.Context, e *migrate.Engine) error {
	if err := e.Init(ctx); err != nil {
		return err
	}
	_, err := e.Encapsulate(ctx, migrate.EncapsulateOptions{Watch: time.Millisecond, NoMembers: true, AcceptUnseen: true, AcceptGap: true})
	return err
}

// copy runs until shadowing.
func (w *work) copy(ctx context.Context, e *migrate.Engine, r *result) error {
	begun := time.Now()
	if err := e.Run(ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
		return err
	}
	st, err := e.Status(ctx)
	r.Copied = st.Copied.At.Sub(begun).Seconds()
	return err
}

func (w *work) verify(ctx context.Context, e *migrate.Engine) error {
	found, err := e.Verify(ctx, verify.Options{})
	if err == nil && found.Mismatches > 0 {
		return fmt.Errorf("verify %s: %d mismatches", w.Database, found.Mismatches)
	}
	return err
}

// hotEvery is the time between two changes of the hot document.
const hotEvery = 5 * time.Millisecond

// followHot changes one document 200 times a second, and then waits for the last change.
func (w *work) followHot(ctx context.Context, e *migrate.Engine, r *result) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx, migrate.RunOptions{}) }()
	st, err := e.Status(ctx)
	if err != nil {
		return err
	}
	hot := w.mongo.Database(w.Database).Collection(st.Collection)
	begun, changes := time.Now(), int64(0)
	for tick := time.NewTicker(hotEvery); time.Since(begun) < w.Hot; changes++ {
		update := bson.D{{Key: "$set", Value: bson.D{{Key: "version", Value: changes}}}}
		if _, err := hot.UpdateByID(ctx, personID(0), update); err != nil {
			return err
		}
		<-tick.C
	}
	last := time.Now()
	for {
		out, err := w.near.GetItem(ctx, &dynamodb.GetItemInput{TableName: &w.Database, ConsistentRead: aws.Bool(true),
			Key: dynamo.Item{"id": dynamo.String(personID(0).Hex())}})
		if err != nil {
			return err
		}
		if version, err := dynamo.IntOf(out.Item, "version"); err != nil || version == changes-1 {
			r.Behind, r.PerSecond = time.Since(last).Seconds(), float64(changes)/time.Since(begun).Seconds()
			cancel()
			<-ended
			return err
		}
		select {
		case err := <-ended:
			return fmt.Errorf("the run ended: %w", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// followMany changes each document while nobody follows, and then follows until all is applied.
func (w *work) followMany(ctx context.Context, e *migrate.Engine, r *result) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	st, err := e.Status(ctx)
	if err != nil {
		return err
	}
	update := bson.D{{Key: "$set", Value: bson.D{{Key: "version", Value: int64(2)}}}}
	changed, err := w.mongo.Database(w.Database).Collection(st.Collection).UpdateMany(ctx, bson.D{}, update)
	if err != nil {
		return err
	}
	ended, begun := make(chan error, 1), time.Now()
	go func() { ended <- e.Run(ctx, migrate.RunOptions{}) }()
	shared, before := control.New(w.near, ownership.DefaultTable, w.Database), st.Changes.Events
	for {
		row, err := shared.Changes(ctx)
		if err != nil || row.Events-before >= changed.ModifiedCount { // barriers are counted too, but are few
			r.PerSecond = float64(row.Events-before) / time.Since(begun).Seconds()
			cancel()
			<-ended
			return err
		}
		select {
		case err := <-ended:
			return fmt.Errorf("the run ended: %w", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
