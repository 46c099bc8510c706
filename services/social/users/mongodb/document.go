package mongodb

import (
	"math"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/services/social/users"
)

// document is what a new user looks like.
func document(id bson.ObjectID, u users.User) bson.D {
	d := bson.D{
		{Key: "_id", Value: id},
		{Key: "name", Value: u.Name},
		{Key: "email", Value: u.Email},
		{Key: "password", Value: u.PasswordHash},
	}
	if u.Bio != "" {
		d = append(d, bson.E{Key: "bio", Value: u.Bio})
	}
	return append(d,
		bson.E{Key: "version", Value: u.Version},
		bson.E{Key: "createdAt", Value: bson.NewDateTimeFromTime(u.CreatedAt)},
	)
}

// decode reads a document as leniently as the years that wrote it were: a field of
// another type than expected counts as missing.
func decode(d bson.Raw) users.User {
	u := users.User{
		Name:         text(d, "name"),
		Email:        text(d, "email"),
		PasswordHash: text(d, "password"),
		Bio:          text(d, "bio"),
		Version:      integer(d.Lookup("version")),
	}
	if id, ok := d.Lookup("_id").ObjectIDOK(); ok {
		u.ID = id.Hex()
	}
	if at, ok := d.Lookup("createdAt").TimeOK(); ok {
		u.CreatedAt = at.UTC().Truncate(time.Millisecond)
	} else {
		u.CreatedAt = users.CreatedFromID(u.ID)
	}
	return u
}

func text(d bson.Raw, field string) string {
	s, _ := d.Lookup(field).StringValueOK()
	return s
}

func integer(v bson.RawValue) int64 {
	if n, ok := v.AsInt64OK(); ok {
		return n
	}
	if f, ok := v.DoubleOK(); ok && f == math.Trunc(f) {
		return int64(f)
	}
	return 0
}
