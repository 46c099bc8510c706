package cloudwatch

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
)

// How requests are found, for whoever serves several services at one address:
// PathPrefix begins the path of those in CBOR, Target the header X-Amz-Target,
// before a dot, of those in JSON.
const (
	PathPrefix = "/service/" + Target + "/operation/"
	Target     = "GraniteServiceVersion20100801"
)

// encoding is a protocol's.
type encoding struct {
	contentType, protocol string
	unmarshal             func([]byte, any) error
	marshal               func(any) ([]byte, error)
}

var (
	inCBOR = encoding{"application/cbor", "rpc-v2-cbor", cbor.Unmarshal, cbor.Marshal}
	inJSON = encoding{"application/x-amz-json-1.0", "", json.Unmarshal, json.Marshal}
)

// spoken tells a request's protocol and the operation that it names, if any.
func spoken(r *http.Request) (encoding, string) {
	if name, ok := strings.CutPrefix(r.URL.Path, PathPrefix); ok && r.Header.Get("Smithy-Protocol") == inCBOR.protocol {
		return inCBOR, name
	}
	name, _ := strings.CutPrefix(r.Header.Get("X-Amz-Target"), Target+".")
	return inJSON, name
}

func (e encoding) write(w http.ResponseWriter, status int, out any) {
	body, err := e.marshal(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if e.protocol != "" {
		w.Header().Set("Smithy-Protocol", e.protocol)
	}
	w.Header().Set("Content-Type", e.contentType)
	w.Header().Set("X-Amzn-Requestid", uuid.NewString())
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away needs no answer
}

func (e encoding) writeError(w http.ResponseWriter, err error) {
	var failure *awsjson.Error
	if !errors.As(err, &failure) {
		failure = awsjson.Internal("the sandbox failed: " + err.Error())
	}
	status := failure.Status
	status = cmp.Or(status, http.StatusBadRequest)
	e.write(w, status, map[string]string{"__type": "com.amazonaws.cloudwatch#" + failure.Type, "message": failure.Message})
}

// instant is a timestamp, which is seconds since 1970 in either encoding.
type instant struct{ awsjson.Time }

func at(t time.Time) instant { return instant{awsjson.Time{Time: t.UTC()}} }

// MarshalCBOR implements cbor.Marshaler: unlike the CBOR of older services, with
// seconds, as RFC 8949 has them.
func (t instant) MarshalCBOR() ([]byte, error) {
	return cbor.Marshal(cbor.Tag{Number: 1, Content: float64(t.UnixMilli()) / 1000})
}

// UnmarshalCBOR implements cbor.Unmarshaler.
func (t *instant) UnmarshalCBOR(b []byte) error { return cbor.Unmarshal(b, &t.Time.Time) }
