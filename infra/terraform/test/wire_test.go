package terraform_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// What the SDK's clients are no dependency of Banyan for is asked as they would ask.

// home is the region of the example.
const home = "us-east-1"

// query asks a service that has the query protocol.
func query(t *testing.T, endpoint, service, region, version, action string, into any, parameters ...string) {
	t.Helper()
	form := url.Values{"Action": {action}, "Version": {version}}
	for i := 0; i < len(parameters); i += 2 {
		form.Set(parameters[i], parameters[i+1])
	}
	body := send(t, http.MethodPost, endpoint, region+"/"+service, strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")
	if err := xml.Unmarshal(body, into); err != nil {
		t.Fatalf("%s: %v\n%s", action, err, body)
	}
}

// ask asks a service that has the JSON protocol.
func ask(t *testing.T, endpoint, service, target string, in, into any) {
	t.Helper()
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	body := send(t, http.MethodPost, endpoint, home+"/"+service, bytes.NewReader(text), "Content-Type", "application/x-amz-json-1.1", "X-Amz-Target", target)
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("%s: %v\n%s", target, err, body)
	}
}

// get asks a service that has resources.
func get(t *testing.T, endpoint, service, path string, into any) {
	t.Helper()
	body := send(t, http.MethodGet, endpoint+path, home+"/"+service, nil)
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("%s: %v\n%s", path, err, body)
	}
}

// send sends a request whose scope is a region and a service.
func send(t *testing.T, method, url, scope string, body io.Reader, header ...string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/"+scope+"/aws4_request, SignedHeaders=host, Signature=0")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	out, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	text, err := io.ReadAll(out.Body)
	if err != nil || out.StatusCode != http.StatusOK {
		t.Fatalf("%s %s of %s: %s, %v\n%s", method, url, scope, out.Status, err, text)
	}
	return text
}
