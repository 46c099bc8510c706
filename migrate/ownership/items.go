package ownership

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

const (
	ownerKey     = "owner"
	memberPrefix = "member#"
)

var errMalformed = errors.New("malformed item")

func partition(entity string) string { return "entity#" + entity }

func key(entity, sk string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"pk": text(partition(entity)), "sk": text(sk)}
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func encodeRecord(r Record, token string) map[string]types.AttributeValue {
	item := key(r.Entity, ownerKey)
	item["owner"] = text(string(r.Owner))
	item["epoch"] = number(r.Epoch)
	item["phase"] = text(string(r.Phase))
	item["hold"] = &types.AttributeValueMemberBOOL{Value: r.Hold}
	item["revision"] = number(r.Revision)
	item["token"] = text(token)
	if r.By != "" {
		item["by"] = text(r.By)
	}
	if !r.HoldUntil.IsZero() {
		item["holdUntil"] = text(r.HoldUntil.UTC().Format(time.RFC3339Nano))
	}
	return item
}

func decodeRecord(entity string, item map[string]types.AttributeValue) (Record, string, error) {
	d := decoder{item: item}
	r := Record{
		Entity:    entity,
		Owner:     Store(d.text("owner")),
		Epoch:     d.number("epoch"),
		Phase:     Phase(d.text("phase")),
		Hold:      d.boolean("hold"),
		HoldUntil: d.time("holdUntil"),
		By:        d.optional("by"),
		Revision:  d.number("revision"),
	}
	return r, d.text("token"), d.err
}

func encodeMember(entity string, s MemberState) map[string]types.AttributeValue {
	item := key(entity, memberPrefix+s.ID)
	item["service"] = text(s.Service)
	item["acked"] = number(s.Acked)
	item["beat"] = number(s.Beat)
	item["leaseMs"] = number(s.Lease.Milliseconds())
	item["inflight"] = number(int64(s.Inflight))
	return item
}

func decodeMember(item map[string]types.AttributeValue) (MemberState, error) {
	d := decoder{item: item}
	return MemberState{
		ID:       strings.TrimPrefix(d.text("sk"), memberPrefix),
		Service:  d.text("service"),
		Acked:    d.number("acked"),
		Beat:     d.number("beat"),
		Lease:    time.Duration(d.number("leaseMs")) * time.Millisecond,
		Inflight: int(d.number("inflight")),
	}, d.err
}

// decoder reads attributes and keeps the first error.
type decoder struct {
	item map[string]types.AttributeValue
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
