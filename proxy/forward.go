package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/correlation"
)

// errBehind: the read model has not caught up with the subject's own write.
var errBehind = errors.New("the read model is behind the subject's last write")

// errBadRequest: the client's body could not be mapped; the client's fault.
var errBadRequest = errors.New("the request body cannot be mapped")

// errTooLarge: a body over maxMappedBody.
var errTooLarge = fmt.Errorf("a body that is mapped must have at most %d bytes", maxMappedBody)

// forward asks the new API and answers in the old shape. A safe request that
// fails there is answered by the legacy side instead: the client never
// notices.
func (p *Proxy) forward(w http.ResponseWriter, r *http.Request, d Decision) {
	t := tripOf(r.Context())
	ctx, cancel := context.WithTimeout(r.Context(), d.route.timeout)
	defer cancel()
	resp, err := p.ask(ctx, r, d)
	if err == nil {
		defer resp.Body.Close()
		err = p.answer(w, r, d, resp)
	}
	switch {
	case err == nil:
		d.route.counts.forwarded.Add(1)
	case errors.As(err, new(committedError)) || errors.Is(r.Context().Err(), context.Canceled):
		d.route.counts.failed.Add(1)
		panic(http.ErrAbortHandler) // part of the answer is out: break the connection rather than lie
	case d.route.fallback:
		if !errors.Is(err, errBehind) {
			p.log.WarnContext(ctx, "fell back to the legacy app", "route", d.route.name, "upstream", d.Upstream, "error", err)
		}
		d.route.counts.fellBack.Add(1)
		p.toLegacy(w, r)
	default:
		d.route.counts.failed.Add(1)
		p.log.WarnContext(ctx, "the upstream did not answer", "route", d.route.name, "upstream", d.Upstream, "error", err)
		p.writeError(w, r, t, err)
	}
}

// ask sends the mapped request. Its error means that there is no answer that
// a client should see.
func (p *Proxy) ask(ctx context.Context, r *http.Request, d Decision) (*http.Response, error) {
	out, err := p.mapRequest(ctx, r, d)
	if err != nil {
		return nil, err
	}
	if d.route.follows {
		if pending := p.written.pending(d.Subject); pending != "" {
			out.Header.Set(events.HeaderReadAfter, pending)
		}
	}
	resp, err := p.transport.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	asked := out.Header.Get(events.HeaderReadAfter)
	switch {
	case resp.StatusCode == http.StatusPreconditionFailed && asked != "":
		err = errBehind
	case resp.StatusCode >= 500 && d.route.fallback:
		err = fmt.Errorf("status %d", resp.StatusCode)
	case asked != "" && resp.StatusCode < 300:
		p.written.caughtUp(d.Subject, asked)
	}
	if err != nil {
		drain(resp.Body)
		return nil, err
	}
	return resp, nil
}

// drain lets the connection be used again, within reason.
func drain(b io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, b, 64<<10)
	b.Close()
}

func (p *Proxy) mapRequest(ctx context.Context, r *http.Request, d Decision) (*http.Request, error) {
	t := tripOf(r.Context())
	out := r.Clone(ctx)
	out.RequestURI = ""
	pr := &httputil.ProxyRequest{In: r, Out: out}
	stripHopByHop(out.Header)
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		out.Header.Del(h)
	}
	pr.SetURL(&url.URL{Scheme: d.route.to.url.Scheme, Host: d.route.to.url.Host})
	out.Host = d.route.to.url.Host
	setForwarded(pr, t.trusted)
	correlation.Inject(ctx, out.Header)
	if d.route.newMethod != "" {
		out.Method = d.route.newMethod
	}
	s := &scope{subject: d.Subject, params: d.Params, query: r.URL.Query()}
	if err := d.route.mapURL(out.URL, r.URL, d.route.to.url.Path, s); err != nil {
		return nil, err
	}
	if d.route.body == nil {
		return out, nil
	}
	return out, mapRequestBody(out, r, d.route.body, s)
}

func mapRequestBody(out, in *http.Request, t template, s *scope) error {
	raw, err := io.ReadAll(io.LimitReader(in.Body, maxMappedBody+1))
	if err != nil {
		return fmt.Errorf("%w: %v", errBadRequest, err)
	}
	if len(raw) > maxMappedBody {
		return fmt.Errorf("%w: %w", errBadRequest, errTooLarge)
	}
	if s.body, err = decodeBody(raw); err != nil {
		return fmt.Errorf("%w: %w", errBadRequest, err)
	}
	mapped, err := render(t, s)
	if err != nil {
		return fmt.Errorf("%w: %w", errBadRequest, err)
	}
	out.Body = io.NopCloser(bytes.NewReader(mapped))
	out.ContentLength = int64(len(mapped))
	out.TransferEncoding = nil
	out.Header.Set("Content-Type", "application/json")
	out.Header.Del("Content-Encoding")
	return nil
}

