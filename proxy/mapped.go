package proxy

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/banyan-fig/banyan/proxy/mapping"
	"github.com/banyan-fig/banyan/proxy/observation"
	"github.com/banyan-fig/banyan/proxy/route"
)

// scope is what the templates of the route refer to.
func (x *exchange) scope(header http.Header) *mapping.Scope {
	s := &mapping.Scope{Subject: x.subject(), Method: x.in.Method, Query: mapping.ParseValues(x.query), Header: header, Request: x.mapBody}
	for i, p := range x.plan.Params {
		if i == len(x.plan.Params)-1 {
			s.Rest = p.Raw // looked at only where the pattern ends in a rest
		}
		s.Params = append(s.Params, mapping.Pair{Name: p.Name, Value: p.Value})
	}
	return s
}

// mapRequest makes of the outbound request, which is as it came, that of the new API.
func (x *exchange) mapRequest(out *http.Request, s *side) *failure {
	r := s.mapped
	if r.Request.UsesBody() || r.Response.UsesRequest() {
		if f := x.readBody(); f != nil {
			return f
		}
		out.Body, out.ContentLength = http.NoBody, 0
		if len(x.rawBody) > 0 {
			out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(x.rawBody)), int64(len(x.rawBody))
		}
	}
	scope := x.scope(out.Header)
	scope.Body = x.mapBody
	mapped, err := r.Request.Map(scope, out.Header)
	if err != nil {
		return &failure{observation.RequestUnmappable, fmt.Errorf("the request cannot be mapped: %w", err)}
	}
	if mapped.Method != "" {
		out.Method = mapped.Method
	}
	path, query := x.path, x.query
	if mapped.Path != "" {
		path = mapped.Path
	}
	if mapped.HasQuery {
		query = mapped.Query
	}
	if mapped.Path != "" || mapped.HasQuery {
		if out.URL.Opaque = path; query != "" {
			out.URL.Opaque += "?" + query
		}
	}
	if mapped.HasBody {
		if f := x.skipBody(); f != nil {
			return f
		}
		out.Body, out.ContentLength = http.NoBody, int64(len(mapped.Body))
		if len(mapped.Body) > 0 {
			out.Body = io.NopCloser(bytes.NewReader(mapped.Body))
		}
		out.Trailer = nil
		delete(out.Header, "Content-Encoding")
		if delete(out.Header, "Content-Type"); mapped.ContentType != "" {
			out.Header["Content-Type"] = []string{mapped.ContentType}
		}
	}
	if r.Response.Changes(http.StatusOK) {
		x.negotiate(out)
	}
	return nil
}

// readBody reads and decodes the client's body, within the limits of what may be mapped.
func (x *exchange) readBody() *failure {
	if x.rawBody != nil || !x.body.expected() {
		return nil
	}
	limit := x.live.table.MaxMapped
	x.body.held = true
	raw, err := io.ReadAll(io.LimitReader(x.body, limit+1))
	if f := x.body.failure(); f != nil {
		return f
	}
	tooLarge := &failure{observation.ClientTooLarge, fmt.Errorf("a body that is mapped must have at most %d bytes", limit)}
	if int64(len(raw)) > limit {
		return tooLarge
	}
	plain := raw
	if isGzip(x.in.Header) && err == nil {
		if plain, err = gunzip(raw, limit); errors.Is(err, mapping.ErrTooLarge) {
			return tooLarge
		}
	}
	if err == nil {
		x.mapBody, err = mapping.DecodeBody(x.in.Header.Get("Content-Type"), plain)
	}
	if err != nil {
		return &failure{observation.RequestUnmappable, fmt.Errorf("the request's body cannot be mapped: %w", err)}
	}
	x.rawBody = raw
	return nil
}

// skipBody reads a short body that is not sent, so that the connection can be used again.
func (x *exchange) skipBody() *failure {
	if x.body.unfinished() && !x.body.streams() {
		x.body.held = true
		_, _ = io.Copy(io.Discard, x.body) // failure has the error
	}
	return x.body.failure()
}

