package cloudwatch_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/fxamacker/cbor/v2"
)

// jsonClient is the SDK's, which speaks CBOR, made to speak JSON, which the
// independent CloudWatch understands.
func jsonClient(t *testing.T, url string) *cloudwatch.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	o := client(t, url).Options()
	o.HTTPClient, o.DisableRequestCompression = &http.Client{Transport: inJSON{transport}}, true
	return cloudwatch.New(o)
}

// inJSON translates requests from CBOR and answers to it.
type inJSON struct{ next http.RoundTripper }

func (x inJSON) RoundTrip(r *http.Request) (*http.Response, error) {
	packed, err := io.ReadAll(r.Body)
	var in any
	if err == nil {
		err = cbor.Unmarshal(packed, &in)
	}
	var body []byte
	if err == nil {
		body, err = json.Marshal(toJSON(in))
	}
	if err != nil {
		return nil, fmt.Errorf("the request of %s: %w", r.URL.Path, err)
	}
	to, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "http://"+r.URL.Host, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	to.Header.Set("Authorization", r.Header.Get("Authorization"))
	to.Header.Set("Content-Type", "application/x-amz-json-1.0")
	to.Header.Set("X-Amz-Target", "GraniteServiceVersion20100801."+path.Base(r.URL.Path))
	resp, err := x.next.RoundTrip(to)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var out any
	if len(said) > 0 {
		err = json.Unmarshal(said, &out)
	}
	if err == nil {
		packed, err = cbor.Marshal(toCBOR("", out))
	}
	if err != nil {
		return nil, fmt.Errorf("the answer to %s, %s: %w", r.URL.Path, said, err)
	}
	resp.Header = http.Header{"Smithy-Protocol": {"rpc-v2-cbor"}, "Content-Type": {"application/cbor"}}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(packed)), int64(len(packed))
	return resp, nil
}

func toJSON(v any) any {
	switch v := v.(type) {
	case time.Time:
		return float64(v.UnixMilli()) / 1000
	case []any:
		for i := range v {
			v[i] = toJSON(v[i])
		}
	case map[any]any:
		out := map[string]any{}
		for name, x := range v {
			out[name.(string)] = toJSON(x)
		}
		return out
	}
	return v
}

// toCBOR needs the names, as a time in JSON is a number like any other.
func toCBOR(name string, v any) any {
	switch v := v.(type) {
	case float64:
		switch {
		case strings.HasSuffix(strings.TrimSuffix(name, "s"), "Timestamp"):
			return cbor.Tag{Number: 1, Content: v}
		case v == math.Trunc(v):
			return int64(v)
		}
	case []any:
		for i := range v {
			v[i] = toCBOR(name, v[i])
		}
	case map[string]any:
		for name, x := range v {
			if v[name] = toCBOR(name, x); x == nil {
				delete(v, name)
			}
		}
	}
	return v
}
