package source

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// oplog is that of the primary. Reading it needs the right to find in local.
func oplog(db *mongo.Database) *mongo.Collection {
	return Primary(db.Client(), "local").Collection("oplog.rs")
}

// OplogStart is the time of the first entry of the oplog, by the second: a change stream
// cannot be read from before it.
func OplogStart(ctx context.Context, db *mongo.Database) (time.Time, error) {
	first, err := oplog(db).FindOne(ctx, bson.D{}, options.FindOne().SetSort(bson.D{{Key: "$natural", Value: 1}}).
		SetProjection(bson.D{{Key: "ts", Value: 1}})).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return time.Time{}, errors.New("local.oplog.rs shows no entry")
	}
	if err != nil {
		return time.Time{}, err
	}
	from, _, ok := first.Lookup("ts").TimestampOK()
	if !ok {
		return time.Time{}, errors.New("the entries of local.oplog.rs have no ts")
	}
	return time.Unix(int64(from), 0), nil
}

// OplogFill is the part of the oplog's size that is used, 0 where that is not known.
func OplogFill(ctx context.Context, db *mongo.Database) float64 {
	cur, err := oplog(db).Aggregate(ctx, mongo.Pipeline{{{Key: "$collStats", Value: bson.D{{Key: "storageStats", Value: bson.D{}}}}}})
	if err != nil {
		return 0
	}
	var stats []struct {
		Storage struct {
			Size    float64
			MaxSize float64 `bson:"maxSize"`
		} `bson:"storageStats"`
	}
	if cur.All(ctx, &stats) != nil || len(stats) != 1 || stats[0].Storage.MaxSize <= 0 {
		return 0
	}
	return stats[0].Storage.Size / stats[0].Storage.MaxSize
}
