package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/figures"
)

// bench measures on one DynamoDB.
type bench struct {
	flags
	endpoints
	report figures.Report
	suffix string // of the cases' names
	client *mongo.Client
	tables *dynamodb.Client
	seeded int // databases so far
}

func (f flags) measureOn(ctx context.Context, server string, report figures.Report) error {
	at, e, err := startSandbox(ctx)
	if err != nil {
		return err
	}
	defer at.stop()
	b := &bench{flags: f, endpoints: e, report: report}
	if server == local {
		peer, endpoint, err := startLocal(ctx)
		if errors.Is(err, errSkipped) {
			fmt.Fprintln(os.Stderr, err)
			return nil
		}
		if err != nil {
			return err
		}
		defer peer.stop()
		b.DynamoDB, b.suffix = endpoint, "-"+local
	}
	if b.client, err = mongo.Connect(options.Client().ApplyURI(e.Mongo)); err != nil {
		return err
	}
	defer func() { _ = b.client.Disconnect(context.WithoutCancel(ctx)) }() // the server ends
	b.tables = dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &b.DynamoDB,
		Credentials: credentials.NewStaticCredentialsProvider("any", "any", "")})
	for _, c := range []struct {
		name    string
		measure func(context.Context) error
	}{{caseCopy, b.copies}, {caseHot, b.hot}, {caseMany, b.many}, {caseMemory, b.memory}, {caseClaims, b.claims}, {caseSwitch, b.switches}} {
		if !f.wants(c.name) {
			continue
		}
		if err := c.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

func (b *bench) write(f figures.Figure) {
	f.Case += b.suffix
	b.report.Write(f)
}

// run has a process do a task.
func (b *bench) run(ctx context.Context, t task) (result, error) {
	t.Mongo = b.Mongo
	return do(ctx, t, b.DynamoDB)
}

func personID(i int) (id bson.ObjectID) {
	copy(id[:], fmt.Sprintf("%012d", i))
	return id
}

func person(i int) bson.D {
	return bson.D{{Key: "_id", Value: personID(i)}, {Key: "name", Value: fmt.Sprintf("User %d", i)},
		{Key: "email", Value: fmt.Sprintf("u%d@example.com", i)},
		{Key: "password", Value: "$2a$04$not.a.real.hash.but.as.long.as.one.is.in.practice.000"},
		{Key: "version", Value: int64(1)}, {Key: "createdAt", Value: time.UnixMilli(1600000000000 + int64(i)).UTC()}}
}

// seed makes a database with n people, and returns its name.
func (b *bench) seed(ctx context.Context, n int, unique bool) (string, error) {
	b.seeded++
	name := fmt.Sprintf("bench%d", b.seeded)
	people := b.client.Database(name).Collection(collection)
	if unique { // which a plan without a constraint would lose
		index := mongo.IndexModel{Keys: bson.D{{Key: "email", Value: 1}}, Options: options.Index().SetUnique(true)}
		if _, err := people.Indexes().CreateOne(ctx, index); err != nil {
			return name, err
		}
	}
	for from := 0; from < n; from += 1000 {
		var docs []any
		for i := from; i < min(n, from+1000); i++ {
			docs = append(docs, person(i))
		}
		if _, err := people.InsertMany(ctx, docs); err != nil {
			return name, err
		}
	}
	return name, nil
}

// remove removes what a round has made, so that the servers do not grow slow by it.
func (b *bench) remove(ctx context.Context, name string) error {
	errs := []error{b.client.Database(name).Drop(ctx)}
	for _, table := range []string{name, name + plainSuffix, name + "-unique"} {
		_, err := b.tables.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &table})
		if _, missing := errors.AsType[*types.ResourceNotFoundException](err); !missing {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// copyRound is what the programs of one round have used.
type copyRound struct{ plain, copied, unique, verified, together figures.Usage }

// copies measures the copy, and the verification, in rounds.
func (b *bench) copies(ctx context.Context) error {
	var rounds []copyRound
	for n := range b.Rounds + 1 {
		r, err := b.copyRound(ctx)
		if err != nil {
			return err
		}
		if n > 0 { // the first only warms the servers up
			rounds = append(rounds, r)
		}
	}
	median := func(name, metric string, of func(copyRound) float64) figures.Figure {
		var values []float64
		for _, r := range rounds {
			values = append(values, of(r))
		}
		return figures.Median(name, metric, values)
	}
	documents := float64(b.Documents)
	rate := func(u figures.Usage) float64 { return documents / u.Wall }
	cpu := func(u figures.Usage) float64 { return u.CPU / documents * 1e6 }
	b.write(median("batchwrite", "documents_per_second", func(r copyRound) float64 { return rate(r.plain) }))
	b.write(median("batchwrite", "cpu_us_per_document", func(r copyRound) float64 { return cpu(r.plain) }))
	for _, c := range []struct {
		name   string
		of     func(copyRound) figures.Usage
		target float64
	}{
		{"copy-nounique", func(r copyRound) figures.Usage { return r.copied }, 0.8},
		{"copy-unique", func(r copyRound) figures.Usage { return r.unique }, 0.5},
	} {
		b.write(median(c.name, "documents_per_second", func(r copyRound) float64 { return rate(c.of(r)) }))
		b.write(median(c.name, "cpu_us_per_document", func(r copyRound) float64 { return cpu(c.of(r)) }))
		b.write(median(c.name, "rate_ratio_to_batchwrite", func(r copyRound) float64 { return r.plain.Wall / c.of(r).Wall }).
			Within(figures.AtLeast, c.target))
		ratio := median(c.name, "cpu_ratio_to_batchwrite", func(r copyRound) float64 { return c.of(r).CPU / r.plain.CPU })
		if c.name == "copy-nounique" {
			ratio = ratio.Within(figures.AtMost, 2)
		}
		b.write(ratio)
	}
	b.write(median("verify", "documents_per_second", func(r copyRound) float64 { return rate(r.verified) }))
	b.write(median("verify", "rate_ratio_to_copy", func(r copyRound) float64 { return r.copied.Wall / r.verified.Wall }).Within(figures.AtLeast, 2))
	b.write(median("verify-two-processes", "rate_ratio_to_copy", func(r copyRound) float64 { return r.copied.Wall / r.together.Wall }).
		Within(figures.AtLeast, 2))
	return nil
}

func (b *bench) copyRound(ctx context.Context) (r copyRound, err error) {
	for _, unique := range []bool{false, true} {
		name, err := b.seed(ctx, b.Documents, unique)
		if err != nil {
			return r, err
		}
		steps := []struct {
			kind string
			into *figures.Usage
		}{{kindPlain, &r.plain}, {kindCopy, &r.copied}, {kindVerify, &r.verified}}
		if unique {
			steps = steps[1:2]
			steps[0].into = &r.unique
		}
		for _, s := range steps {
			got, err := b.run(ctx, task{Kind: s.kind, Database: name, Unique: unique})
			if err != nil {
				return r, err
			}
			*s.into = got.Used
		}
		if !unique {
			if r.together, err = b.verifyTogether(ctx, name); err != nil {
				return r, err
			}
		}
		if err := b.remove(ctx, name); err != nil {
			return r, err
		}
	}
	return r, nil
}

// verifyTogether has two processes verify at once, and returns what the slower one used.
func (b *bench) verifyTogether(ctx context.Context, name string) (figures.Usage, error) {
	var all [2]result
	var errs [2]error
	var both sync.WaitGroup
	for i := range all {
		both.Go(func() { all[i], errs[i] = b.run(ctx, task{Kind: kindVerify, Database: name}) })
	}
	both.Wait()
	slower := all[0].Used
	if all[1].Used.Wall > slower.Wall {
		slower = all[1].Used
	}
	return slower, errors.Join(errs[:]...)
}

// hotDelay is what each request to DynamoDB takes longer while changes are followed.
const hotDelay = 10 * time.Millisecond

// hot measures whether one document that changes all the time is kept up with.
func (b *bench) hot(ctx context.Context) error {
	var behind, perSecond []float64
	for range b.Rounds {
		name, err := b.seed(ctx, 100, false)
		if err != nil {
			return err
		}
		r, err := b.run(ctx, task{Kind: kindHot, Database: name, Delay: hotDelay, Hot: b.Hot})
		if err != nil {
			return err
		}
		behind, perSecond = append(behind, r.Behind), append(perSecond, r.PerSecond)
	}
	b.write(figures.Median(caseHot, "changes_per_second", perSecond))
	b.write(figures.Median(caseHot, "seconds_behind_at_the_end", behind).Within(figures.AtMost, 1))
	return nil
}

// changesPerLane is how many changes a lane has to apply: some seconds' work, at two requests
// each.
const changesPerLane = 100

// many measures how many changes of as many documents one follower keeps up with.
func (b *bench) many(ctx context.Context) error {
	for _, lanes := range b.Lanes {
		var perSecond, cpu []float64
		for range b.Rounds {
			name, err := b.seed(ctx, changesPerLane*lanes, false)
			if err != nil {
				return err
			}
			r, err := b.run(ctx, task{Kind: kindMany, Database: name, Delay: hotDelay, Lanes: lanes})
			if err != nil {
				return err
			}
			perSecond = append(perSecond, r.PerSecond)
			cpu = append(cpu, r.Used.CPU/float64(changesPerLane*lanes)*1e6)
			if err := b.remove(ctx, name); err != nil {
				return err
			}
		}
		name := fmt.Sprintf("%s-%d-lanes", caseMany, lanes)
		b.write(figures.Median(name, "changes_per_second", perSecond))
		b.write(figures.Median(name, "cpu_us_per_change", cpu))
	}
	return nil
}

// memory measures what a copy of ten times the documents needs at most.
func (b *bench) memory(ctx context.Context) error {
	name, err := b.seed(ctx, 10*b.Documents, false)
	if err != nil {
		return err
	}
	r, err := b.run(ctx, task{Kind: kindCopy, Database: name})
	if err != nil {
		return err
	}
	b.write(figures.Median(caseMemory, "peak_mib_above_start", []float64{r.Peak}).Within(figures.AtMost, 64))
	return nil
}

// claims measures what a range costs where there are many, against a tenth of them.
func (b *bench) claims(ctx context.Context) error {
	var perRange [2]float64
	for i, ranges := range []int{b.Ranges / 10, b.Ranges} {
		name, err := b.seed(ctx, ranges, false)
		if err != nil {
			return err
		}
		r, err := b.run(ctx, task{Kind: kindCopy, Database: name, Range: 1})
		if err != nil {
			return err
		}
		perRange[i] = r.Used.CPU / float64(ranges)
	}
	b.write(figures.Median(caseClaims, "cpu_us_per_range", []float64{perRange[1] * 1e6}))
	b.write(figures.Median(caseClaims, "cpu_ratio_to_a_tenth_of_ranges", []float64{perRange[1] / perRange[0]}).Within(figures.AtMost, 1.5))
	return nil
}
