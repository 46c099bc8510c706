package ownership

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// Bounds of what is kept.
const (
	// MaxHistory is how many changes of an entity are kept besides the last; then the oldest go.
	MaxHistory       = 200
	maxEvidence      = 20  // lines of one change
	maxEvidenceBytes = 300 // of a line
)

// keepTimeout bounds what is written down behind a change.
const keepTimeout = 300 * time.Millisecond

const historyPrefix = "history#"

// Change is one change of an entity's owner or phase.
//
// The last one stands in the record itself, so none is ever without its line. It is written
// down under a key of its own before the next one takes its place.
type Change struct {
	// Revision is that of the record that it made.
	Revision int64     `json:"revision"`
	At       time.Time `json:"at"`
	// By is who made it, and from where: user, machine, process.
	By        string `json:"by"`
	FromOwner Store  `json:"fromOwner"`
	Owner     Store  `json:"owner"`
	FromPhase Phase  `json:"fromPhase"`
	Phase     Phase  `json:"phase"`
	Epoch     int64  `json:"epoch"` // from then on
	// Evidence is what it relied on, a line each. A function given to Table.Update sets it:
	// it sets Record.Changed to a Change with nothing else.
	Evidence []string `json:"evidence,omitempty"`
}

// Operator says who runs this process, and where.
func Operator() string {
	name := "somebody"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown host"
	}
	return fmt.Sprintf("%s on %s, process %d", name, host, os.Getpid())
}

// noteChange completes next.Changed where the owner or the phase is another than in r.
func noteChange(r Record, next *Record) {
	if next.Owner == r.Owner && next.Phase == r.Phase {
		next.Changed = r.Changed
		return
	}
	c := &Change{Revision: next.Revision, At: time.Now().UTC().Round(0), By: Operator(), FromOwner: r.Owner, Owner: next.Owner,
		FromPhase: r.Phase, Phase: next.Phase, Epoch: next.Epoch}
	if next.Changed != nil && next.Changed != r.Changed {
		for _, line := range next.Changed.Evidence[:min(maxEvidence, len(next.Changed.Evidence))] {
			c.Evidence = append(c.Evidence, strings.ToValidUTF8(line[:min(maxEvidenceBytes, len(line))], ""))
		}
	}
	next.Changed = c
}

// keepSoon writes the change that made a record down, where that takes no time; else the
// next change does it.
func (t *Table) keepSoon(ctx context.Context, r Record) {
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	if t.keepChange(ctx, r) == nil {
		_ = t.trimHistory(ctx, r.Entity)
	}
}

// keepChange writes the change that made a record down under its own key. It is never
// altered, so a write that comes late, or again, does no harm.
func (t *Table) keepChange(ctx context.Context, r Record) error {
	if r.Changed == nil {
		return nil
	}
	if kept, ok := t.kept.Load(r.Entity); ok && kept == r.Changed.Revision {
		return nil
	}
	item := key(r.Entity, fmt.Sprintf("%s%020d", historyPrefix, r.Changed.Revision))
	putChange(item, r.Changed)
	err := t.retry(ctx, func(ctx context.Context) error {
		_, err := t.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &t.name, Item: item})
		return t.wrapError(err, "keep the last change of "+r.Entity)
	})
	if err == nil {
		t.kept.Store(r.Entity, r.Changed.Revision)
	}
	return err
}

// History returns the last changes of owner and phase of an entity, the oldest first.
func (t *Table) History(ctx context.Context, entity string) ([]Change, error) {
	rec, err := t.Load(ctx, entity)
	if err != nil {
		return nil, err
	}
	items, err := t.historyItems(ctx, entity)
	if err != nil {
		return nil, err
	}
	var all []Change
	for _, item := range items {
		d := decoder{item: item}
		c := d.change()
		if d.err != nil {
			return nil, fmt.Errorf("list the history of %s in %q: %w", entity, t.name, d.err)
		}
		all = append(all, *c)
	}
	if c := rec.Changed; c != nil && !slices.ContainsFunc(all, func(k Change) bool { return k.Revision == c.Revision }) {
		all = append(all, *c)
	}
	return all, nil
}

// trimHistory removes the oldest changes beyond MaxHistory.
func (t *Table) trimHistory(ctx context.Context, entity string) error {
	items, err := t.historyItems(ctx, entity)
	for _, item := range items[:max(0, len(items)-MaxHistory)] {
		err := t.retry(ctx, func(ctx context.Context) error {
			_, err := t.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &t.name, Key: dynamo.Item{"pk": item["pk"], "sk": item["sk"]}})
			return t.wrapError(err, "trim the history of "+entity)
		})
		if err != nil {
			return err
		}
	}
	return err
}

// historyItems are those of an entity in the order of their revisions.
func (t *Table) historyItems(ctx context.Context, entity string) (all []dynamo.Item, err error) {
	in := &dynamodb.QueryInput{
		TableName:                &t.name,
		ConsistentRead:           aws.Bool(true),
		KeyConditionExpression:   aws.String("#pk = :pk AND begins_with(#sk, :history)"),
		ExpressionAttributeNames: map[string]string{"#pk": "pk", "#sk": "sk"},
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":pk": dynamo.String(partition(entity)), ":history": dynamo.String(historyPrefix),
		},
	}
	for {
		var out *dynamodb.QueryOutput
		err := t.retry(ctx, func(ctx context.Context) (err error) {
			out, err = t.client.Query(ctx, in)
			return t.wrapError(err, "list the history of "+entity)
		})
		if err != nil {
			return nil, err
		}
		all = append(all, out.Items...)
		if in.ExclusiveStartKey = out.LastEvaluatedKey; len(out.LastEvaluatedKey) == 0 {
			return all, nil
		}
	}
}

// putChange sets the attributes of a change.
func putChange(item dynamo.Item, c *Change) {
	item["changedRevision"] = dynamo.Int(c.Revision)
	putTime(item, "changedAt", c.At)
	putText(item, "changedBy", c.By)
	putText(item, "changedFromOwner", string(c.FromOwner))
	putText(item, "changedOwner", string(c.Owner))
	putText(item, "changedFromPhase", string(c.FromPhase))
	putText(item, "changedPhase", string(c.Phase))
	item["changedEpoch"] = dynamo.Int(c.Epoch)
	putText(item, "changedEvidence", strings.Join(c.Evidence, "\n"))
}

// change reads a change, nil for none.
func (d *decoder) change() *Change {
	if d.item["changedRevision"] == nil {
		return nil
	}
	c := &Change{Revision: d.number("changedRevision"), At: d.time("changedAt"), By: d.optional("changedBy"),
		FromOwner: Store(d.optional("changedFromOwner")), Owner: Store(d.optional("changedOwner")),
		FromPhase: Phase(d.optional("changedFromPhase")), Phase: Phase(d.optional("changedPhase")), Epoch: d.number("changedEpoch")}
	if text := d.optional("changedEvidence"); text != "" {
		c.Evidence = strings.Split(text, "\n")
	}
	return c
}
