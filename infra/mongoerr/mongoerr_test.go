package mongoerr_test

import (
	"errors"
	"fmt"
	"testing"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoerr"
)

func TestHasCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("code 166"), false},
		{fmt.Errorf("write: %w", mongo.CommandError{Code: 166}), true},
		{mongo.CommandError{Code: 13}, false},
		{mongo.WriteException{WriteErrors: mongo.WriteErrors{{Code: 48}}}, true},
		{mongo.BulkWriteException{WriteErrors: []mongo.BulkWriteError{{WriteError: mongo.WriteError{Code: 166}}}}, true},
	} {
		if got := mongoerr.HasCode(c.err, mongoerr.NamespaceExists, mongoerr.CommandNotSupportedOnView); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}
