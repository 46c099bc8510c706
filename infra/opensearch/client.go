// Package opensearch is the part of the API that OpenSearch and Elasticsearch have in
// common, over plain HTTP: documents by _bulk, and requests of JSON. The official client
// (opensearch-go) would add half a megabyte to a function's archive for these calls, and its
// retries would be beside ours.
//
// A document without a version is created, never replaced; with one, it replaces those of
// lower versions. What it does not replace answers with the status 409, which marks a
// redelivery, or a late one.
package opensearch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Item is a document to write.
type Item struct {
	Index, ID string
	Body      []byte // one line of JSON, without its end
	Version   int64  // of type external; 0: the document must not be there yet
	// Alias says that Index must be an alias: if there is none, the status is 404. Otherwise
	// an index that is missing is made, unless the server is set up not to.
	Alias bool
}

func (i Item) action() string {
	if i.Version > 0 {
		return "index"
	}
	return "create"
}

// overhead is more than the action line of an item has besides its names.
const overhead = 96

// Size is how many bytes of a request the item takes, at most.
func (i Item) Size() int { return len(i.Index) + len(i.ID) + len(i.Body) + overhead }

// Status is what became of one item.
type Status struct {
	Code         int
	Type, Reason string // of an error
}

// Config of a client.
type Config struct {
	// URL of the server or domain.
	URL string
	// HTTP sends the requests; nil means a client of its own, without redirects.
	HTTP *http.Client
	// Timeout bounds one request; 0 means 30 s.
	Timeout time.Duration
	// Sign adds what a request is known by, such as by [SigV4] or [Basic]; nil
	// adds nothing.
	Sign func(ctx context.Context, r *http.Request, body []byte) error
}

const (
	defaultTimeout = 30 * time.Second
	maxAnswer      = 64 << 20
	maxReason      = 500 // bytes of an error that are kept
)

// Client is safe for concurrent use.
type Client struct {
	cfg  Config
	base string
}

// New makes a client, or says what is wrong with the URL.
func New(cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("opensearch: invalid URL %q: must be the http or https URL of the domain", cfg.URL)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{}
	}
	plain := *cfg.HTTP
	plain.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // it would carry credentials elsewhere
	cfg.HTTP = &plain
	return &Client{cfg: cfg, base: strings.TrimSuffix(cfg.URL, "/")}, nil
}

// Error is an answer to a whole request that is no success.
type Error struct {
	Status int
	Reason string
	// After is how long the server asks to wait, 0 if it does not.
	After time.Duration
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("opensearch: status %d: %s", e.Status, e.Reason) }

// ErrAnswer is returned for an answer that does not fit the request; what was
// done of it is not known.
var ErrAnswer = errors.New("opensearch: the answer does not fit the request")

// Bulk writes the items and returns what became of each. An error means that
// nothing is known of any: an *Error, ErrAnswer, or one of the connection.
func (c *Client) Bulk(ctx context.Context, items []Item) ([]Status, error) {
	var body bytes.Buffer
	for _, i := range items {
		target := map[string]any{"_index": i.Index, "_id": i.ID}
		if i.Version > 0 {
			target["version"], target["version_type"] = i.Version, "external"
		}
		if i.Alias {
			target["require_alias"] = true
		}
		action, err := json.Marshal(map[string]any{i.action(): target})
		if err != nil {
			return nil, fmt.Errorf("opensearch: action of %s: %w", i.ID, err)
		}
		for _, part := range [][]byte{action, {'\n'}, i.Body, {'\n'}} {
			body.Write(part)
		}
	}
	var answer struct {
		Items []map[string]struct {
			Status int
			Error  struct{ Type, Reason string }
		}
	}
	const what = "/_bulk?filter_path=items.*.status,items.*.error.type,items.*.error.reason"
	if err := c.Do(ctx, http.MethodPost, what, Lines, body.Bytes(), &answer); err != nil {
		return nil, err
	}
	if len(answer.Items) != len(items) {
		return nil, fmt.Errorf("%w: %d items of %d", ErrAnswer, len(answer.Items), len(items))
	}
	out := make([]Status, len(items))
	for i, one := range answer.Items {
		written, ok := one[items[i].action()]
		if !ok {
			return nil, fmt.Errorf("%w: item %d was not written", ErrAnswer, i)
		}
		out[i] = Status{written.Status, written.Error.Type, cut(written.Error.Reason)}
	}
	return out, nil
}

// PutTemplate creates or replaces an index template.
func (c *Client) PutTemplate(ctx context.Context, name string, template []byte) error {
	return c.Do(ctx, http.MethodPut, "/_index_template/"+url.PathEscape(name), JSON, template, nil)
}

// Content types of requests.
const (
	JSON  = "application/json"
	Lines = "application/x-ndjson" // JSON, each on a line
)

// Do sends a request, whose path may have a query, and decodes its answer unless into is nil.
// It fails as Bulk does.
func (c *Client) Do(ctx context.Context, method, path, content string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("opensearch: %w", err)
	}
	r.Header.Set("Content-Type", content)
	if c.cfg.Sign != nil {
		if err := c.cfg.Sign(ctx, r, body); err != nil {
			return fmt.Errorf("opensearch: sign the request: %w", err)
		}
	}
	resp, err := c.cfg.HTTP.Do(r)
	if err != nil {
		return fmt.Errorf("opensearch: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("opensearch: read the answer: %w", err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return &Error{Status: resp.StatusCode, Reason: cut(string(text)), After: after(resp.Header.Get("Retry-After"))}
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return nil
}

// maxAfter bounds what a server may ask for.
const maxAfter = time.Minute

func after(header string) time.Duration {
	seconds, err := strconv.Atoi(header)
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxAfter)
}

func cut(reason string) string { return strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "") }

// SigV4 signs for a domain of the Amazon OpenSearch Service.
func SigV4(credentials aws.CredentialsProvider, region string, now func() time.Time) func(context.Context, *http.Request, []byte) error {
	signer := v4.NewSigner()
	return func(ctx context.Context, r *http.Request, body []byte) error {
		c, err := credentials.Retrieve(ctx)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		hash := hex.EncodeToString(sum[:])
		r.Header.Set("X-Amz-Content-Sha256", hash)
		return signer.SignHTTP(ctx, c, r, hash, "es", region, now())
	}
}

// Basic adds a user and a password, asked for at each request, so that they can
// be rotated.
func Basic(ask func(context.Context) (user, password string, err error)) func(context.Context, *http.Request, []byte) error {
	return func(ctx context.Context, r *http.Request, _ []byte) error {
		user, password, err := ask(ctx)
		if err != nil {
			return err
		}
		r.SetBasicAuth(user, password)
		return nil
	}
}
