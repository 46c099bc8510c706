package httpapi

import (
	"encoding/base64"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/google/uuid"
)

// Whose API it is.
const (
	account = "000000000000"
	api     = "sandbox"
)

// hopByHop headers are for the next one only (RFC 9110, 7.6.1).
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te",
	"Trailer", "Transfer-Encoding", "Upgrade"}

// endToEnd is a copy of h with the headers that go on.
func endToEnd(h http.Header) http.Header {
	h = h.Clone()
	for _, value := range h["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range hopByHop {
		h.Del(name)
	}
	return h
}

// newEvent is what the function gets of a request.
func newEvent(r *http.Request, stage, id string, body []byte) awsevents.APIGatewayV2HTTPRequest {
	path, _, _ := strings.Cut(r.URL.Path, "?")
	ip, port := address(r)
	header := endToEnd(r.Header)
	e := awsevents.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: defaultStage, RawPath: path, RawQueryString: r.URL.RawQuery,
		QueryStringParameters: parameters(r.URL.RawQuery), Cookies: cookies(header),
	}
	header.Del("Cookie")
	header.Set("Host", r.Host)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Add("X-Forwarded-For", ip)
	header.Set("X-Forwarded-Proto", "http")
	header.Set("X-Forwarded-Port", port)
	if header.Get("X-Amzn-Trace-Id") == "" {
		header.Set("X-Amzn-Trace-Id", traceID())
	}
	e.Headers = joined(header)
	e.Headers["x-forwarded-for"] = strings.Join(header["X-Forwarded-For"], ", ")
	e.Body, e.IsBase64Encoded = encoded(body, header.Get("Content-Type"))
	now, host := time.Now().UTC(), hostname(r.Host)
	prefix, _, _ := strings.Cut(host, ".")
	e.RequestContext = awsevents.APIGatewayV2HTTPRequestContext{
		RouteKey: defaultStage, AccountID: account, Stage: stage, RequestID: id, APIID: api,
		DomainName: host, DomainPrefix: prefix, Time: now.Format("02/Jan/2006:15:04:05 -0700"), TimeEpoch: now.UnixMilli(),
		HTTP: awsevents.APIGatewayV2HTTPRequestContextHTTPDescription{
			Method: r.Method, Path: path, Protocol: r.Proto, SourceIP: ip, UserAgent: r.UserAgent(),
		},
	}
	return e
}

// address is where the client is, and the port that it came to.
func address(r *http.Request) (ip, port string) {
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		_, port, _ = net.SplitHostPort(local.String())
	}
	ip, _, _ = net.SplitHostPort(r.RemoteAddr)
	return ip, port
}

func hostname(host string) string { return (&url.URL{Host: host}).Hostname() }

func cookies(h http.Header) (out []string) {
	for _, line := range h["Cookie"] {
		for cookie := range strings.SplitSeq(line, ";") {
			if cookie = strings.TrimSpace(cookie); cookie != "" {
				out = append(out, cookie)
			}
		}
	}
	return out
}

// joined has names in lower case, and one value each.
func joined(h http.Header) map[string]string {
	out := make(map[string]string, len(h))
	for name, values := range h {
		out[strings.ToLower(name)] = strings.Join(values, ",")
	}
	return out
}

// parameters are those that can be understood; the function has the whole query too.
func parameters(query string) map[string]string {
	values, _ := url.ParseQuery(query) // what it can
	out := make(map[string]string, len(values))
	for name, v := range values {
		out[name] = strings.Join(v, ",")
	}
	return out
}

// encoded is how a body goes into JSON.
func encoded(body []byte, contentType string) (text string, coded bool) {
	kind, _, _ := mime.ParseMediaType(contentType) // "" is binary
	plain := strings.HasPrefix(kind, "text/") || kind == "application/json" || kind == "application/xml" || kind == "application/javascript"
	if len(body) == 0 || plain && utf8.Valid(body) {
		return string(body), false
	}
	return base64.StdEncoding.EncodeToString(body), true
}

// traceID is a root for X-Ray, as API Gateway makes it.
func traceID() string {
	random := strings.ReplaceAll(uuid.NewString(), "-", "")
	return "Root=1-" + strconv.FormatInt(time.Now().Unix(), 16) + "-" + random[:24]
}