// negotiate takes back what the client said of a representation that it will not get: the
// one that the new API has is not its. Tags come back as the proxy gave them out; what is no
// tag of this mapping cannot match, and a precondition must then fail.
func (x *exchange) negotiate(out *http.Request) {
	h := out.Header
	for _, name := range []string{"Range", "If-Range", "If-Modified-Since", "A-Im", "Want-Digest", "Want-Content-Digest", "Want-Repr-Digest"} {
		delete(h, name)
	}
	accepted := "identity"
	if acceptsGzip(x.in.Header) {
		accepted = "gzip"
	}
	h["Accept-Encoding"] = []string{accepted}
	if tags := h["If-None-Match"]; tags != nil {
		h["If-None-Match"] = x.ownTags(tags, false)
		if len(h["If-None-Match"]) == 0 {
			delete(h, "If-None-Match")
		}
	}
	if tags := h["If-Match"]; tags != nil {
		h["If-Match"] = x.ownTags(tags, true)
	}
	if out.Method == http.MethodHead {
		out.Method = http.MethodGet // the head has the length and the tag of a body that has to be made
	}
}

// tagSuffix makes a tag of the mapped representation of that of the new API's.
func (x *exchange) tagSuffix() string { return "." + x.live.table.Digest + `"` }

func (x *exchange) ownTags(lines []string, others bool) (out []string) {
	for _, line := range lines {
		for tag := range strings.SplitSeq(line, ",") {
			tag = strings.TrimSpace(tag)
			if inner, own := strings.CutSuffix(tag, x.tagSuffix()); own {
				out = append(out, inner+`"`)
			} else if others || tag == "*" {
				out = append(out, tag)
			}
		}
	}
	if len(out) > 0 {
		out = []string{strings.Join(out, ", ")}
	}
	return out
}

// deliverMapped gives the answer to the client in the old shape. One that cannot be mapped is
// nobody's failure to answer: what was written is written, and so the client of a write gets
// the answer as it is.
func (x *exchange) deliverMapped(ctx context.Context, dog *watchdog, s *side, answer *http.Response) *failure {
	m := s.mapped.Response
	if !m.Changes(answer.StatusCode) && !m.UsesBody() || answer.StatusCode/100 == 3 {
		return x.deliverHead(ctx, dog, s, answer)
	}
	raw, whole, err := readUpTo(answer.Body, x.live.table.MaxMapped)
	if err != nil {
		return x.classify(ctx, err)
	}
	h := answer.Header.Clone()
	compressed := isGzip(h)
	made, err := x.mapAnswer(m, answer, h, raw, whole)
	switch {
	case err == nil && made.HasBody:
		return x.sendMapped(h, made, compressed, s)
	case err == nil:
		answer.StatusCode = made.Status
		x.writeHead(answer, h)
		return x.stream(ctx, dog, s, answer, bytes.NewReader(raw))
	}
	f := &failure{observation.AnswerUnmappable, fmt.Errorf("status %d, %q: %w", answer.StatusCode, answer.Header.Get("Content-Type"), err)}
	if answer.StatusCode < 400 && route.IsSafe(x.in.Method) {
		return f
	}
	s.attempt.Cause, s.attempt.Err = f.cause, f.err
	x.warn(s, f)
	if answer.StatusCode >= 400 {
		x.refuse(answer.StatusCode, http.StatusText(answer.StatusCode))
		return nil
	}
	x.writeHead(answer, answer.Header)
	return x.stream(ctx, dog, s, answer, io.MultiReader(bytes.NewReader(raw), answer.Body))
}

// deliverHead maps the head alone, and passes the body on.
func (x *exchange) deliverHead(ctx context.Context, dog *watchdog, s *side, answer *http.Response) *failure {
	h := answer.Header
	if s.mapped.Response.Changes(http.StatusOK) {
		x.renameTag(h)
	}
	if answer.StatusCode/100 != 3 {
		scope := x.scope(h)
		scope.Status, scope.AnyContent = answer.StatusCode, true
		made, err := s.mapped.Response.Map(scope, h)
		if err != nil {
			s.attempt.Cause, s.attempt.Err = observation.AnswerUnmappable, err
			x.warn(s, &failure{observation.AnswerUnmappable, err})
		} else {
			answer.StatusCode = made.Status
		}
	}
	x.writeHead(answer, h)
	return x.stream(ctx, dog, s, answer, answer.Body)
}

