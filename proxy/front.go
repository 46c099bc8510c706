package proxy

import (
	"net/http"
	"net/textproto"
	"strings"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/proxy/shadow"
)

// refusal is why a request is answered by the front, without an upstream having seen it.
type refusal struct {
	status int
	detail string
}

// admit is the front policy: what may come in, whichever side it would go to. It returns the
// target in origin form, byte for byte as it came, or why the request is refused. The
// server before it has refused already what is not HTTP.
//
// A request with Transfer-Encoding is its connection's last: net/http does not say whether
// there was a Content-Length beside it, and then the connection has to be closed (RFC 9112,
// 6.1). So is one of HTTP/1.0.
func admit(w http.ResponseWriter, r *http.Request) (target string, no *refusal) {
	if r.ProtoMajor == 1 && (len(r.TransferEncoding) > 0 || r.ProtoMinor == 0) {
		w.Header().Set("Connection", "close")
	}
	switch {
	case r.Method == http.MethodConnect:
		return "", &refusal{http.StatusNotImplemented, "CONNECT is not supported"}
	case r.Method == "PRI" || r.ProtoMajor == 1 && r.RequestURI == "*":
		return "", &refusal{http.StatusBadRequest, "the request's target must be a path"}
	case r.ProtoMajor == 1 && r.ProtoMinor == 0 && r.ContentLength == 0 && hasBodyByMethod(r.Method) && r.Header["Content-Length"] == nil:
		// What an HTTP/1.0 client may have sent with Transfer-Encoding would be lost.
		return "", &refusal{http.StatusLengthRequired, "a request of HTTP/1.0 with a body needs a Content-Length"}
	case strings.Contains(r.Header.Get("Expect"), ",") || len(r.Header["Expect"]) > 1,
		r.Header.Get("Expect") != "" && !strings.EqualFold(r.Header.Get("Expect"), "100-continue"):
		return "", &refusal{http.StatusExpectationFailed, "the only expectation that is known is 100-continue"}
	}
	target = originForm(r)
	if !strings.HasPrefix(target, "/") {
		return "", &refusal{http.StatusBadRequest, "the request's target must be a path"}
	}
	return target, nil
}

func hasBodyByMethod(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

// originForm is the path and query as they came, without what a client put before them that
// took the proxy for a forward proxy (RFC 9112, 3.2.2). A fragment is none of a target's.
func originForm(r *http.Request) string {
	target, _, _ := strings.Cut(r.RequestURI, "#")
	if strings.HasPrefix(target, "/") {
		return target
	}
	if _, rest, absolute := strings.Cut(target, "://"); absolute {
		if i := strings.IndexAny(rest, "/?"); i < 0 {
			return "/"
		} else if rest[i] == '?' {
			return "/" + rest[i:]
		} else {
			return rest[i:]
		}
	}
	return target
}

// isHopByHop reports whether RFC 9110 (7.6.1) gives the header to one connection only.
// Http2-Settings is that of an upgrade that is never passed on.
func isHopByHop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade", "Http2-Settings":
		return true
	}
	return false
}

// isForwarding reports whether a header speaks for another address, host or path than those
// of the connection: only a trusted peer may. Applications that get their headers by CGI's
// rules cannot tell a hyphen from an underscore, so both are meant.
func isForwarding(name string) bool {
	if len(name) < len("Forwarded") {
		return false
	}
	if strings.IndexByte(name, '_') >= 0 {
		name = textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))
	}
	switch name {
	case "Forwarded", "X-Real-Ip", "X-Original-Url", "X-Rewrite-Url", "X-Original-Host", "X-Original-Uri", "X-Client-Ip", "X-Cluster-Client-Ip",
		"X-Original-Forwarded-For", "True-Client-Ip", "Cf-Connecting-Ip", "Fastly-Client-Ip", "Front-End-Https", "X-Url-Scheme", "X-Proxyuser-Ip":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded-")
}

// isOurs reports whether a header is the proxy's own word to a new API, or that one's to it.
func isOurs(name string) bool {
	if strings.IndexByte(name, '_') >= 0 {
		name = textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))
	}
	return name == events.HeaderReadAfter || name == events.HeaderWritten || name == shadow.HeaderShadow
}

// isAlias reports whether CGI's rules make of an unusual name one that has a meaning for
// framing, routing or identity.
func isAlias(name string) bool {
	if strings.IndexByte(name, '_') < 0 {
		return false
	}
	switch textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-")) {
	case "Content-Length", "Transfer-Encoding", "Content-Type", "Host", "Authorization", "Cookie":
		return true
	}
	return isHopByHop(textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-")))
}

// named are the headers that Connection gives to this connection only.
func named(h http.Header) map[string]bool {
	var out map[string]bool
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = textproto.TrimString(name); name == "" || strings.EqualFold(name, "close") || strings.EqualFold(name, "keep-alive") {
				continue
			}
			if out == nil {
				out = map[string]bool{}
			}
			out[textproto.CanonicalMIMEHeaderKey(name)] = true
		}
	}
	return out
}

// hasToken reports whether a header that is a list has the token.
func hasToken(values []string, token string) bool {
	for _, line := range values {
		for part := range strings.SplitSeq(line, ",") {
			if name, _, _ := strings.Cut(part, ";"); strings.EqualFold(textproto.TrimString(name), token) {
				return true
			}
		}
	}
	return false
}

// isWebSocket reports whether a request asks for the one protocol that connections are
// changed to. Every other upgrade is left out, as RFC 9110 (7.8) allows.
func isWebSocket(r *http.Request) bool {
	return r.Method == http.MethodGet && r.ProtoAtLeast(1, 1) && r.ProtoMajor == 1 && r.ContentLength == 0 && len(r.TransferEncoding) == 0 &&
		len(r.Header["Upgrade"]) == 1 && strings.EqualFold(r.Header["Upgrade"][0], "websocket") && hasToken(r.Header["Connection"], "upgrade")
}
