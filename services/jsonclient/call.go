package jsonclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/correlation"
)

// Call is one request to make, as often as needed: it must be idempotent.
type Call struct {
	Method, Path string // Path with the query
	// IfVersion is the version that the resource must have.
	IfVersion *int64
	// In becomes the body; Out is what the body of the response is read into. Nil for neither.
	In, Out any
}

// Answer is a response; its body is in Call.Out.
type Answer struct {
	Status int
	Header http.Header
}

// Written is the position of the last event of a write; zero where the write had none.
func (a Answer) Written() (events.Position, error) {
	text := a.Header.Get(events.HeaderWritten)
	if text == "" {
		return events.Position{}, nil
	}
	at, err := events.ParsePosition(text)
	if err != nil {
		err = fmt.Errorf("header %s: %w: %w", events.HeaderWritten, ErrResponse, err)
	}
	return at, err
}

func (r Call) name(err error) error {
	if err == nil {
		return nil
	}
	path, _, _ := strings.Cut(r.Path, "?")
	return fmt.Errorf("%s %s: %w", r.Method, path, err)
}

func (r Call) encode() ([]byte, error) {
	if r.In == nil {
		return nil, nil
	}
	body, err := json.Marshal(r.In)
	if err != nil {
		return nil, fmt.Errorf("%s %s: encode the request: %w", r.Method, r.Path, err)
	}
	return body, nil
}

// send makes one request and reads the whole response.
func (c *Client) send(ctx context.Context, r Call, body []byte) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.AttemptTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.Method, c.bases[c.at.Load()%uint64(len(c.bases))]+r.Path, bytes.NewReader(body))
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	correlation.Inject(ctx, req.Header)
	req.Header.Set("Accept", "application/json, application/problem+json")
	if r.In != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.IfVersion != nil {
		req.Header.Set("If-Match", strconv.Quote(strconv.FormatInt(*r.IfVersion, 10)))
	}
	res, err := c.cfg.HTTP.Do(req)
	if err != nil {
		if dial, ok := errors.AsType[*net.OpError](err); r.Method != http.MethodGet && (!ok || dial.Op != "dial") {
			c.unknown.Add(1)
		}
		return Answer{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer func() { _ = res.Body.Close() }()
	return c.read(res, r)
}

func (c *Client) read(res *http.Response, r Call) (Answer, error) {
	a := Answer{Status: res.StatusCode, Header: res.Header}
	body, err := io.ReadAll(io.LimitReader(res.Body, c.cfg.MaxBody+1))
	if err != nil {
		return a, fmt.Errorf("%w: read the answer: %w", ErrUnavailable, err)
	}
	if int64(len(body)) > c.cfg.MaxBody {
		return a, fmt.Errorf("%w: it has more than %d bytes", ErrResponse, c.cfg.MaxBody)
	}
	if a.Status >= 300 {
		var p problem
		_ = json.Unmarshal(body, &p) // a response without a problem still has its status
		return a, p.error(a.Status, c.problems)
	}
	if r.Out == nil {
		return a, nil
	}
	if err := json.Unmarshal(body, r.Out); err != nil {
		return a, fmt.Errorf("%w: %w", ErrResponse, err)
	}
	return a, nil
}
