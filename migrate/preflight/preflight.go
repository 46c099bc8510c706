package preflight

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/target"
)

// DynamoDBAPI is what a preflight needs of *dynamodb.Client.
type DynamoDBAPI interface {
	ownership.DynamoDBAPI
	target.DynamoDBAPI
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
}

// Config says what to look at. All but ControlTable is required.
type Config struct {
	Plan         *plan.Plan
	DB           *mongo.Database // of the source collection
	DynamoDB     DynamoDBAPI
	ControlTable string // default ownership.DefaultTable
}

// ErrStops is returned by [Run] when the plan stops: a finding blocks it, or a document
// does not fit. All of them were reported.
var ErrStops = errors.New("the plan stops")

// questionTimeout bounds one question with its attempts.
const (
	questionTimeout = 15 * time.Second
	attempts        = 3
)

// world is what the questions share. Earlier ones fill in what later ones need.
type world struct {
	Config
	db      *mongo.Database // reads from the primary
	owners  *ownership.Table
	version version
	rights  rights
	source  collection
	record  ownership.Record
	// indexKeys are the attributes that are keys of indexes of the target table.
	indexKeys map[string]plan.IndexKey
}

// question is one thing to ask a store. It can be asked again.
type question struct {
	name   string
	store  string // that answers it
	needed bool   // without an answer there is no preflight
	ask    func(*world, context.Context) ([]Finding, error)
}

const inMongoDB, inDynamoDB = "MongoDB", "DynamoDB"

// questions are asked in this order.
var questions = []question{
	{"topology", inMongoDB, true, (*world).askTopology},
	{"version", inMongoDB, false, (*world).askVersion},
	{"feature-compatibility", inMongoDB, false, (*world).askFeatureCompatibility},
	{"sharding", inMongoDB, false, (*world).askSharding},
	{"control-table", inDynamoDB, false, (*world).askRecord},
	{"collection", inMongoDB, true, (*world).askCollection},
	{"views", inMongoDB, false, (*world).askViews},
	{"majority", inMongoDB, false, (*world).askMajority},
	{"collection-uuid", inMongoDB, false, (*world).askCollectionUUID},
	{"change-stream", inMongoDB, false, (*world).askChangeStream},
	{"oplog-window", inMongoDB, false, (*world).askOplog},
	{"rights", inMongoDB, false, (*world).askRights},
	{"indexes", inMongoDB, false, (*world).askIndexes},
	{"queries", inMongoDB, false, (*world).askQueries},
	{"operations", inMongoDB, false, (*world).askOperations},
	{"members", inDynamoDB, false, (*world).askMembers},
	{"claim", inMongoDB, false, (*world).askClaim},
}

// Look asks both stores about everything but the documents. It fails where a store cannot
// be reached or the collection does not exist.
func Look(ctx context.Context, cfg Config) ([]Finding, error) {
	_, all, err := look(ctx, cfg)
	return applyAcknowledged(all, cfg.Plan.Acknowledge), err
}

func look(ctx context.Context, cfg Config) (*world, []Finding, error) {
	cfg.ControlTable = cmp.Or(cfg.ControlTable, ownership.DefaultTable)
	w := &world{Config: cfg, owners: ownership.NewTable(cfg.DynamoDB, cfg.ControlTable)}
	w.db = w.primary(cfg.DB.Name())
	var all []Finding
	for _, q := range slices.Concat(questions, w.tableQuestions()) {
		found, err := w.answer(ctx, q)
		if err != nil {
			return w, all, err
		}
		all = append(all, found...)
	}
	for _, field := range cfg.Plan.Codec().DroppedFields() {
		all = append(all, told("drop:"+field, fmt.Sprintf("the plan leaves the field %q out of the table", field),
			"MongoDB keeps it for the documents that it has; what the owning service creates after the switch has none on the way back", ""))
	}
	return w, append(all, viewLimits), nil
}

// answer asks one question until it is answered or refused.
func (w *world) answer(ctx context.Context, q question) ([]Finding, error) {
	bounded, cancel := context.WithTimeout(ctx, questionTimeout)
	defer cancel()
	var found []Finding
	var err error
	for i := range attempts {
		found, err = q.ask(w, bounded)
		if err == nil {
			return found, nil
		}
		if !mongoerr.IsTransient(err) || retry.IsUnreachable(err) || retry.Wait(bounded, i) != nil {
			break
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("preflight: ask %s about %s: %w", q.store, q.name, ctx.Err())
	case q.needed || retry.IsUnreachable(err):
		settings := map[string]string{inMongoDB: "MONGODB_URI", inDynamoDB: "AWS_ENDPOINT_URL and AWS_REGION"}[q.store]
		return nil, retry.Reachable(q.store, settings, fmt.Errorf("preflight: ask %s about %s: %w", q.store, q.name, err))
	}
	return append(found, told("unanswered:"+q.name, fmt.Sprintf("%s did not answer the question about %s: %v", q.store, q.name, err),
		"nothing is known about it", "grant the right that the error names, or find it out by hand")), nil
}
