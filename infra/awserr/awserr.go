// Package awserr classifies the errors of AWS's services: which one it is, whether
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
// it: the SDK's list of codes, those named alike (KMSThrottlingException), and status
// 429. On the list is LimitExceededException, which some services answer to a quota
// that waiting does not help: look for that first there.
func IsThrottle(err error) bool {
	return retry.IsErrorThrottles(retry.DefaultThrottles).IsErrorThrottle(err) == aws.TrueTernary ||
		Status(err) == http.StatusTooManyRequests || strings.Contains(Code(err), "Throttl")
}

// Status returns the HTTP status of the service's answer, and 0 where there was none.
func Status(err error) int {
	var response *smithyhttp.ResponseError
	if !errors.As(err, &response) {
		return 0
	}
	return response.HTTPStatusCode()
}

// transient begin the codes of answers with a status of 4xx that a later attempt may
// not get.
var transient = []string{
	"Expired", "RequestExpired", "RequestTime",
	"TransactionInProgress", "TransactionConflict", "TransactionCanceled", "ReplicatedWriteConflict",
}

// IsInvalidInput reports whether the SDK refused to send the request, which lacks
// something that every request has.
func IsInvalidInput(err error) bool {
	var invalid smithy.InvalidParamsError
	return errors.As(err, &invalid)
}

// IsPermanent reports whether the service, or the SDK, refused the request as wrong or not
// allowed, so that nothing took effect and sending it again changes nothing. It is
// false for throttles, for expired credentials and clocks that differ, which mend
// themselves, for writes that met another one, for everything that is not an answer,
// and for 5xx. Why a transaction was cancelled is in its reasons alone: it is false too.
func IsPermanent(err error) bool {
	if IsInvalidInput(err) {
		return true
	}
	var api smithy.APIError
	if !errors.As(err, &api) || IsThrottle(err) {
		return false
	}
	for _, prefix := range transient {
		if strings.HasPrefix(api.ErrorCode(), prefix) {
			return false
		}
	}
	switch status := Status(err); {
	case status == http.StatusRequestTimeout:
		return false
	case status > 0:
		return status >= 400 && status < 500
	}
	return api.ErrorFault() == smithy.FaultClient
}