func (r *route) mapURL(out, in *url.URL, prefix string, s *scope) error {
	out.Path, out.RawPath = prefix+in.Path, ""
	if r.newPath == nil && in.RawPath != "" {
		out.RawPath = prefix + in.RawPath
	}
	if r.newPath != nil {
		var plain, escaped strings.Builder
		for _, part := range append([]pathPart{{literal: prefix}}, r.newPath...) {
			v, e := part.literal, part.literal
			if part.param != "" {
				if v = s.params[part.param]; part.param == "subject" {
					v = s.subject
				}
				e = url.PathEscape(v)
			}
			plain.WriteString(v)
			escaped.WriteString(e)
		}
		out.Path, out.RawPath = plain.String(), escaped.String()
	}
	out.RawQuery = in.RawQuery
	if r.query == nil {
		return nil
	}
	q := url.Values{}
	for _, rule := range r.query {
		v, present, err := text(rule.value, s)
		if err != nil {
			return fmt.Errorf("query parameter %s: %w", rule.name, err)
		}
		if present && v != "" {
			q.Set(rule.name, v)
		}
	}
	out.RawQuery = q.Encode()
	return nil
}

// committedError: the client has seen part of the answer already.
type committedError struct{ err error }

func (e committedError) Error() string { return "while sending the answer: " + e.err.Error() }

// answer gives the response to the client in the old shape. An error other
// than committedError leaves nothing sent.
func (p *Proxy) answer(w http.ResponseWriter, r *http.Request, d Decision, resp *http.Response) error {
	p.written.remember(d.Subject, resp.Header.Get(events.HeaderWritten))
	resp.Header.Del(events.HeaderWritten)
	stripHopByHop(resp.Header)
	t := d.route.answer
	if resp.StatusCode >= 400 {
		t = d.route.failure
	}
	if t == nil || resp.StatusCode == http.StatusNoContent || r.Method == http.MethodHead {
		copyHeader(w.Header(), resp.Header)
		w.WriteHeader(resp.StatusCode)
		if _, err := io.Copy(w, resp.Body); err != nil {
			return committedError{err}
		}
		return nil
	}
	mapped, err := mapAnswer(t, d, resp)
	if err != nil {
		return err
	}
	for _, h := range []string{"ETag", "Digest", "Content-Digest", "Content-Encoding", "Content-Length"} {
		resp.Header.Del(h) // they speak of the other bytes
	}
	copyHeader(w.Header(), resp.Header)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(mapped)))
	w.WriteHeader(resp.StatusCode)
	if _, err := w.Write(mapped); err != nil {
		return committedError{err}
	}
	return nil
}

func mapAnswer(t template, d Decision, resp *http.Response) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxMappedBody+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(raw) > maxMappedBody {
		return nil, errTooLarge
	}
	s := &scope{subject: d.Subject, status: resp.StatusCode, params: d.Params, query: resp.Request.URL.Query()}
	if s.body, err = decodeBody(raw); err != nil {
		return nil, err
	}
	return render(t, s)
}

func copyHeader(dst, src http.Header) {
	for k, vs := range src {
		dst[k] = append(dst[k], vs...)
	}
}

// stripHopByHop removes what RFC 9110 section 7.6.1 gives to one connection
// only, including what the Connection header names.
func stripHopByHop(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range []string{
		"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade",
	} {
		h.Del(name)
	}
}

// writeError answers with the proxy's own error, in the shape that the route file gives.
func (p *Proxy) writeError(w http.ResponseWriter, _ *http.Request, t *trip, err error) {
	status, detail := http.StatusBadGateway, "the upstream did not answer"
	switch {
	case errors.Is(err, errTooLarge) && errors.Is(err, errBadRequest):
		status, detail = http.StatusRequestEntityTooLarge, err.Error()
	case errors.Is(err, errBadRequest):
		status, detail = http.StatusBadRequest, err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		status, detail = http.StatusGatewayTimeout, "the upstream did not answer in time"
	}
	problem := map[string]any{
		"type": "about:blank", "title": http.StatusText(status), "status": json.Number(strconv.Itoa(status)), "detail": detail,
	}
	body, contentType := []byte(nil), "application/problem+json"
	if t.table.errorBody != nil {
		if b, err := render(t.table.errorBody, &scope{body: problem, status: status, subject: t.decision.Subject}); err == nil {
			body, contentType = b, "application/json"
		}
	}
	if body == nil {
		body, _ = json.Marshal(problem)
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
