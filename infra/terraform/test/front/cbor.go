package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

// CloudWatch's newer clients speak Smithy's RPC v2 in CBOR, which moto does not
// know; it knows the same operations in JSON.
const graniteOperations = "/service/GraniteServiceVersion20100801/operation/"

var plainMaps = func() cbor.DecMode {
	mode, err := cbor.DecOptions{DefaultMapType: reflect.TypeFor[map[string]any]()}.DecMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

// translate answers a request in CBOR by moto's answer to the same in JSON.
func (f *front) translate(w http.ResponseWriter, r *http.Request, operation string) {
	status, out, err := f.inJSON(r, operation)
	if err == nil {
		var body []byte
		if body, err = cbor.Marshal(out); err == nil {
			w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
			w.Header().Set("Content-Type", "application/cbor")
			w.WriteHeader(status)
			_, _ = w.Write(body)
			return
		}
	}
	http.Error(w, err.Error(), http.StatusBadGateway)
}

func (f *front) inJSON(r *http.Request, operation string) (int, any, error) {
	in := map[string]any{}
	if body, err := io.ReadAll(r.Body); err != nil {
		return 0, nil, err
	} else if len(body) > 0 {
		if err := plainMaps.Unmarshal(body, &in); err != nil {
			return 0, nil, fmt.Errorf("the request %s: %w", operation, err)
		}
	}
	body, err := json.Marshal(in)
	if err != nil {
		return 0, nil, fmt.Errorf("the request %s: %w", operation, err)
	}
	to, err := http.NewRequestWithContext(r.Context(), http.MethodPost, f.behind, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	to.Header.Set("Authorization", r.Header.Get("Authorization"))
	to.Header.Set("Content-Type", "application/x-amz-json-1.0")
	to.Header.Set("X-Amz-Target", "GraniteServiceVersion20100801."+operation)
	answer, err := http.DefaultClient.Do(to)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	decoder := json.NewDecoder(answer.Body)
	decoder.UseNumber()
	var out any
	if err := decoder.Decode(&out); err != nil {
		return 0, nil, fmt.Errorf("the response to %s: %w", operation, err)
	}
	return answer.StatusCode, typed("", out), nil
}

// typed gives numbers the types they have in CBOR: points in time are tagged.
func typed(name string, value any) any {
	switch v := value.(type) {
	case map[string]any:
		for member := range v {
			v[member] = typed(member, v[member])
		}
	case []any:
		for i := range v {
			v[i] = typed(name, v[i])
		}
	case json.Number:
		float, _ := v.Float64()
		if strings.HasSuffix(name, "Timestamp") || name == "LastModified" {
			return cbor.Tag{Number: 1, Content: float}
		}
		if whole, err := v.Int64(); err == nil {
			return whole
		}
		return float
	}
	return value
}
