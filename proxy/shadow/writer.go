package shadow

import (
	"errors"
	"io"
	"net/http"

	"github.com/banyan-fig/banyan/proxy/diff"
)

// Writer copies what is answered through w. http.ResponseController finds w behind it.
func (c *Capture) Writer(w http.ResponseWriter) http.ResponseWriter {
	if c == nil {
		return w
	}
	return &copier{ResponseWriter: w, capture: c}
}

type copier struct {
	http.ResponseWriter
	capture *Capture
	begun   bool
}

// Unwrap is for http.ResponseController.
func (w *copier) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *copier) WriteHeader(status int) {
	if isFinal(status) && !w.begun {
		w.begun = true
		w.capture.Head(status, w.Header())
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *copier) Write(p []byte) (int, error) {
	w.begin()
	n, err := w.ResponseWriter.Write(p)
	_, _ = w.capture.Write(p[:max(0, n)])
	return n, err
}

// ReadFrom is there because net/http cuts the chunks of an answer otherwise without it.
func (w *copier) ReadFrom(r io.Reader) (int64, error) {
	w.begin()
	return io.Copy(w.ResponseWriter, io.TeeReader(r, w.capture))
}

func (w *copier) begin() {
	if !w.begun {
		w.begun = true
		w.capture.Head(http.StatusOK, w.Header())
	}
}

// isFinal: interim answers come before the one that counts.
func isFinal(status int) bool { return status >= 200 || status == http.StatusSwitchingProtocols }

// recorder is what a side answers to: memory, up to the route's MaxBody and within the
// shadow's bytes.
type recorder struct {
	shadow *Shadow
	job    *job
	header http.Header
	answer diff.Answer
	full   bool
}

var (
	errTooLong = errors.New("the answer is longer than is compared")
	errFull    = errors.New("the shadow's bytes are used up")
	errAborted = errors.New("the answer was broken off")
)

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if isFinal(status) && w.answer.Status == 0 {
		w.answer.Status, w.answer.Header = status, w.header.Clone()
	}
}

// Flush has nothing to do, and is no error for an engine that streams.
func (w *recorder) Flush() {}

// Write keeps what fits; the error for the rest ends the handler's work.
func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	n := min(len(p), w.job.route.policy.MaxBody-len(w.answer.Body))
	if !w.shadow.keep(w.job, &w.answer.Body, p[:n]) {
		w.full = true
		return 0, errFull
	}
	if n < len(p) {
		w.answer.Capped = true
		return n, errTooLong
	}
	return n, nil
}

// handle has a handler answer a request, as a server would.
func (w *recorder) handle(h http.Handler, r *http.Request) (a diff.Answer, err error) {
	defer func() {
		p := recover()
		a = w.answer
		switch {
		case w.full:
			err = errFull
		case a.Capped || p == nil:
		case p == http.ErrAbortHandler:
			err = errAborted
		case p == ErrUnforwarded:
			err = ErrUnforwarded
		default:
			panic(p)
		}
		if err == nil {
			err = r.Context().Err() // what it says then is not the side's answer
		}
	}()
	h.ServeHTTP(w, r)
	w.WriteHeader(http.StatusOK)
	return a, nil
}
