package store

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// Limit is a token bucket for each user: Burst at once, and one more Every so often. It is
// kept as one time, that at which the bucket will be full again (the generic cell rate
// algorithm).
type Limit struct {
	Burst int
	Every time.Duration
}

const attrUsed = "used"

// next is the state after one more at now; false where the bucket is empty.
func (l Limit) next(used, now int64) (int64, bool) {
	every := l.Every.Milliseconds()
	full := max(used, now) + every
	return full, full-now <= every*int64(l.Burst)
}

// count takes one of the bucket, as of its state now.
func (s *Store) count(ctx context.Context, user string, limit Limit, now time.Time) (types.TransactWriteItem, error) {
	known, err := s.User(ctx, user)
	if err != nil {
		return types.TransactWriteItem{}, err
	}
	used, ok := limit.next(known.used, now.UnixMilli())
	if !ok {
		return types.TransactWriteItem{}, fmt.Errorf("%w: %d, and one more each %v", ErrLimited, limit.Burst, limit.Every)
	}
	item := dynamo.Key(userKey(user), skLimit)
	item[attrUsed] = dynamo.Int(used)
	if known.used == 0 {
		return s.put(item, absent), nil
	}
	return s.put(item, condition{"#used = :used", []string{attrUsed}, dynamo.Item{":used": dynamo.Int(known.used)}}), nil
}
