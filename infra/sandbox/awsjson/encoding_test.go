package awsjson_test

import (
	"bytes"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
)

const cborType = "application/x-amz-cbor-1.1"

func asCBOR(r *http.Request) { r.Header.Set("Content-Type", cborType) }

func postCBOR(t *testing.T, target string, body []byte) answer {
	t.Helper()
	service := echoService(new(atomic.Int32))
	service.CBOR = true
	return post(t, service, target, string(body), asCBOR)
}

func TestAnswersInCBOR(t *testing.T) {
	for name, test := range map[string]struct {
		target string
		body   string // all in hexadecimal digits where not text
		status int
		want   string
	}{
		"success":          {"Echo", "\xa2\x64Text\x62hi\x67Unknown\x01", 200, "\xa2\x64Text\x62hi\x64When\xf6"},
		"without a length": {"Echo", "\xbf\x64Text\x7f\x61h\x61i\xff\xff", 200, "\xa2\x64Text\x62hi\x64When\xf6"},
		"a timestamp": {"Echo", "\xa1\x64When\xc1\x1b\x00\x00\x01\x8b\xcf\xe5\x68\x7b", 200,
			"\xa2\x64Text\x60\x64When\xc1\x1b\x00\x00\x01\x8b\xcf\xe5\x68\x7b"},
		"without its tag":    {"Echo", "\xa1\x64When\x1b\x00\x00\x01\x8b\xcf\xe5\x68\x7b", 200, "\xa2\x64Text\x60\x64When\xc1\x1b\x00\x00\x01\x8b\xcf\xe5\x68\x7b"},
		"before 1970":        {"Echo", "\xa1\x64When\xc1\x39\x03\xe7", 200, "\xa2\x64Text\x60\x64When\xc1\x39\x03\xe7"},
		"no output":          {"Nothing", "", 200, ""},
		"no input":           {"Echo", "", 200, "\xa2\x64Text\x60\x64When\xf6"},
		"modelled error":     {"Refuse", "\xa0", 404, "\xa2\x66__type\x6bNoSuchThing\x67message\x6dthere is none"},
		"own failure":        {"Break", "\xa0", 500, "\x6fInternalFailure"},
		"unknown operation":  {"Dance", "\xa0", 400, "UnknownOperationException"},
		"JSON":               {"Echo", "{}", 400, "SerializationException"},
		"a timestamp's text": {"Echo", "\xa1\x64When\x61x", 400, "not a timestamp"},
		"far away":           {"Echo", "\xa1\x64When\xc1\x1b\x7f\xff\xff\xff\xff\xff\xff\xff", 400, "not a timestamp"},
		"not a number":       {"Echo", "\xa1\x64When\xf9\x7e\x00", 400, "not a timestamp"},
	} {
		t.Run(name, func(t *testing.T) {
			got := postCBOR(t, "Echo_1."+test.target, []byte(test.body))
			if got.status != test.status || got.header.Get("Content-Type") != cborType || got.header.Get("X-Amzn-Requestid") == "" {
				t.Errorf("%d %v", got.status, got.header)
			}
			if test.status == 200 && got.body != test.want || !bytes.Contains([]byte(got.body), []byte(test.want)) {
				t.Errorf("got  %x\nwant %x", got.body, test.want)
			}
			if got.body != "" && cbor.Wellformed([]byte(got.body)) != nil {
				t.Errorf("not CBOR: %x", got.body)
			}
		})
	}
}

func FuzzTimeInCBOR(f *testing.F) {
	f.Add([]byte("\xc1\x1b\x00\x00\x01\x8b\xcf\xe5\x68\x7b"))
	f.Add([]byte("\xc1\xc1\x00"))
	f.Add([]byte("\xf6"))
	f.Add([]byte("\xfb\x7e\x37\xe4\x3c\x88\x00\x75\x9c"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var at awsjson.Time
		if at.UnmarshalCBOR(b) != nil {
			return
		}
		var again awsjson.Time
		if err := again.UnmarshalCBOR(at.AppendCBOR(nil)); err != nil || !again.Truncate(time.Millisecond).Equal(at.Time) {
			t.Errorf("%x: %v became %v, %v", b, at, again, err)
		}
	})
}
