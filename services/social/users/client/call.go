package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/banyan-fig/banyan/events/correlation"
)

// call is one request to make, as often as needed.
type call struct {
	method, path string
	ifMatch      string
	in, out      any
}

// answer is a response with its decoded body.
type answer struct {
	status int
	header http.Header
}

func (r call) name(err error) error {
	if err == nil {
		return nil
	}
	path, _, _ := strings.Cut(r.path, "?")
	return fmt.Errorf("%s %s: %w", r.method, path, err)
}

func (r call) encode() ([]byte, error) {
	if r.in == nil {
		return nil, nil
	}
	body, err := json.Marshal(r.in)
	if err != nil {
		return nil, fmt.Errorf("%s %s: encode the request: %w", r.method, r.path, err)
	}
	return body, nil
}

// send makes one request and reads the whole response.
func (c *Client) send(ctx context.Context, r call, body []byte) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.AttemptTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, bytes.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	correlation.Inject(ctx, req.Header)
	req.Header.Set("Accept", "application/json, application/problem+json")
	if r.in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.ifMatch != "" {
		req.Header.Set("If-Match", r.ifMatch)
	}
	res, err := c.cfg.HTTP.Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer func() { _ = res.Body.Close() }()
	return c.read(res, r)
}

func (c *Client) read(res *http.Response, r call) (answer, error) {
	a := answer{status: res.StatusCode, header: res.Header}
	body, err := io.ReadAll(io.LimitReader(res.Body, c.cfg.MaxBody+1))
	if err != nil {
		return a, fmt.Errorf("%w: read the answer: %w", ErrUnavailable, err)
	}
	if int64(len(body)) > c.cfg.MaxBody {
		return a, fmt.Errorf("%w: it has more than %d bytes", ErrResponse, c.cfg.MaxBody)
	}
	if a.status >= 300 {
		var p problem
		_ = json.Unmarshal(body, &p) // a response without a problem still has its status
		return a, p.error(a.status)
	}
	if r.out == nil {
		return a, nil
	}
	if err := json.Unmarshal(body, r.out); err != nil {
		return a, fmt.Errorf("%w: %w", ErrResponse, err)
	}
	return a, nil
}
