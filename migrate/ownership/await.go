package ownership

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// awaitInterval is how often AwaitAck looks at the members.
const awaitInterval = 5 * time.Millisecond

// sweepInterval is how often Sweep does.
const sweepInterval = 150 * time.Millisecond

// errEvicted says that a member's row is gone or not the one expected.
var errEvicted = errors.New("the member's row is no longer there")

// MemberState is one member's row.
type MemberState struct {
	// ID is unique among all registrations there ever were.
	ID string
	// Service is what the member calls itself.
	Service string
	// Acked is the highest revision acknowledged: nothing admitted under an older
	// one is in flight.
	Acked int64
	// Beat grows with each renewal.
	Beat int64
	// Lease is how long a renewal is good for.
	Lease time.Duration
	// Inflight is the number of operations running at the last renewal.
	Inflight int
	// Names says that the member uses the collection by the name in its grant. Members
	// of former versions do not: they know one name, and lose it to a move.
	Names bool
	// AppName is the application name of the member's connections to MongoDB, "" where it
	// did not say, or where others have it too.
	AppName string
	// Relay says that the member is no instance of the owning service, see MemberConfig.
	Relay bool
	// Shadow is what the member has found by shadow reads.
	Shadow ShadowReads
	// Problem is why the member cannot use the collection's next name, as announced by
	// the record of ProblemRevision; "" when there is none.
	Problem         string
	ProblemRevision int64
}

// HasOwner reports whether an instance of the owning service is among members.
func HasOwner(members []MemberState) bool {
	return slices.ContainsFunc(members, func(m MemberState) bool { return !m.Relay })
}

// ShadowReads counts what a member has compared in both stores, in the present epoch and
// since it has joined.
type ShadowReads struct {
	Compared  int64 `json:"compared"`
	InFlight  int64 `json:"inFlight"`  // differed for a time, as changes are applied with a lag
	Different int64 `json:"different"` // and stayed so
	Failed    int64 `json:"failed"`    // could not be compared
	// Last is the last difference: the key and what differs, and LastAt when, by the
	// member's clock.
	Last   string    `json:"last,omitempty"`
	LastAt time.Time `json:"lastAt,omitzero"`
}

// CannotFollow says, with what to do, that the member would lose a collection that gets
// another name; "" if it would not.
func (s MemberState) CannotFollow() string {
	if s.Names {
		return ""
	}
	return fmt.Sprintf("the instance %s (%s) does not follow the collection to another name: deploy a version that does", s.ID, s.Service)
}

// Members lists the rows of all members, dead ones included, read consistently.
func (t *Table) Members(ctx context.Context, entity string) ([]MemberState, error) {
	var all []MemberState
	err := t.retry(ctx, func(ctx context.Context) (err error) {
		all, err = t.membersOnce(ctx, entity)
		return err
	})
	return all, err
}

