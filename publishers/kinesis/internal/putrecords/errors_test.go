package putrecords_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/fxamacker/cbor/v2"

	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/publishers/kinesis/internal/putrecords"
)

func oneRecord(encoding putrecords.Encoding) *putrecords.Request {
	r := &putrecords.Request{Encoding: encoding}
	r.Reset(stream)
	r.Add("k", "", []byte("data"))
	return r
}

// plainError is what the SDK itself makes of an answer.
func plainError(t *testing.T, client *awskinesis.Client) error {
	_, err := client.PutRecords(t.Context(), &awskinesis.PutRecordsInput{
		StreamName: aws.String(stream), Records: []types.PutRecordsRequestEntry{{PartitionKey: aws.String("k"), Data: []byte("data")}},
	})
	if err == nil {
		t.Fatal("the SDK saw no error")
	}
	return err
}

// inCBOR writes a text in JSON as CBOR.
func inCBOR(t *testing.T, text string) string {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	b, err := cbor.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestErrorsAreTheSDKs(t *testing.T) {
	for _, test := range []struct {
		name   string
		status int
		body   string
		isJSON bool // can be written in CBOR too
	}{
		{"throttled", 400, `{"__type":"ProvisionedThroughputExceededException","message":"Rate exceeded"}`, true},
		{"with a namespace", 400, `{"__type":"com.amazonaws.kinesis#ResourceNotFoundException","Message":"no stream"}`, true},
		{"of the front", 400, `{"__type":"ThrottlingException"}`, true},
		{"expired", 400, `{"__type":"ExpiredTokenException","message":"too late"}`, true},
		{"code", 400, `{"code":"AccessDeniedException","message":"no"}`, true},
		{"KMS", 400, `{"__type":"KMSDisabledException","message":"off"}`, true},
		{"internal", 500, `{"__type":"InternalFailure","message":"oops"}`, true},
		{"without anything", 503, ``, false},
		{"a proxy", 502, `<html>Bad Gateway</html>`, false},
		{"too large", 413, `{"message":null}`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, url := record(t, reply(test.status, jsonType, test.body))
			want := plainError(t, newClient(t, url))
			_, err := oneRecord(putrecords.JSON).Send(t.Context(), newClient(t, url))
			sameError(t, want, err)
			_, err = oneRecord(putrecords.CBOR).Send(t.Context(), newClient(t, url))
			sameError(t, want, err)
			if test.isJSON {
				_, url := record(t, reply(test.status, cborType, inCBOR(t, test.body)))
				_, err = oneRecord(putrecords.CBOR).Send(t.Context(), newClient(t, url))
				sameError(t, want, err)
			}
		})
	}
}

func sameError(t *testing.T, want, got error) {
	t.Helper()
	if got == nil || got.Error() != want.Error() {
		t.Fatalf("got  %v\nwant %v", got, want)
	}
	var wantAPI, gotAPI smithy.APIError
	if errors.As(want, &wantAPI) != errors.As(got, &gotAPI) ||
		wantAPI != nil && (wantAPI.ErrorCode() != gotAPI.ErrorCode() || wantAPI.ErrorFault() != gotAPI.ErrorFault()) {
		t.Errorf("got %#v, want %#v", gotAPI, wantAPI)
	}
	var response *smithyhttp.ResponseError
	if !errors.As(got, &response) {
		t.Errorf("no response in %#v", got)
	}
}

func TestThrottlingHasItsType(t *testing.T) {
	_, url := record(t, reply(400, cborType, inCBOR(t, `{"__type":"ProvisionedThroughputExceededException","message":"Rate exceeded"}`)))
	_, err := oneRecord(putrecords.CBOR).Send(t.Context(), newClient(t, url))
	var throttled *types.ProvisionedThroughputExceededException
	if !errors.As(err, &throttled) || throttled.ErrorMessage() != "Rate exceeded" {
		t.Error(err)
	}
}

func TestAShortAnswerIsAnError(t *testing.T) {
	for _, body := range []string{`{"Records":[]}`, `{}`, `{"Records":[{},{}]}`} {
		_, url := record(t, reply(200, jsonType, body))
		for _, client := range []putrecords.API{newClient(t, url), struct{ putrecords.API }{newClient(t, url)}} {
			if _, err := oneRecord(putrecords.JSON).Send(t.Context(), client); !errors.Is(err, putrecords.ErrShortAnswer) {
				t.Errorf("%s: %v", body, err)
			}
		}
	}
}

