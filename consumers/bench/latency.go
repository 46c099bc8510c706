package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/consumers/social/readmodel"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/deploy"
	"github.com/banyan-fig/banyan/infra/figures"
	"github.com/banyan-fig/banyan/infra/sandbox"
	"github.com/banyan-fig/banyan/publishers/kinesis"
)

// name is that of everything in the sandbox: stream, table, function.
const name = "bench"

const (
	shards    = 2
	users     = 1000
	sampled   = 20                   // every 20th event is read
	readPause = 5 * time.Millisecond // between two looks at the read model
	readAtAll = 30 * time.Second     // within which an event must be readable
)

// world is a sandbox with a stream, a table, and clients.
type world struct {
	*sandbox.Sandbox
	tables    *dynamodb.Client
	publisher *kinesis.Publisher
}

func startSandbox(ctx context.Context) (*world, error) {
	box, err := sandbox.Start(ctx, sandbox.Config{Environ: []string{}})
	if err != nil {
		return nil, err
	}
	w := &world{Sandbox: box}
	env := environ(box.Env())
	cfg := aws.Config{Region: env["AWS_REGION"], BaseEndpoint: aws.String(env["AWS_ENDPOINT_URL"]),
		Credentials: credentials.NewStaticCredentialsProvider(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], "")}
	w.tables = dynamodb.NewFromConfig(cfg)
	err = errors.Join(box.CreateStream(ctx, name, shards), box.CreateTable(ctx, name))
	if err == nil {
		w.publisher, err = kinesis.New(ctx, kinesis.Config{Client: awskinesis.NewFromConfig(cfg), Stream: name})
	}
	if err != nil {
		return nil, errors.Join(err, box.Close())
	}
	return w, nil
}

func (w *world) stop(ctx context.Context) error {
	return errors.Join(w.publisher.Close(ctx), w.Close())
}

// latency measures from Publish to readable.
func (b *bench) latency(ctx context.Context) (err error) {
	built, err := b.build(ctx)
	if err != nil {
		return err
	}
	w, err := startSandbox(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop(context.WithoutCancel(ctx))) }()
	i := slices.IndexFunc(built, func(a deploy.Artifact) bool { return a.Name == filepath.Base(readModel) && a.Architecture == native() })
	f := sandbox.Function{Name: name, File: filepath.Join(b.dir, built[i].File), Variables: map[string]string{"PROFILE_TABLE": name, "DEAD_LETTER_TABLE": name}}
	if err := errors.Join(w.CreateFunction(ctx, f), w.Map(ctx, name, name)); err != nil {
		return err
	}
	var p50, p99, rate []float64
	for n := range b.Rounds + 1 {
		took, perSecond, err := b.publish(ctx, w, int64(n))
		if err != nil {
			return err
		}
		if n == 0 { // which warms up
			continue
		}
		slices.Sort(took)
		p50, p99 = append(p50, took[len(took)/2]), append(p99, took[len(took)*99/100])
		rate = append(rate, perSecond)
	}
	b.report.Write(figures.Median(caseLatency, "events_per_second", rate))
	b.report.Write(figures.Median(caseLatency, "p50_ms", p50))
	b.report.Write(figures.Median(caseLatency, "p99_ms", p99).Within(figures.AtMost, 150))
	return nil
}

// publish publishes at the rate for the time of a round, and returns how many milliseconds
// every 20th event took until it was readable, and the rate that there was.
func (b *bench) publish(ctx context.Context, w *world, round int64) (took []float64, perSecond float64, err error) {
	var mu sync.Mutex
	var errs []error
	var reading sync.WaitGroup
	defer reading.Wait()
	begun, sent := time.Now(), 0
	for ; time.Since(begun) < b.Run || sent < sampled; sent++ {
		if pause := time.Until(begun.Add(time.Duration(sent) * time.Second / time.Duration(b.Rate))); pause > 0 {
			time.Sleep(pause)
		}
		user := fmt.Sprintf("%024x", sent%users)
		e, err := events.New(ctx, "/bench", social.UserProfileUpdated{UserID: user, Name: "Ada", Bio: "writes programs", Version: round<<32 + int64(sent)})
		if err != nil {
			return nil, 0, err
		}
		if sent%sampled != 0 {
			if _, err := w.publisher.Enqueue(ctx, e); err != nil {
				return nil, 0, err
			}
			continue
		}
		reading.Go(func() {
			ms, err := w.publishAndRead(ctx, e)
			mu.Lock()
			defer mu.Unlock()
			took, errs = append(took, ms), append(errs, err)
		})
	}
	perSecond = float64(sent) / time.Since(begun).Seconds()
	reading.Wait()
	return took, perSecond, errors.Join(errs...)
}

// publishAndRead returns the milliseconds until an event is readable.
func (w *world) publishAndRead(ctx context.Context, e events.Event) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, readAtAll)
	defer cancel()
	begun := time.Now()
	at, err := w.publisher.Publish(ctx, e)
	for err == nil {
		var applied events.Position
		if applied, err = readmodel.Applied(ctx, w.tables, name, e.PartitionKey); err == nil && !applied.Before(at) {
			break
		}
		time.Sleep(readPause)
	}
	return float64(time.Since(begun)) / float64(time.Millisecond), err
}
