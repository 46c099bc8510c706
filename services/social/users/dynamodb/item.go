package dynamodb

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/services/social/users"
)

func emailKey(email string) string { return "email#" + email }

// item is what a new user looks like.
func item(u users.User, epoch int64) map[string]types.AttributeValue {
	out := map[string]types.AttributeValue{
		"id":            dynamo.String(u.ID),
		"name":          dynamo.String(u.Name),
		"email":         dynamo.String(u.Email),
		"password":      dynamo.String(u.PasswordHash),
		"version":       dynamo.Int(u.Version),
		"createdAt":     dynamo.String(users.FormatTime(u.CreatedAt)),
		stamp.Attribute: stamp.OfEpoch(epoch),
	}
	if u.Bio != "" {
		out["bio"] = dynamo.String(u.Bio)
	}
	return out
}

func uniqueItem(u users.User, epoch int64) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"value": dynamo.String(emailKey(u.Email)), "owner": dynamo.String(u.ID), stamp.Attribute: stamp.OfEpoch(epoch),
	}
}

// update writes the change on condition that the item is as it was read.
func update(table string, raw map[string]types.AttributeValue, u users.User, epoch int64, c users.Change) *types.Update {
	b := builder{names: map[string]string{}, values: map[string]types.AttributeValue{}}
	b.set("version", dynamo.Int(u.Version+1))
	if c.Name != nil {
		b.set("name", dynamo.String(*c.Name))
	}
	if c.Bio != nil {
		b.set("bio", dynamo.String(*c.Bio))
	}
	b.unchanged("version", raw["version"])
	b.names["#banyan"] = stamp.Attribute
	if stamps, ok := raw[stamp.Attribute].(*types.AttributeValueMemberM); ok {
		b.names["#e"] = stamp.Epoch
		b.values[":epoch"] = dynamo.Int(epoch)
		b.sets = append(b.sets, "#banyan.#e = :epoch")
		b.unchangedAt("#banyan.#e", ":e_was", stamps.Value[stamp.Epoch])
	} else {
		b.values[":epoch"] = stamp.OfEpoch(epoch)
		b.sets = append(b.sets, "#banyan = :epoch")
		b.conditions = append(b.conditions, "attribute_not_exists(#banyan)")
	}
	return &types.Update{
		TableName:                 aws.String(table),
		Key:                       map[string]types.AttributeValue{"id": dynamo.String(u.ID)},
		UpdateExpression:          aws.String("SET " + strings.Join(b.sets, ", ")),
		ConditionExpression:       aws.String("attribute_exists(#id) AND " + strings.Join(b.conditions, " AND ")),
		ExpressionAttributeNames:  b.withKey(),
		ExpressionAttributeValues: b.values,
	}
}

// builder collects the parts of an update.
type builder struct {
	names            map[string]string
	values           map[string]types.AttributeValue
	sets, conditions []string
}

func (b *builder) set(name string, v types.AttributeValue) {
	b.names["#"+name], b.values[":"+name] = name, v
	b.sets = append(b.sets, "#"+name+" = :"+name)
}

func (b *builder) unchanged(name string, was types.AttributeValue) {
	b.names["#"+name] = name
	b.unchangedAt("#"+name, ":"+name+"_was", was)
}

func (b *builder) unchangedAt(path, placeholder string, was types.AttributeValue) {
	if was == nil {
		b.conditions = append(b.conditions, "attribute_not_exists("+path+")")
		return
	}
	b.values[placeholder] = was
	b.conditions = append(b.conditions, path+" = "+placeholder)
}

func (b *builder) withKey() map[string]string {
	b.names["#id"] = "id"
	return b.names
}

// decode reads an item as leniently as the MongoDB store reads a document: an
// attribute of another type than expected counts as missing.
func decode(raw map[string]types.AttributeValue) users.User {
	u := users.User{
		ID:           dynamo.StringOf(raw, "id"),
		Name:         dynamo.StringOf(raw, "name"),
		Email:        dynamo.StringOf(raw, "email"),
		PasswordHash: dynamo.StringOf(raw, "password"),
		Bio:          dynamo.StringOf(raw, "bio"),
		Version:      integer(raw["version"]),
	}
	at, err := time.Parse(time.RFC3339Nano, dynamo.StringOf(raw, "createdAt"))
	if err != nil {
		at = users.CreatedFromID(u.ID)
	}
	u.CreatedAt = at.UTC().Truncate(time.Millisecond)
	return u
}

// present reports whether there is an item that is no tombstone.
func present(raw map[string]types.AttributeValue) bool {
	return len(raw) > 0 && !stamp.Of(raw).Tombstone
}

// epochOf is the epoch of the service's last write, 0 if there was none.
func epochOf(raw map[string]types.AttributeValue) int64 { return stamp.Of(raw).Epoch }

func integer(v types.AttributeValue) int64 {
	n, ok := v.(*types.AttributeValueMemberN)
	if !ok {
		return 0
	}
	if i, err := strconv.ParseInt(n.Value, 10, 64); err == nil {
		return i
	}
	if f, err := strconv.ParseFloat(n.Value, 64); err == nil && f == math.Trunc(f) {
		return int64(f)
	}
	return 0
}
