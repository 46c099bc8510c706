package awserr_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/banyan-fig/banyan/infra/awserr"
)

func answer(status int, code string) error {
	return fmt.Errorf("call: %w", &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}},
		Err:      &smithy.GenericAPIError{Code: code},
	})
}

func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		err                 error
		code                string
		throttle, permanent bool
	}{
		"nothing":             {},
		"no answer":           {err: context.DeadlineExceeded},
		"not ours":            {err: errors.New("ValidationException")},
		"invalid":             {err: answer(400, "ValidationException"), code: "ValidationException", permanent: true},
		"denied":              {err: answer(400, "AccessDeniedException"), code: "AccessDeniedException", permanent: true},
		"condition":           {err: answer(400, "ConditionalCheckFailedException"), code: "ConditionalCheckFailedException", permanent: true},
		"throttled":           {err: answer(400, "ThrottlingException"), code: "ThrottlingException", throttle: true},
		"throughput":          {err: answer(400, "ProvisionedThroughputExceededException"), code: "ProvisionedThroughputExceededException", throttle: true},
		"request limit":       {err: answer(400, "RequestLimitExceeded"), code: "RequestLimitExceeded", throttle: true},
		"KMS":                 {err: answer(400, "KMSThrottlingException"), code: "KMSThrottlingException", throttle: true},
		"429":                 {err: answer(429, "Unheard"), code: "Unheard", throttle: true},
		"expired credentials": {err: answer(400, "ExpiredTokenException"), code: "ExpiredTokenException"},
		"clock":               {err: answer(403, "RequestTimeTooSkewed"), code: "RequestTimeTooSkewed"},
		"conflict":            {err: answer(400, "TransactionConflictException"), code: "TransactionConflictException"},
		"cancelled":           {err: answer(400, "TransactionCanceledException"), code: "TransactionCanceledException"},
		"other region":        {err: answer(400, "ReplicatedWriteConflictException"), code: "ReplicatedWriteConflictException"},
		"collection too large": {err: answer(400, "ItemCollectionSizeLimitExceededException"), code: "ItemCollectionSizeLimitExceededException",
			permanent: true},
		"timeout":             {err: answer(408, "RequestTimeout"), code: "RequestTimeout"},
		"internal":            {err: answer(500, "InternalServerError"), code: "InternalServerError"},
		"client's, no status": {err: &smithy.GenericAPIError{Code: "X", Fault: smithy.FaultClient}, code: "X", permanent: true},
		"never sent":          {err: fmt.Errorf("put: %w", smithy.InvalidParamsError{Context: "PutItemInput"}), permanent: true},
		"no status":           {err: &smithy.GenericAPIError{Code: "X"}, code: "X"},
	} {
		if got := awserr.Code(c.err); got != c.code {
			t.Errorf("%s: code %q, want %q", name, got, c.code)
		}
		if got := awserr.IsThrottle(c.err); got != c.throttle {
			t.Errorf("%s: throttle %v", name, got)
		}
		if got := awserr.IsPermanent(c.err); got != c.permanent {
			t.Errorf("%s: permanent %v", name, got)
		}
		if c.code != "" && !awserr.Is(c.err, "Other", c.code) || awserr.Is(c.err, "Other") || awserr.Is(c.err, "") {
			t.Errorf("%s: Is", name)
		}
	}
}
