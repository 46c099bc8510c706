package linktest

import (
	"bytes"
	"context"
	"io"
	"net/http"
)

// bodyOf reads the body of a request, and gives the request the same one again.
func bodyOf(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, err
}

// send sends a request, whatever has become of its context, and drops the answer.
func (t transport) send(r *http.Request, body []byte) {
	again := r.Clone(context.WithoutCancel(r.Context()))
	again.Body = io.NopCloser(bytes.NewReader(body))
	resp, err := t.next.RoundTrip(again)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}
