// Package awserr tells the errors of AWS's services apart: which one it is, whether
// the service asks to slow down, and whether another attempt can help.
package awserr

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Code returns the code of the service's answer, such as "ValidationException", and
// "" where err is not an answer of a service.
func Code(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return ""
	}
	return api.ErrorCode()
}

// Is reports whether the service answered with one of codes.
func Is(err error, codes ...string) bool {
	code := Code(err)
	return code != "" && slices.Contains(codes, code)
}

// IsThrottle reports whether the service did nothing because too much was asked of
// it: the SDK's list of codes, those named alike (KMSThrottlingException), and status 429.
func IsThrottle(err error) bool {
	if retry.IsErrorThrottles(retry.DefaultThrottles).IsErrorThrottle(err) == aws.TrueTernary {
		return true
	}
	code := Code(err)
	return Status(err) == http.StatusTooManyRequests || strings.Contains(code, "Throttl") ||
		strings.Contains(code, "LimitExceeded") && code != "LimitExceededException"
}

// Status returns the HTTP status of the service's answer, and 0 where there was none.
func Status(err error) int {
	var response *smithyhttp.ResponseError
	if !errors.As(err, &response) {
		return 0
	}
	return response.HTTPStatusCode()
}

// IsPermanent reports whether the service refused the request as wrong or not
// allowed, so that nothing took effect and sending it again changes nothing. It is
// false for throttles, for expired credentials and clocks that differ, which mend
// themselves, for everything that is not an answer, and for 5xx.
func IsPermanent(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) || IsThrottle(err) {
		return false
	}
	switch code := api.ErrorCode(); {
	case strings.HasPrefix(code, "Expired"), strings.HasPrefix(code, "RequestExpired"), strings.HasPrefix(code, "RequestTime"):
		return false
	case strings.HasPrefix(code, "TransactionInProgress"), strings.HasPrefix(code, "TransactionConflict"):
		return false
	}
	switch status := Status(err); {
	case status == http.StatusRequestTimeout:
		return false
	case status > 0:
		return status >= 400 && status < 500
	}
	return api.ErrorFault() == smithy.FaultClient
}
