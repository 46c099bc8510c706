package control

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/side"
)

// Misfit is a document that does not fit the plan. It was set aside, so that the copy and
// the changes go on; while one stands, a cut-over is refused.
type Misfit struct {
	Row
	ID     []byte            `dynamodbav:"id" json:"-"`                            // its BSON type, then its value
	Shown  string            `dynamodbav:"shown" json:"id"`                        // ID for people
	Field  string            `dynamodbav:"field,omitempty" json:"field,omitempty"` // that does not fit
	Why    string            `dynamodbav:"why" json:"why"`
	WayOut string            `dynamodbav:"wayOut" json:"wayOut"`
	At     stamp.ClusterTime `dynamodbav:"at" json:"-"` // of the version that does not fit
	SeenAt time.Time         `dynamodbav:"seenAt" json:"seenAt"`
}

// DefaultMaxMisfits is how many documents are set aside at most: with more, the plan is
// wrong, and not they.
const DefaultMaxMisfits = 10_000

// ErrTooManyMisfits says that as many documents are set aside as may be.
var ErrTooManyMisfits error = retry.Permanent("too many documents do not fit the plan; `banyan-migrate plan` names each with a way out: " +
	"correct the plan or the documents, then run again")

const misfitPrefix = "misfit#"

// misfitKey keeps within the 1,024 bytes of a sort key.
func misfitKey(id []byte) string {
	if len(id) > 600 {
		sum := sha256.Sum256(id)
		return misfitPrefix + "sha256." + hex.EncodeToString(sum[:])
	}
	return misfitPrefix + base64.RawURLEncoding.EncodeToString(id)
}

// Misfits lists the documents that are set aside, in an order of their own.
func (s *Store) Misfits(ctx context.Context) ([]Misfit, error) {
	all, err := list[Misfit](ctx, s, misfitPrefix)
	if err == nil {
		s.misfits.Store(int64(len(all)))
	}
	return all, err
}

// DocumentID is the identifier of the document.
func (m *Misfit) DocumentID() bson.RawValue {
	return bson.RawValue{Type: bson.Type(m.ID[0]), Value: m.ID[1:]}
}

func packID(id bson.RawValue) []byte { return append([]byte{byte(id.Type)}, id.Value...) }

// SetAside keeps that the version as of at of a document does not fit, unless a newer one
// of it was set aside already. It fails with ErrTooManyMisfits when MaxMisfits others
// stand; where several processes set aside at once, each may have added a hundred more.
func (s *Store) SetAside(ctx context.Context, of *side.Misfit, at stamp.ClusterTime) error {
	m := Misfit{ID: packID(of.ID), Shown: of.Shown, Field: of.Field, Why: of.Why, WayOut: of.WayOut, At: at, SeenAt: time.Now().UTC()}
	for {
		old := &Misfit{}
		found, err := s.load(ctx, misfitKey(m.ID), old)
		if err != nil || found && old.At >= m.At {
			return err
		}
		if !found {
			if err := s.admitMisfit(ctx, m.Shown); err != nil {
				return err
			}
		}
		m.Row = old.Row
		err = s.Save(ctx, &m)
		if err == nil && !found {
			s.misfits.Add(1)
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
	}
}

// admitMisfit counts what stands where that is not known or seems to be too much, and now
// and then: other processes add and remove, too.
func (s *Store) admitMisfit(ctx context.Context, shown string) error {
	limit := int64(cmp.Or(s.MaxMisfits, DefaultMaxMisfits))
	if n := s.misfits.Load(); n >= 0 && n < limit && n%100 != 0 {
		return nil
	}
	if _, err := s.Misfits(ctx); err != nil {
		return err
	}
	if n := s.misfits.Load(); n >= limit {
		return fmt.Errorf("set the document %s aside, beside %d others: %w", shown, n, ErrTooManyMisfits)
	}
	return nil
}

// RemoveMisfit removes a document from those that are set aside, once a version of it as of
// at fits, or it was deleted. A newer version that was set aside stays.
func (s *Store) RemoveMisfit(ctx context.Context, id bson.RawValue, at stamp.ClusterTime) error {
	sk := misfitKey(packID(id))
	err := retry.Do(ctx, "remove "+sk+" of "+s.pk, func(ctx context.Context) error {
		_, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &s.table, Key: dynamo.Key(s.pk, sk),
			ConditionExpression:      aws.String("attribute_not_exists(pk) OR #at <= :at"),
			ExpressionAttributeNames: map[string]string{"#at": "at"}, ExpressionAttributeValues: dynamo.Item{":at": at.Value()}})
		return err
	})
	if dynamo.IsConditionFailed(err) {
		return nil
	}
	return err
}
