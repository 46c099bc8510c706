package cloudwatch

import (
	"cmp"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
)

// PathPrefix begins the path of requests in Smithy's RPC v2, for those that serve
// several services at one address.
const PathPrefix = "/service/" + target + "/operation/"

const (
	target   = "GraniteServiceVersion20100801"
	protocol = "rpc-v2-cbor"
)

// operationOf is the operation that a request names, or "".
func operationOf(r *http.Request) string {
	name, _ := strings.CutPrefix(r.URL.Path, PathPrefix)
	if r.Header.Get("Smithy-Protocol") != protocol {
		return ""
	}
	return name
}

func write(w http.ResponseWriter, status int, out any) {
	body, err := cbor.Marshal(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Smithy-Protocol", protocol)
	w.Header().Set("Content-Type", "application/cbor")
	w.Header().Set("X-Amzn-Requestid", uuid.NewString())
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away needs no answer
}

func writeError(w http.ResponseWriter, err error) {
	var failure *awsjson.Error
	if !errors.As(err, &failure) {
		failure = awsjson.Internal("the sandbox failed: " + err.Error())
	}
	write(w, cmp.Or(failure.Status, http.StatusBadRequest),
		map[string]string{"__type": "com.amazonaws.cloudwatch#" + failure.Type, "message": failure.Message})
}

// instant is a timestamp: seconds since 1970.
type instant struct{ time.Time }

func at(t time.Time) instant { return instant{t.UTC()} }

// MarshalCBOR implements cbor.Marshaler: unlike the CBOR of older services, with
// seconds, as RFC 8949 has them.
func (t instant) MarshalCBOR() ([]byte, error) {
	return cbor.Marshal(cbor.Tag{Number: 1, Content: float64(t.UnixMilli()) / 1000})
}

// UnmarshalCBOR implements cbor.Unmarshaler.
func (t *instant) UnmarshalCBOR(b []byte) error { return cbor.Unmarshal(b, &t.Time) }