func (t *Table) membersOnce(ctx context.Context, entity string) ([]MemberState, error) {
	var all []MemberState
	in := &dynamodb.QueryInput{
		TableName:                &t.name,
		ConsistentRead:           aws.Bool(true),
		KeyConditionExpression:   aws.String("#pk = :pk AND begins_with(#sk, :member)"),
		ExpressionAttributeNames: map[string]string{"#pk": "pk", "#sk": "sk"},
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":pk": dynamo.String(partition(entity)), ":member": dynamo.String(memberPrefix),
		},
	}
	for {
		out, err := t.client.Query(ctx, in)
		if err != nil {
			return nil, t.wrapError(err, "list the members of "+entity)
		}
		for _, item := range out.Items {
			s, err := decodeMember(item)
			if err != nil {
				return nil, fmt.Errorf("list the members of %s in %q: %w", entity, t.name, err)
			}
			all = append(all, s)
		}
		if len(out.LastEvaluatedKey) == 0 {
			return all, nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// AwaitAck returns nil once every member has acknowledged revision, or has not
// renewed for its lease while AwaitAck watched; the row of such a member is
// removed. Call it after the record was changed, never before.
//
// A member that crashed costs one lease (2 s by default), unless another member,
// or Sweep, has removed its row before. When ctx ends first the error is
// ErrNotAcked and names the members waited for. When a member reports that it cannot
// use the name that this revision announces, the error is ErrProbeFailed, at once.
func (t *Table) AwaitAck(ctx context.Context, entity string, revision int64) error {
	seen := sightings{}
	var behind []MemberState
	for {
		states, err := t.Members(ctx, entity)
		if problem := problemAt(states, entity, revision); problem != nil {
			return problem
		}
		if err == nil {
			behind, err = t.unacknowledged(ctx, entity, revision, seen, states)
		}
		if err == nil && len(behind) == 0 {
			return nil
		}
		if err != nil && !retryable(err) {
			return err
		}
		if waitErr := backoff.Sleep(ctx, awaitInterval); waitErr != nil {
			return notAcked(entity, revision, behind, errors.Join(waitErr, err))
		}
	}
}

// Sweep removes the rows of members that crashed, which takes as long as their lease.
// Call it before a hold, so that the hold does not have to wait for those leases. It
// returns when each row was either renewed or removed.
func (t *Table) Sweep(ctx context.Context, entity string) error {
	seen := sightings{}
	first := map[string]int64{}
	for {
		states, err := t.Members(ctx, entity)
		if err != nil {
			return err
		}
		var still []MemberState
		for _, s := range states {
			if _, ok := first[s.ID]; !ok {
				first[s.ID] = s.Beat
			}
			if first[s.ID] == s.Beat {
				still = append(still, s)
			}
		}
		still, err = t.removeDead(ctx, entity, seen, still)
		if err != nil || len(still) == 0 {
			return err
		}
		if err := backoff.Sleep(ctx, sweepInterval); err != nil {
			return fmt.Errorf("remove the dead members of %s: %w", entity, err)
		}
	}
}

// problemAt returns why the members that report a problem with revision cannot
// acknowledge it.
func problemAt(states []MemberState, entity string, revision int64) error {
	var problems []string
	for _, s := range states {
		if s.Problem != "" && s.ProblemRevision == revision && s.Acked < revision {
			problems = append(problems, s.ID+": "+s.Problem)
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("wait for revision %d of %s: %w: %s", revision, entity, ErrProbeFailed, strings.Join(problems, "; "))
}

// unacknowledged returns the live members that have yet to acknowledge.
func (t *Table) unacknowledged(ctx context.Context, entity string, revision int64, seen sightings, states []MemberState) ([]MemberState, error) {
	var waited []MemberState
	for _, s := range states {
		if s.Acked < revision {
			waited = append(waited, s)
		}
	}
	return t.removeDead(ctx, entity, seen, waited)
}

// removeDead removes the members that have not renewed for their lease and returns the
// others. The states must have been read before the call.
func (t *Table) removeDead(ctx context.Context, entity string, seen sightings, states []MemberState) ([]MemberState, error) {
	var live []MemberState
	now := time.Now()
	for _, s := range states {
		if !seen.expired(s, now) {
			live = append(live, s)
			continue
		}
		err := t.retry(ctx, func(ctx context.Context) error { return t.evictOnce(ctx, entity, s) })
		if errors.Is(err, errEvicted) {
			live = append(live, s) // renewed after all, or already removed: read again
			continue
		}
		if err != nil {
			return live, err
		}
	}
	return live, nil
}

func (t *Table) evictOnce(ctx context.Context, entity string, s MemberState) error {
	_, err := t.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName:                 &t.name,
		Key:                       key(entity, memberPrefix+s.ID),
		ConditionExpression:       aws.String("#beat = :beat"),
		ExpressionAttributeNames:  map[string]string{"#beat": "beat"},
		ExpressionAttributeValues: map[string]types.AttributeValue{":beat": dynamo.Int(s.Beat)},
	})
	if dynamo.IsConditionFailed(err) {
		return errEvicted
	}
	return t.wrapError(err, "remove the dead member "+s.ID+" of "+entity)
}

// sightings remembers since when each member's row has not changed.
type sightings map[string]sighting

type sighting struct {
	beat  int64
	since time.Time
}

// expired reports whether the row has not changed for its lease and the twentieth by
// which two clocks may differ in rate. now must be after the row was read.
func (g sightings) expired(s MemberState, now time.Time) bool {
	first, ok := g[s.ID]
	if !ok || first.beat != s.Beat {
		g[s.ID] = sighting{beat: s.Beat, since: now}
		return false
	}
	return now.Sub(first.since) > s.Lease+s.Lease/20
}

func notAcked(entity string, revision int64, behind []MemberState, cause error) error {
	names := make([]string, len(behind))
	for i, s := range behind {
		names[i] = fmt.Sprintf("%s (acknowledged %d, %d in flight)", s.ID, s.Acked, s.Inflight)
	}
	return fmt.Errorf("wait for revision %d of %s: %w: %s: %w",
		revision, entity, ErrNotAcked, strings.Join(names, ", "), cause)
}