func (x *exchange) mapAnswer(m *mapping.ResponseMap, answer *http.Response, h http.Header, raw []byte, whole bool) (mapping.Response, error) {
	if !whole {
		return mapping.Response{}, fmt.Errorf("%w: it has over %d bytes", mapping.ErrTooLarge, len(raw))
	}
	if answer.StatusCode == http.StatusPartialContent {
		return mapping.Response{}, errors.New("it is a part of an answer, and nobody asked for one")
	}
	switch coding := h.Get("Content-Encoding"); {
	case isGzip(h):
		var err error
		if raw, err = gunzip(raw, x.live.table.MaxMapped); err != nil {
			return mapping.Response{}, err
		}
	case coding != "" && !strings.EqualFold(coding, "identity"):
		return mapping.Response{}, fmt.Errorf("unknown Content-Encoding %q", coding)
	}
	scope := x.scope(h)
	scope.Status = answer.StatusCode
	scope.Body, _ = mapping.DecodeBody(h.Get("Content-Type"), raw) // Map says what of it is missed
	return m.Map(scope, h)
}

// sendMapped sends what was made.
func (x *exchange) sendMapped(h http.Header, made mapping.Response, compressed bool, s *side) *failure {
	for _, name := range []string{
		"Content-Encoding", "Content-Length", "Content-Range", "Accept-Ranges", "Last-Modified", "Content-Md5", "Digest", "Content-Digest", "Repr-Digest",
	} {
		delete(h, name) // they speak of other bytes
	}
	x.renameTag(h)
	body := made.Body
	if compressed && acceptsGzip(x.in.Header) && len(body) > 0 {
		body = compress(body)
		h["Content-Encoding"] = []string{"gzip"}
	}
	bodyless := made.Status == http.StatusNoContent || made.Status == http.StatusResetContent || made.Status == http.StatusNotModified
	if !bodyless {
		h["Content-Type"] = []string{made.ContentType}
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	x.writeHead(&http.Response{StatusCode: made.Status, ContentLength: int64(len(body))}, h)
	if bodyless || x.in.Method == http.MethodHead {
		return nil
	}
	x.allowWrite()
	n, err := x.w.Write(body)
	if s.attempt.BytesOut = int64(n); err != nil {
		return clientFailed(err)
	}
	return nil
}

// renameTag gives the mapped representation a tag of its own.
func (x *exchange) renameTag(h http.Header) {
	if inner, ok := strings.CutSuffix(h.Get("Etag"), `"`); ok {
		h["Etag"] = []string{inner + x.tagSuffix()}
	} else {
		delete(h, "Etag")
	}
}

// readUpTo reads at most limit bytes and one more, which says that there are.
func readUpTo(r io.Reader, limit int64) (raw []byte, whole bool, err error) {
	raw, err = io.ReadAll(io.LimitReader(r, limit+1))
	return raw, int64(len(raw)) <= limit, err
}

func isGzip(h http.Header) bool {
	c := h.Get("Content-Encoding")
	return strings.EqualFold(c, "gzip") || strings.EqualFold(c, "x-gzip")
}

// acceptsGzip reports whether the client can read gzip, by its own word (RFC 9110, 12.5.3).
func acceptsGzip(h http.Header) bool {
	for _, line := range h["Accept-Encoding"] {
		for part := range strings.SplitSeq(line, ",") {
			name, weight, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") {
				q, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(weight), "q="), 64)
				return strings.TrimSpace(weight) == "" || err == nil && q > 0
			}
		}
	}
	return false
}

var gzipWriters = sync.Pool{New: func() any { return gzip.NewWriter(io.Discard) }}

func compress(body []byte) []byte {
	var b bytes.Buffer
	w := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(w)
	w.Reset(&b)
	_, _ = w.Write(body) // to memory
	_ = w.Close()
	return b.Bytes()
}

// gunzip fails with mapping.ErrTooLarge where there are more than limit bytes.
func gunzip(raw []byte, limit int64) ([]byte, error) {
	if len(raw) == 0 {
		return raw, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	out, whole, err := readUpTo(r, limit)
	switch {
	case err != nil:
		return nil, fmt.Errorf("decompress: %w", err)
	case !whole:
		return nil, fmt.Errorf("%w: decompressed, it has over %d bytes", mapping.ErrTooLarge, limit)
	}
	return out, nil
}