func TestAMalformedAnswerIsAnError(t *testing.T) {
	for _, body := range []string{``, `{"Records":[{"SequenceNumber":"1"}]`, `[]`, "\xbf\x67Records\x9f\xa0", `{} x`} {
		_, url := record(t, reply(200, jsonType, body))
		_, err := oneRecord(putrecords.JSON).Send(t.Context(), newClient(t, url))
		var malformed *smithy.DeserializationError
		if !errors.As(err, &malformed) {
			t.Errorf("%q: %v", body, err)
		}
	}
}

// TestFallsBackToJSON: a server that refuses CBOR gets each record once, and is
// not asked in CBOR again.
func TestFallsBackToJSON(t *testing.T) {
	for name, refuse := range map[string]func(received, http.ResponseWriter){
		"serialization": reply(400, jsonType, `{"__type":"SerializationException","message":"Start of structure or map found where not expected."}`),
		"unknown":       reply(400, jsonType, `{"__type":"UnknownOperationException"}`),
		"media type":    reply(415, "text/html", `<html>Unsupported Media Type</html>`),
		"no type":       reply(400, jsonType, `{}`),
		"not found":     reply(404, "text/plain", `not found`),
	} {
		t.Run(name, func(t *testing.T) {
			rec, url := record(t, func(got received, w http.ResponseWriter) {
				if got.Header.Get("Content-Type") == cborType {
					refuse(got, w)
					return
				}
				success(got, w)
			})
			r, client := oneRecord(putrecords.CBOR), newClient(t, url)
			for i := range 3 {
				answers, err := r.Send(t.Context(), client)
				if err != nil || len(answers) != 1 || rec.count() != i+2 {
					t.Fatalf("%v, %v after %d requests", answers, err, rec.count())
				}
			}
		})
	}
}

// TestUnknownOutcomeIsNotSentAgain: it may be in the stream.
func TestUnknownOutcomeIsNotSentAgain(t *testing.T) {
	for name, answer := range map[string]func(received, http.ResponseWriter){
		"500":                 reply(500, jsonType, `{"__type":"SerializationException"}`),
		"502":                 reply(502, "text/html", `<html>`),
		"no answer":           func(_ received, w http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"a malformed success": reply(200, cborType, "\xff"),
		"throttled":           reply(400, cborType, inCBOR(t, `{"__type":"ProvisionedThroughputExceededException"}`)),
		"a slow request":      reply(408, "text/html", `<html>`),
		"a proxy's limit":     reply(429, jsonType, `{}`),
		"denied":              reply(403, jsonType, `{"__type":"AccessDeniedException"}`),
	} {
		t.Run(name, func(t *testing.T) {
			rec, url := record(t, answer)
			if _, err := oneRecord(putrecords.CBOR).Send(t.Context(), newClient(t, url)); err == nil || rec.count() != 1 {
				t.Errorf("%d requests, %v", rec.count(), err)
			}
		})
	}
}

// TestWhatIsWrongInBothIsNotTheEncoding: the next request is in CBOR again.
func TestWhatIsWrongInBothIsNotTheEncoding(t *testing.T) {
	rec, url := record(t, reply(400, jsonType, `{"__type":"SerializationException"}`))
	r, client := oneRecord(putrecords.CBOR), newClient(t, url)
	for range 2 {
		if _, err := r.Send(t.Context(), client); err == nil {
			t.Fatal("no error")
		}
	}
	if rec.count() != 4 || rec.last(t).Header.Get("Content-Type") != jsonType || rec.seen[2].Header.Get("Content-Type") != cborType {
		t.Errorf("%d requests", rec.count())
	}
}

func TestUnreachableServer(t *testing.T) {
	url := "http://" + linktest.Refusing(t)
	var response *smithyhttp.ResponseError
	if _, err := oneRecord(putrecords.JSON).Send(t.Context(), newClient(t, url)); err == nil || errors.As(err, &response) && response.HTTPStatusCode() != 0 {
		t.Error(err)
	}
}
