package once

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// transaction is changes in flight together. The key of an op belongs to one change,
// that of an addition may be shared.
type transaction struct {
	changes []*pending
	ops     map[Key]bool
	adds    map[Key]bool
	bytes   int

	ctx     context.Context // ends with the transaction's time, or when no caller waits
	cancel  context.CancelFunc
	awaited int // changes that callers wait for, under the writer's lock
}

func (t *transaction) begin(ctx context.Context, timeout time.Duration) {
	t.ctx, t.cancel = context.WithTimeout(ctx, timeout)
	t.awaited = len(t.changes)
	for _, p := range t.changes {
		p.transaction = t
	}
}

func (t *transaction) keys() int { return len(t.ops) + len(t.adds) }

func (t *transaction) isFull() bool { return t.keys() >= maxKeys }

// add adds p if it fits. The first always does.
func (t *transaction) add(p *pending) bool {
	if len(t.changes) > 0 && !t.fits(p) {
		return false
	}
	for _, o := range p.change.Ops {
		t.ops[o.key] = true
	}
	for _, a := range p.change.Adds {
		t.adds[a.Key] = true
	}
	t.bytes += p.size
	t.changes = append(t.changes, p)
	return true
}

func (t *transaction) fits(p *pending) bool {
	if t.bytes+p.size > maxBytes {
		return false
	}
	more := len(p.change.Ops)
	for _, o := range p.change.Ops {
		if t.ops[o.key] || t.adds[o.key] {
			return false
		}
	}
	for _, a := range p.change.Adds {
		if t.ops[a.Key] {
			return false
		}
		if !t.adds[a.Key] {
			more++
		}
	}
	return t.keys()+more <= maxKeys
}

// line is one item of the request and the changes that it belongs to.
type line struct {
	item    types.TransactWriteItem
	changes []*pending
}

// requestLines are the ops of every change, then the additions, added up by key.
func requestLines(table string, changes []*pending) []line {
	var out []line
	sums := map[Key]map[string]int64{}
	sharers := map[Key][]*pending{}
	for _, p := range changes {
		for _, o := range p.change.Ops {
			out = append(out, line{o.request(table), []*pending{p}})
		}
		for _, a := range p.change.Adds {
			if sums[a.Key] == nil {
				sums[a.Key] = map[string]int64{}
			}
			for name, n := range a.Deltas {
				sums[a.Key][name] += n
			}
			sharers[a.Key] = append(sharers[a.Key], p)
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(sums), Key.compare) {
		out = append(out, line{additionRequest(table, k, sums[k]), sharers[k]})
	}
	return out
}

func additionRequest(table string, k Key, sums map[string]int64) types.TransactWriteItem {
	names, values := map[string]string{}, dynamo.Item{}
	var parts []string
	for i, name := range slices.Sorted(maps.Keys(sums)) {
		ref := fmt.Sprint("n", i)
		names["#"+ref], values[":"+ref] = name, dynamo.Int(sums[name])
		parts = append(parts, "#"+ref+" :"+ref)
	}
	add := "ADD " + strings.Join(parts, ", ")
	return types.TransactWriteItem{Update: &types.Update{TableName: &table, Key: k.Item(),
		UpdateExpression: &add, ExpressionAttributeNames: names, ExpressionAttributeValues: values}}
}
