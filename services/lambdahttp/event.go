package lambdahttp

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/banyan-fig/banyan/events/correlation"
)

// ErrEvent is returned for an event that is not a request of API Gateway or a function URL. It
// fails the invocation, so that the sender gets an error; clients cannot send such an event.
var ErrEvent = errors.New("not a request of API Gateway or a function URL")

// event holds the fields that are read. The format 2.0 is in the developer guide of API
// Gateway, "Create AWS Lambda proxy integrations for HTTP APIs".
type event struct {
	Version         string            `json:"version"`
	RawPath         string            `json:"rawPath"` // with the stage
	RawQueryString  string            `json:"rawQueryString"`
	Cookies         []string          `json:"cookies"`
	Headers         map[string]string `json:"headers"` // values joined by commas
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
	RequestContext  struct {
		DomainName string `json:"domainName"`
		RequestID  string `json:"requestId"`
		Stage      string `json:"stage"`
		HTTP       struct {
			Method   string `json:"method"`
			Protocol string `json:"protocol"`
			SourceIP string `json:"sourceIp"`
		} `json:"http"`
	} `json:"requestContext"`
	first // what format 1.0 has in the place of these
}

// first is the fields of format 1.0, which REST APIs have, and HTTP APIs that are told to. It
// is in the guide's "Input format of a Lambda function for proxy integration". Those of REST
// APIs have no version.
type first struct {
	HTTPMethod        string              `json:"httpMethod"`
	Path              string              `json:"path"` // of REST APIs: encoded, without the stage
	MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
	MultiValueQuery   map[string][]string `json:"multiValueQueryStringParameters"`
}

func (e *event) isFirst() bool { return e.Version == "" || e.Version == "1.0" }

// hasEncodedPath reports whether the path is as the client sent it. HTTP APIs decode it, REST
// APIs and function URLs do not: https://github.com/hotsock/voker/pull/8 has requests of each.
func (e *event) hasEncodedPath() bool {
	return e.Version == "" || strings.Contains(e.RequestContext.DomainName, ".lambda-url.")
}

// parse reads an event and gives one of format 1.0 the fields of 2.0.
func parse(payload []byte) (e event, err error) {
	if err := json.Unmarshal(payload, &e); err != nil {
		return e, fmt.Errorf("%w: %w", ErrEvent, err)
	}
	if e.isFirst() {
		var context struct {
			RequestContext struct {
				Protocol string
				Identity struct{ SourceIP string }
				ELB      json.RawMessage
			}
		}
		if err := json.Unmarshal(payload, &context); err != nil {
			return e, fmt.Errorf("%w: %w", ErrEvent, err)
		}
		e.RawPath, e.RawQueryString = e.Path, url.Values(e.MultiValueQuery).Encode()
		e.RequestContext.HTTP.Method, e.RequestContext.HTTP.Protocol = e.HTTPMethod, context.RequestContext.Protocol
		e.RequestContext.HTTP.SourceIP = context.RequestContext.Identity.SourceIP
		if context.RequestContext.ELB != nil {
			return e, fmt.Errorf("%w: it is of a load balancer", ErrEvent)
		}
	}
	if !e.isFirst() && e.Version != "2.0" || e.RequestContext.HTTP.Method == "" || e.isFirst() && e.MultiValueHeaders == nil {
		return e, fmt.Errorf("%w: its version is %.20q and its method %.20q; call the function by an HTTP API, a REST API with a proxy integration, "+
			"or a function URL", ErrEvent, e.Version, e.RequestContext.HTTP.Method)
	}
	return e, nil
}

// parseRequest makes the request that net/http's server would make. ErrEvent.
func parseRequest(ctx context.Context, e event) (*http.Request, error) {
	body, err := e.body()
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, e.RequestContext.HTTP.Method, "/", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEvent, err)
	}
	if r.URL, err = e.url(); err != nil {
		return nil, err
	}
	if r.Header, err = e.header(len(body)); err != nil {
		return nil, err
	}
	r.RequestURI = r.URL.RequestURI()
	r.Host = cmp.Or(r.Header.Get("Host"), e.RequestContext.DomainName)
	r.Header.Del("Host") // as a server does
	r.RemoteAddr = e.remoteAddr()
	if major, minor, ok := http.ParseHTTPVersion(e.RequestContext.HTTP.Protocol); ok {
		r.Proto, r.ProtoMajor, r.ProtoMinor = e.RequestContext.HTTP.Protocol, major, minor
	}
	ids := correlation.FromHeader(r.Header)
	correlation.Inject(correlation.With(ctx, ids), r.Header)
	return r.WithContext(correlation.With(ctx, ids)), nil
}

func (e *event) body() ([]byte, error) {
	if !e.IsBase64Encoded {
		return []byte(e.Body), nil
	}
	body, err := base64.StdEncoding.DecodeString(e.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: invalid base64 in its body: %w", ErrEvent, err)
	}
	return body, nil
}

func (e *event) url() (*url.URL, error) {
	path := e.RawPath
	if prefix := "/" + e.RequestContext.Stage; e.Version != "" && e.RequestContext.Stage != "" && e.RequestContext.Stage != "$default" {
		if rest, ok := strings.CutPrefix(path, prefix); ok && (rest == "" || rest[0] == '/') {
			path = rest
		}
	}
	path = cmp.Or(path, "/")
	if path[0] != '/' {
		return nil, fmt.Errorf("%w: invalid path %.100q: it must begin with a slash", ErrEvent, path)
	}
	u := &url.URL{Path: path, RawQuery: e.RawQueryString}
	if e.hasEncodedPath() {
		decoded, err := url.PathUnescape(path)
		if err != nil {
			return nil, fmt.Errorf("%w: invalid path %.100q: %w", ErrEvent, path, err)
		}
		u.Path, u.RawPath = decoded, path
	}
	return u, nil
}

// header returns the client's headers; in format 2.0 a repeated header is one line.
func (e *event) header(body int) (http.Header, error) {
	all := e.MultiValueHeaders
	if !e.isFirst() {
		all = make(map[string][]string, len(e.Headers))
		for name, value := range e.Headers {
			all[name] = []string{value}
		}
	}
	h := http.Header{}
	for name, values := range all {
		for _, value := range values {
			if name == "" || strings.ContainsAny(name, " \t\r\n:\x00") || strings.ContainsAny(value, "\r\n\x00") {
				return nil, fmt.Errorf("%w: invalid header %.100q", ErrEvent, name)
			}
			h.Add(name, value)
		}
	}
	if cookies := strings.Join(e.Cookies, "; "); cookies != "" && !strings.ContainsAny(cookies, "\r\n\x00") {
		h.Set("Cookie", cookies)
	}
	if h.Get("Content-Length") != "" {
		h.Set("Content-Length", strconv.Itoa(body))
	}
	h.Del("Transfer-Encoding") // the body is whole
	if h.Get(correlation.HeaderCorrelation) == "" && e.RequestContext.RequestID != "" {
		h.Set(correlation.HeaderCorrelation, e.RequestContext.RequestID)
	}
	return h, nil
}

// remoteAddr returns the client's address with a port, as servers do; the real port
// is not known.
func (e *event) remoteAddr() string {
	if _, err := netip.ParseAddr(e.RequestContext.HTTP.SourceIP); err != nil {
		return ""
	}
	return net.JoinHostPort(e.RequestContext.HTTP.SourceIP, "0")
}
