package fence

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/source"
)

// never is the expireAfterSeconds of a TTL index that deletes nothing: the largest that
// MongoDB accepts.
const never = math.MaxInt32

// expiring lists the TTL indexes of the collection called name, with their seconds.
func (f *Fence) expiring(ctx context.Context, name string) (map[string]int64, error) {
	ttl := map[string]int64{}
	err := retry.Do(ctx, "list the indexes of "+name, func(ctx context.Context) error {
		clear(ttl)
		cursor, err := f.DB.Collection(name).Indexes().List(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = cursor.Close(ctx) }()
		for cursor.Next(ctx) {
			if seconds, ok := cursor.Current.Lookup("expireAfterSeconds").AsInt64OK(); ok {
				index, _ := cursor.Current.Lookup("name").StringValueOK()
				ttl[index] = seconds
			}
		}
		return cursor.Err()
	})
	return ttl, err
}

// SuspendExpiry keeps MongoDB from deleting documents by TTL indexes of the collection
// called name: behind a fence nobody applies that. What the indexes said is stored in the
// claim before, for the undoing. It returns how many collMods it sent, each an event that
// ends verifications.
func (f *Fence) SuspendExpiry(ctx context.Context, name string) (collMods int, err error) {
	ttl, err := f.expiring(ctx, name)
	if err != nil {
		return 0, err
	}
	stored, err := f.storedExpiry(ctx)
	if err != nil {
		return 0, err
	}
	suspend := map[string]int64{}
	for index, seconds := range ttl {
		if seconds < never {
			suspend[index] = seconds
		}
	}
	if len(suspend) == 0 {
		return 0, nil
	}
	maps.Copy(stored, suspend) // what an undoing could not restore stays stored
	err = retry.Do(ctx, "store the TTL indexes of "+name, func(ctx context.Context) error {
		_, err := f.DB.Collection(source.Claims).UpdateByID(ctx, string(f.Names), bson.D{{Key: "$set", Value: bson.D{{Key: "expiry", Value: stored}}}})
		return err
	})
	if err != nil {
		return 0, err
	}
	for index := range suspend {
		if err := f.expire(ctx, name, index, never); err != nil {
			return 0, err
		}
	}
	return len(suspend), nil
}

// storedExpiry is what TTL indexes said before they were suspended.
func (f *Fence) storedExpiry(ctx context.Context) (map[string]int64, error) {
	var claim struct{ Expiry map[string]int64 }
	err := retry.Do(ctx, "read the claim of "+string(f.Names), func(ctx context.Context) error {
		err := f.DB.Collection(source.Claims).FindOne(ctx, bson.D{{Key: "_id", Value: string(f.Names)}}).Decode(&claim)
		if errors.Is(err, mongo.ErrNoDocuments) {
			return nil
		}
		return err
	})
	if claim.Expiry == nil {
		claim.Expiry = map[string]int64{}
	}
	return claim.Expiry, err
}

// RestoreExpiry lets MongoDB delete documents again, as before SuspendExpiry. What the
// server refuses is logged, since writes wait for it.
func (f *Fence) RestoreExpiry(ctx context.Context, name string) error {
	stored, err := f.storedExpiry(ctx)
	if err != nil || len(stored) == 0 {
		return err
	}
	now, err := f.expiring(ctx, name)
	if err != nil {
		return err
	}
	for index, seconds := range stored {
		if had, there := now[index]; !there || had != never {
			continue // dropped or changed by somebody since
		}
		err := f.expire(ctx, name, index, seconds)
		if err != nil && !retry.IsPermanent(err) {
			return err
		}
		if err != nil {
			f.Log.Error("a TTL index deletes nothing until somebody sets it right", "error", err)
		}
	}
	return nil
}

// expire sends one collMod. A late one finds a view under a name that was left, which the
// server refuses.
func (f *Fence) expire(ctx context.Context, name, index string, seconds int64) error {
	if _, err := f.DDL.open(ctx); err != nil {
		return err
	}
	err := f.DDL.run(ctx, f.DB.Name(), bson.D{{Key: "collMod", Value: name},
		{Key: "index", Value: bson.D{{Key: "name", Value: index}, {Key: "expireAfterSeconds", Value: seconds}}}})
	if err != nil {
		return fmt.Errorf("let the index %s of %s expire documents after %d s: %w", index, name, seconds, err)
	}
	return nil
}
