package awsjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

// cborType is what the SDKs for Java send to Kinesis, and to nothing else.
const cborType = "application/x-amz-cbor-1.1"

// encoding is how requests and answers are written.
type encoding struct {
	contentType string
	unmarshal   func([]byte, any) error
	marshal     func(any) ([]byte, error)
}

func jsonEncoding(version string) encoding {
	return encoding{"application/x-amz-json-" + version, unmarshalJSON, marshalJSON}
}

var cborEncoding = encoding{cborType, cborReader().Unmarshal, marshalCBOR}

// encodingFor is that of a request with that content type. Anything that is not
// CBOR is taken for JSON, as AWS does.
func (s *Service) encodingFor(contentType string) (encoding, error) {
	if kind, _, err := mime.ParseMediaType(contentType); err != nil || kind != cborType {
		return jsonEncoding(s.Version), nil
	}
	if !s.CBOR {
		return jsonEncoding(s.Version), Errorf("UnknownOperationException", "not implemented by the sandbox: requests in %s; let the client send JSON", contentType)
	}
	return cborEncoding, nil
}

// Bounds of a request in CBOR. Nothing in the services that take it is deeper
// than a list of structures, or longer than the 500 records of a call.
const (
	mostNested = 16
	mostItems  = 10_000
)

func cborReader() cbor.DecMode {
	mode, err := cbor.DecOptions{
		MaxNestedLevels:  mostNested,
		MaxArrayElements: mostItems,
		MaxMapPairs:      mostItems,
	}.DecMode()
	if err != nil {
		panic(fmt.Sprintf("awsjson: options of CBOR: %v", err)) // they are constants
	}
	return mode
}

// Appender outputs write their own JSON, where the general encoder is too slow.
type Appender interface{ AppendJSON(b []byte) []byte }

// CBORAppender is what an Appender of a service with CBOR has to be too.
type CBORAppender interface{ AppendCBOR(b []byte) []byte }

// unmarshalJSON refuses members that the operation does not know: to ignore one
// would answer as if it had been heeded.
func unmarshalJSON(body []byte, in any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err := d.Decode(in)
	if err == nil && len(bytes.TrimSpace(body[d.InputOffset():])) > 0 {
		return errors.New("there is more behind the object")
	}
	if err == nil {
		return nil
	}
	if name, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
		return NotImplemented("the parameter " + strings.Trim(name, `"`))
	}
	return err
}

func marshalJSON(out any) ([]byte, error) {
	if a, ok := out.(Appender); ok {
		return a.AppendJSON(nil), nil
	}
	return json.Marshal(out)
}

func marshalCBOR(out any) ([]byte, error) {
	if a, ok := out.(CBORAppender); ok {
		return a.AppendCBOR(nil), nil
	}
	return cbor.Marshal(out)
}
