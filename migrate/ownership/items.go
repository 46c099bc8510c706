package ownership

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

const (
	ownerKey     = "owner"
	memberPrefix = "member#"
)

var errMalformed = errors.New("malformed item")

func partition(entity string) string { return "entity#" + entity }

func key(entity, sk string) dynamo.Item { return dynamo.Key(partition(entity), sk) }

func encodeRecord(r Record, token string) dynamo.Item {
	item := key(r.Entity, ownerKey)
	item["owner"] = dynamo.String(string(r.Owner))
	item["epoch"] = dynamo.Int(r.Epoch)
	item["phase"] = dynamo.String(string(r.Phase))
	item["hold"] = dynamo.Bool(r.Hold)
	item["revision"] = dynamo.Int(r.Revision)
	item["token"] = dynamo.String(token)
	putText(item, "by", r.By)
	putText(item, "collection", r.Collection)
	putText(item, "collectionUUID", r.CollectionUUID)
	putTime(item, "heldAt", r.HeldAt)
	putTime(item, "holdUntil", r.HoldUntil)
	if r.Turn != 0 {
		item["turnMs"] = dynamo.Int(r.Turn.Milliseconds())
	}
	if r.Generation != 0 {
		item["generation"] = dynamo.Int(r.Generation)
	}
	if r.Changed != nil {
		putChange(item, r.Changed)
	}
	if r.Move != nil {
		item["moveFrom"], item["moveTo"] = dynamo.String(r.Move.From), dynamo.String(r.Move.To)
	}
	return item
}

// putText sets an attribute that may be absent, which is "".
func putText(item dynamo.Item, name, text string) {
	if text != "" {
		item[name] = dynamo.String(text)
	}
}

// putTime sets an attribute that may be absent, which is the zero time.
func putTime(item dynamo.Item, name string, at time.Time) {
	if !at.IsZero() {
		item[name] = dynamo.String(at.UTC().Format(time.RFC3339Nano))
	}
}

func decodeRecord(entity string, item dynamo.Item) (Record, string, error) {
	d := decoder{item: item}
	r := Record{
		Entity:    entity,
		Owner:     Store(d.text("owner")),
		Epoch:     d.number("epoch"),
		Phase:     Phase(d.text("phase")),
		Hold:      d.boolean("hold"),
		HeldAt:    d.time("heldAt"),
		HoldUntil: d.time("holdUntil"),
		By:        d.optional("by"),
		Revision:  d.number("revision"),

		Collection: d.optional("collection"), CollectionUUID: d.optional("collectionUUID"),
	}
	if item["turnMs"] != nil {
		r.Turn = time.Duration(d.number("turnMs")) * time.Millisecond
	}
	if item["generation"] != nil {
		r.Generation = d.number("generation")
	}
	if item["moveTo"] != nil {
		r.Move = &Move{From: d.text("moveFrom"), To: d.text("moveTo")}
	}
	r.Changed = d.change()
	return r, d.text("token"), d.err
}

func encodeMember(entity string, s MemberState) dynamo.Item {
	item := key(entity, memberPrefix+s.ID)
	item["service"] = dynamo.String(s.Service)
	item["acked"] = dynamo.Int(s.Acked)
	item["beat"] = dynamo.Int(s.Beat)
	item["leaseMs"] = dynamo.Int(s.Lease.Milliseconds())
	item["inflight"] = dynamo.Int(int64(s.Inflight))
	if s.Names {
		item["names"] = dynamo.Bool(true)
	}
	if s.Relay {
		item["relay"] = dynamo.Bool(true)
	}
	putText(item, "appName", s.AppName)
	if w := s.Shadow; w.Compared > 0 {
		shadow := dynamo.Item{"compared": dynamo.Int(w.Compared), "inFlight": dynamo.Int(w.InFlight), "different": dynamo.Int(w.Different),
			"failed": dynamo.Int(w.Failed)}
		putText(shadow, "last", w.Last)
		putTime(shadow, "lastAt", w.LastAt)
		item["shadow"] = &types.AttributeValueMemberM{Value: shadow}
	}
	if s.Problem != "" {
		item["problem"], item["problemRevision"] = dynamo.String(s.Problem), dynamo.Int(s.ProblemRevision)
	}
	return item
}

func decodeMember(item dynamo.Item) (MemberState, error) {
	d := decoder{item: item}
	s := MemberState{
		ID:       strings.TrimPrefix(d.text("sk"), memberPrefix),
		Service:  d.text("service"),
		Acked:    d.number("acked"),
		Beat:     d.number("beat"),
		Lease:    time.Duration(d.number("leaseMs")) * time.Millisecond,
		Inflight: int(d.number("inflight")),
		Names:    item["names"] != nil && d.boolean("names"),
		AppName:  d.optional("appName"),
		Relay:    item["relay"] != nil && d.boolean("relay"),
		Problem:  d.optional("problem"),
	}
	if s.Problem != "" {
		s.ProblemRevision = d.number("problemRevision")
	}
	if shadow, ok := item["shadow"].(*types.AttributeValueMemberM); ok && d.err == nil {
		d = decoder{item: shadow.Value}
		s.Shadow = ShadowReads{Compared: d.number("compared"), InFlight: d.number("inFlight"), Different: d.number("different"),
			Failed: d.number("failed"), Last: d.optional("last"), LastAt: d.time("lastAt")}
	}
	return s, d.err
}

// decoder reads attributes and keeps the first error.
type decoder struct {
	item dynamo.Item
	err  error
}

func (d *decoder) fail(name string, v types.AttributeValue) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: attribute %s is %T", errMalformed, name, v)
	}
}

func (d *decoder) text(name string) string {
	v, ok := d.item[name].(*types.AttributeValueMemberS)
	if !ok {
		d.fail(name, d.item[name])
		return ""
	}
	return v.Value
}

func (d *decoder) number(name string) int64 {
	v, ok := d.item[name].(*types.AttributeValueMemberN)
	if !ok {
		d.fail(name, d.item[name])
		return 0
	}
	n, err := strconv.ParseInt(v.Value, 10, 64)
	if err != nil {
		d.fail(name, v)
	}
	return n
}

func (d *decoder) boolean(name string) bool {
	v, ok := d.item[name].(*types.AttributeValueMemberBOOL)
	if !ok {
		d.fail(name, d.item[name])
		return false
	}
	return v.Value
}

// optional reads a text that may be absent, which is "".
func (d *decoder) optional(name string) string {
	if d.item[name] == nil {
		return ""
	}
	return d.text(name)
}

// time reads an optional time; absent is the zero time.
func (d *decoder) time(name string) time.Time {
	if d.item[name] == nil {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, d.text(name))
	if err != nil {
		d.fail(name, d.item[name])
	}
	return at
}
