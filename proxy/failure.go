package proxy

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/banyan-fig/banyan/proxy/http1"
	"github.com/banyan-fig/banyan/proxy/mapping"
	"github.com/banyan-fig/banyan/proxy/observation"
	"github.com/banyan-fig/banyan/proxy/upstream"
)

// causeOf is what an upstream did that gave no answer.
func causeOf(err error) observation.Cause {
	switch {
	case errors.Is(err, upstream.ErrOpen):
		return observation.BreakerOpen
	case isA[*http1.ConnectError](err):
		return observation.Connect
	case isA[*http1.MalformedError](err):
		return observation.UpstreamMalformed
	case errors.Is(err, upstream.ErrTooLarge):
		return observation.ClientTooLarge
	case isA[*http1.RequestError](err):
		return observation.ClientMalformed
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return observation.UpstreamCut
	}
	return observation.UpstreamMalformed
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// own is the status and the sentence that a client is given for a failure.
func own(f *failure) (status int, detail string) {
	switch f.cause {
	case observation.ClientTooLarge:
		return http.StatusRequestEntityTooLarge, f.err.Error()
	case observation.RequestUnmappable, observation.ClientMalformed:
		return http.StatusBadRequest, f.err.Error()
	case observation.ClientSlow:
		return http.StatusRequestTimeout, "the request's body did not come in time"
	case observation.ConnectTimeout, observation.FirstByteTimeout, observation.IdleTimeout, observation.TotalTimeout:
		return http.StatusGatewayTimeout, "the upstream did not answer in time"
	case observation.Held:
		return http.StatusServiceUnavailable, "writes wait for a change of the database: nothing was written, try again"
	case observation.Undecided:
		return http.StatusServiceUnavailable, "it cannot be told now whose the request is: nothing was written, try again"
	case observation.BreakerOpen:
		return http.StatusServiceUnavailable, "the upstream is not available"
	case observation.AnswerUnmappable:
		return http.StatusBadGateway, "the upstream's answer has not the form that was expected"
	}
	return http.StatusBadGateway, "the upstream did not answer"
}

// refuse answers with the proxy's own error, in the shape that the route file gives.
func (x *exchange) refuse(status int, detail string) {
	problem, _ := json.Marshal(map[string]any{ // of text and a number
		"type": "about:blank", "title": http.StatusText(status), "status": status, "detail": detail,
	})
	contentType := "application/problem+json"
	if t := x.live.table.Error; t != nil {
		if body, err := mapping.DecodeBody("", problem); err == nil {
			if shaped, err := t.AppendJSON(nil, &mapping.Scope{Body: body, Status: status}); err == nil {
				problem, contentType = shaped, "application/json"
			}
		}
	}
	h := x.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(problem)))
	h.Set("Cache-Control", "no-store")
	x.endIfUnfinished()
	x.allowWrite()
	x.sent = status
	x.w.WriteHeader(status)
	if x.in.Method != http.MethodHead {
		_, _ = x.w.Write(problem) // a client that is gone is gone
	}
}
