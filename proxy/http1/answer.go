package http1

import (
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// parseAnswer parses the head of an answer, up to and including its empty line.
func parseAnswer(head string) (*http.Response, error) {
	line, fields, _ := strings.Cut(head, "\n")
	line = strings.TrimSuffix(line, "\r")
	const version = "HTTP/1."
	if len(line) < len("HTTP/1.1 200") || !strings.HasPrefix(line, version) || line[7] < '0' || line[7] > '9' || line[8] != ' ' {
		return nil, malformed("the status line is not HTTP/1.1's: " + strconv.Quote(clip(line)))
	}
	status := line[9:]
	code := 0
	for _, d := range []byte(status[:3]) {
		if d < '0' || d > '9' {
			return nil, malformed("status is not three digits: " + strconv.Quote(clip(line)))
		}
		code = 10*code + int(d-'0')
	}
	if code < 100 || len(status) > 3 && status[3] != ' ' || !validValue(status) {
		return nil, malformed("invalid status: " + strconv.Quote(clip(line)))
	}
	header, err := parseFields(fields)
	if err != nil {
		return nil, err
	}
	minor := int(line[7] - '0')
	return &http.Response{
		Status: status, StatusCode: code, Proto: line[:8], ProtoMajor: 1, ProtoMinor: minor, Header: header,
	}, nil
}

// parseFields parses header or trailer lines, up to the empty one. The strings share
// the memory of s.
func parseFields(s string) (http.Header, error) {
	lines := strings.Count(s, "\n")
	header, values := make(http.Header, lines), make([]string, 0, lines)
	for {
		line, rest, _ := strings.Cut(s, "\n")
		s = rest
		line = strings.TrimSuffix(line, "\r")
		if line == "" {
			return header, nil
		}
		name, value, found := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		switch {
		case line[0] == ' ' || line[0] == '\t':
			return nil, malformed("a header line is folded")
		case !found || !validToken(name):
			return nil, malformed("invalid header line " + strconv.Quote(clip(line)))
		case !validValue(value):
			return nil, malformed("invalid value of header " + name)
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		if before := header[name]; before != nil {
			header[name] = append(before, value)
			continue
		}
		values = append(values, value)
		header[name] = values[len(values)-1 : len(values) : len(values)]
	}
}

// framing is how an answer's body ends.
type framing int

const (
	noBody framing = iota
	byLength
	byChunks
	byClose
	upgraded
)

// frame says how the body of an answer ends (RFC 9112 section 6.3), and sets what
// net/http sets in it.
func frame(resp *http.Response, method string) (framing, error) {
	length, err := contentLength(resp.Header)
	if err != nil {
		return 0, err
	}
	codings, chunked := resp.Header["Transfer-Encoding"]
	switch {
	case chunked && resp.ProtoMinor == 0:
		return 0, malformed("HTTP/1.0 with Transfer-Encoding")
	case chunked && length >= 0:
		return 0, malformed("both Content-Length and Transfer-Encoding")
	case chunked && (len(codings) != 1 || !strings.EqualFold(codings[0], "chunked")):
		return 0, malformed("unsupported Transfer-Encoding " + strconv.Quote(clip(strings.Join(codings, ", "))))
	}
	bodyless := resp.StatusCode < 200 || resp.StatusCode == http.StatusNoContent
	if bodyless && (chunked || length > 0) || resp.ProtoMinor == 0 || hasToken(resp.Header["Connection"], "close") {
		resp.Close = true // in the first case, whatever follows is not to be taken for an answer
	}
	if chunked {
		delete(resp.Header, "Transfer-Encoding")
		resp.TransferEncoding = []string{"chunked"}
		announceTrailers(resp)
	}
	resp.ContentLength = length
	switch {
	case method == http.MethodHead:
		return noBody, nil
	case bodyless || resp.StatusCode == http.StatusNotModified || length == 0:
		resp.ContentLength = 0
		return noBody, nil
	case chunked:
		return byChunks, nil
	case length > 0:
		return byLength, nil
	}
	resp.Close = true
	return byClose, nil
}

// contentLength returns -1 where there is none. Several that agree are made one.
func contentLength(h http.Header) (int64, error) {
	all := h["Content-Length"]
	if len(all) == 0 {
		return -1, nil
	}
	for _, one := range all[1:] {
		if one != all[0] {
			return 0, malformed("several Content-Length that differ")
		}
	}
	n, err := strconv.ParseUint(all[0], 10, 63)
	if err != nil {
		return 0, malformed("invalid Content-Length " + strconv.Quote(clip(all[0])))
	}
	h["Content-Length"] = all[:1]
	return int64(n), nil
}

func announceTrailers(resp *http.Response) {
	for _, list := range resp.Header["Trailer"] {
		for name := range strings.SplitSeq(list, ",") {
			if name = textproto.CanonicalMIMEHeaderKey(strings.Trim(name, " \t")); name != "" && !isFraming(name) {
				if resp.Trailer == nil {
					resp.Trailer = http.Header{}
				}
				resp.Trailer[name] = nil
			}
		}
	}
	delete(resp.Header, "Trailer")
}

// addTrailers adds what came after the last chunk.
func addTrailers(resp *http.Response, section string) error {
	if strings.Count(section, "\n") != strings.Count(section, "\r\n") {
		return malformed("a bare line feed among the trailers")
	}
	trailers, err := parseFields(section)
	for name, values := range trailers {
		if isFraming(name) {
			continue // as RFC 9110, 6.5.1 allows: the framing is over
		}
		if resp.Trailer == nil {
			resp.Trailer = http.Header{}
		}
		resp.Trailer[name] = values
	}
	return err
}

// parseChunkSize parses the line before a chunk: hex digits, and maybe an extension.
func parseChunkSize(line []byte) (int64, error) {
	text, ok := strings.CutSuffix(string(line), "\r\n")
	digits, _, _ := strings.Cut(text, ";")
	digits = strings.TrimRight(digits, " \t")
	n, err := strconv.ParseUint(digits, 16, 63)
	if !ok || err != nil || !validValue(text) {
		return 0, malformed("invalid chunk size " + strconv.Quote(clip(string(line))))
	}
	return int64(n), nil
}

// isFraming reports whether a field says how a message is framed or routed, in any
// spelling: those are the transport's in a request, and not for trailers.
func isFraming(name string) bool {
	switch len(name) {
	case len("Host"):
		return strings.EqualFold(name, "Host")
	case len("Trailer"):
		return strings.EqualFold(name, "Trailer")
	case len("Content-Length"):
		return strings.EqualFold(name, "Content-Length")
	case len("Transfer-Encoding"):
		return strings.EqualFold(name, "Transfer-Encoding")
	}
	return false
}

// hasToken looks for a token in the comma-separated lists of a header.
func hasToken(values []string, token string) bool {
	for _, list := range values {
		for one := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.Trim(one, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// tokenBytes are those that RFC 9110 section 5.6.2 allows in names.
var tokenBytes = func() (t [256]bool) {
	for _, b := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t[b] = true
	}
	return t
}()

func validToken(s string) bool {
	for i := range len(s) {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return s != ""
}

// validValue refuses control characters but the tab.
func validValue(s string) bool {
	for i := range len(s) {
		if b := s[i]; b < ' ' && b != '\t' || b == 0x7f {
			return false
		}
	}
	return true
}

// clip keeps what an upstream sent short in an error.
func clip(s string) string { return s[:min(len(s), 64)] }
