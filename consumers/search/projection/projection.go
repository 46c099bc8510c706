// Package projection keeps an index of package search equal to the items of a table: it builds
// one by a scan, and follows the table's stream.
//
// Nothing has to be kept between the two but their order: a change goes to the index
// that is searched and to the one being built, the scan is strongly consistent and begins
// after that, and of two versions of a document an index keeps the newer. So changes and scan may
// come twice and in any order, and whoever stops in the middle begins anew.
//
// [Projection.Run] does both for an index of this process. Where functions or several
// processes share an index, [Projection.Handle] follows as a function on the table's stream, and
// [Projection.Rebuild] is run by hand: first, and whenever Fields change.
//
// The table needs a stream with NEW_AND_OLD_IMAGES. A rebuild reads the whole table, also
// items that are no documents: one read unit for each 4 KB.
package projection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/consumers/search"
	"github.com/banyan-fig/banyan/infra/awserr"
	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/dynamostream"
)

// Tables is the part of the DynamoDB client that a Projection uses.
type Tables interface {
	DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
}

// Config says what is indexed where. Table, Fields and Index are required, Tables for
// Run and Rebuild, and Streams for Run.
type Config struct {
	Tables  Tables
	Streams dynamostream.API
	Table   string
	Fields  search.Fields
	Index   search.Index
	Logger  *slog.Logger // nil: slog.Default()
	// ListInterval is how often Run looks for new shards, and whether the table still has this
	// stream. A new shard is read from its start, so that nothing is missed meanwhile. 0: 10 s.
	ListInterval time.Duration
}

// Projection writes the index. Safe for concurrent use.
type Projection struct{ cfg Config }

// New makes a projection.
func New(cfg Config) (*Projection, error) {
	if cfg.Table == "" || cfg.Index == nil {
		return nil, errors.New("projection: config: Table and Index are required")
	}
	if err := cfg.Fields.Validate(); err != nil {
		return nil, err
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	cfg.ListInterval = cmp.Or(cfg.ListInterval, 10*time.Second)
	return &Projection{cfg}, nil
}

// pauses are those after a failure.
var pauses = backoff.Backoff{Min: 100 * time.Millisecond, Max: 30 * time.Second}

// errNoStream says that the table has no stream to follow, now or any more.
var errNoStream = errors.New("it has no stream with NEW_AND_OLD_IMAGES: enable it, so that the search index learns of changes")

// StreamARN returns the stream of the table, if the table has one that can be followed.
func (p *Projection) StreamARN(ctx context.Context) (string, error) {
	out, err := p.cfg.Tables.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &p.cfg.Table})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return "", fmt.Errorf("there is no table %q: create it, or name another: %w", p.cfg.Table, err)
	}
	if err != nil {
		return "", fmt.Errorf("describe the table %s: %w", p.cfg.Table, err)
	}
	s := out.Table.StreamSpecification
	if s == nil || !aws.ToBool(s.StreamEnabled) || s.StreamViewType != types.StreamViewTypeNewAndOldImages {
		return "", fmt.Errorf("the table %s: %w", p.cfg.Table, errNoStream)
	}
	return aws.ToString(out.Table.LatestStreamArn), nil
}

// Rebuild builds an index from the table and puts it in use. Until then the one before is
// searched, and afterwards it is removed. It returns how many documents there were. Items that
// do not fit the fields are logged and left out; if none fits, the index before stays.
func (p *Projection) Rebuild(ctx context.Context) (documents int, err error) {
	began := time.Now()
	b, err := p.cfg.Index.Build(ctx)
	if err != nil {
		return 0, fmt.Errorf("begin to build the search index: %w", err)
	}
	defer func() {
		if err != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			err = errors.Join(err, b.Drop(ctx))
		}
	}()
	left := 0
	err = p.scan(ctx, func(items []change) error {
		found, unfit := p.documentsOf(ctx, items)
		left += unfit
		documents += len(found)
		return b.Write(ctx, found)
	})
	if err == nil && documents == 0 && left > 0 {
		err = fmt.Errorf("none of %d items of %s fits the search fields: see the log for the reasons", left, p.cfg.Table)
	}
	if err == nil {
		err = b.Use(ctx)
	}
	if err != nil {
		return documents, fmt.Errorf("build the search index of %s: %w", p.cfg.Table, err)
	}
	p.cfg.Logger.InfoContext(ctx, "the search index was built", "table", p.cfg.Table, "documents", documents, "left_out", left, "took", time.Since(began).String())
	return documents, nil
}

// scan calls with each page, of at most 1 MB.
func (p *Projection) scan(ctx context.Context, page func([]change) error) error {
	in := &dynamodb.ScanInput{TableName: &p.cfg.Table, ConsistentRead: aws.Bool(true)}
	if p.cfg.Fields.Sort != "" {
		in.FilterExpression = aws.String("#sk = :sk")
		in.ExpressionAttributeNames = map[string]string{"#sk": dynamo.AttrSK}
		in.ExpressionAttributeValues = dynamo.Item{":sk": dynamo.String(p.cfg.Fields.Sort)}
	}
	for failures := 0; ; {
		out, err := p.cfg.Tables.Scan(ctx, in)
		if err != nil {
			if ctx.Err() != nil || awserr.IsPermanent(err) {
				return fmt.Errorf("scan %s: %w", p.cfg.Table, err)
			}
			p.cfg.Logger.WarnContext(ctx, "scanning for the search index goes on after a pause", "table", p.cfg.Table, "error", err.Error())
			if err := pauses.Wait(ctx, failures); err != nil {
				return err
			}
			failures++
			continue
		}
		failures = 0
		items := make([]change, len(out.Items))
		for i, item := range out.Items {
			items[i].item = item
		}
		if err := page(items); err != nil {
			return err
		}
		if in.ExclusiveStartKey = out.LastEvaluatedKey; len(out.LastEvaluatedKey) == 0 {
			return nil
		}
	}
}

// change is an item as it is, or as it was when it was removed.
type change struct {
	item    dynamo.Item
	removed bool
}

// documentsOf returns the documents of changes, each once, in its newest version, and how many
// items do not fit.
func (p *Projection) documentsOf(ctx context.Context, changes []change) (documents []search.Document, unfit int) {
	at := map[string]int{}
	for _, c := range changes {
		documentOf := p.cfg.Fields.Document
		if c.removed {
			documentOf = p.cfg.Fields.Removed
		}
		d, is, err := documentOf(c.item)
		switch n, seen := at[d.Key]; {
		case err != nil:
			unfit++
			p.cfg.Logger.ErrorContext(ctx, "an item is left out of the search index", "table", p.cfg.Table, "error", err.Error())
		case !is:
		case !seen:
			at[d.Key] = len(documents)
			documents = append(documents, d)
		case d.Version > documents[n].Version:
			documents[n] = d
		}
	}
	return documents, unfit
}

// apply writes changes to the index. Items that do not fit the fields are logged and left out.
func (p *Projection) apply(ctx context.Context, changes []change) error {
	documents, _ := p.documentsOf(ctx, changes)
	if len(documents) == 0 {
		return nil
	}
	if err := p.cfg.Index.Write(ctx, documents); err != nil {
		return fmt.Errorf("write changes of %s to the search index: %w", p.cfg.Table, err)
	}
	return nil
}
