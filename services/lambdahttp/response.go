package lambdahttp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"
)

// MaxResponse is the maximum size of a function's response in bytes, JSON and base64
// included (Lambda developer guide, "Lambda quotas": 6 MB).
const MaxResponse = 6 << 20

var errTooLarge = fmt.Errorf("the response exceeds Lambda's limit of %d bytes", MaxResponse)

// response collects the handler's response, by the rules of net/http's server.
type response struct {
	header http.Header // the handler's
	sent   http.Header // as it was at WriteHeader; nil before
	status int
	head   bool // the body is dropped
	body   bytes.Buffer
	err    error
}

func newResponse(method string) *response {
	return &response{header: http.Header{}, head: method == http.MethodHead}
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter: the first one counts, and informational
// ones (1xx) are dropped.
func (w *response) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %d", status))
	}
	if w.sent != nil || status < http.StatusOK {
		return
	}
	w.status, w.sent = status, w.header.Clone()
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.status == http.StatusNoContent || w.status == http.StatusNotModified {
		return 0, http.ErrBodyNotAllowed
	}
	if w.body.Len()+len(p) > MaxResponse {
		w.err = errTooLarge
		return 0, w.err
	}
	if _, named := w.sent["Content-Type"]; !named && w.body.Len() == 0 && len(p) > 0 && w.sent.Get("Content-Encoding") == "" {
		w.sent.Set("Content-Type", http.DetectContentType(p))
	}
	if w.head {
		return len(p), nil
	}
	return w.body.Write(p)
}

// Flush implements http.Flusher for handlers that need one. The response is sent whole
// at the end.
func (w *response) Flush() { w.WriteHeader(http.StatusOK) }

// payload is the function's response: with Headers and Cookies in payload format version 2.0,
// with MultiValueHeaders in 1.0.
type payload struct {
	StatusCode        int                 `json:"statusCode"`
	Headers           map[string]string   `json:"headers,omitempty"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders,omitempty"`
	Cookies           []string            `json:"cookies,omitempty"`
	Body              string              `json:"body"`
	IsBase64Encoded   bool                `json:"isBase64Encoded"`
}

// encode returns the function's response, in format 1.0 or 2.0.
func (w *response) encode(first bool) ([]byte, error) {
	w.WriteHeader(http.StatusOK) // if the handler wrote nothing
	if w.err != nil {
		return nil, w.err
	}
	a := payload{StatusCode: w.status, Headers: map[string]string{}, MultiValueHeaders: map[string][]string{}, Body: w.body.String()}
	for name, values := range w.sent {
		if first {
			for _, value := range values {
				a.MultiValueHeaders[name] = append(a.MultiValueHeaders[name], oneLine.Replace(value))
			}
			continue
		}
		if http.CanonicalHeaderKey(name) == "Set-Cookie" { // which cannot be joined
			a.Cookies = append(a.Cookies, values...)
			continue
		}
		if len(values) > 0 {
			a.Headers[name] = oneLine.Replace(strings.Join(values, ", "))
		}
	}
	if !utf8.ValidString(a.Body) {
		a.Body, a.IsBase64Encoded = base64.StdEncoding.EncodeToString(w.body.Bytes()), true
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // escaping costs six bytes for each "<"
	if err := e.Encode(a); err != nil {
		return nil, err
	}
	if text.Len() > MaxResponse {
		return nil, errTooLarge
	}
	return text.Bytes(), nil
}

// oneLine removes line breaks, so that a value cannot add headers.
var oneLine = strings.NewReplacer("\r", " ", "\n", " ")
