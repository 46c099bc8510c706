// Package correlation passes the ids that relate requests and events to each other
// through contexts and HTTP headers.
//
// The ids come from the caller, so they prove nothing: never base access on
// one. An id that is too long or has other than printable ASCII characters
// is replaced, so that no id can break a log line or a header.
package correlation

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// The HTTP headers that carry the ids.
const (
	HeaderTraceParent = "Traceparent"
	HeaderCorrelation = "X-Correlation-Id"
	HeaderCausation   = "X-Causation-Id"
	HeaderDebug       = "X-Debug"
	HeaderChain       = "Call-Chain-Length"
)

// headerDebugLog is what DAZN's powertools for Lambda call HeaderDebug.
const headerDebugLog = "Debug-Log-Enabled"

// MaxID is the most bytes that an id from outside may have.
const MaxID = 128

// IDs are passed with a request, and into the events that it causes.
type IDs struct {
	// TraceParent is the W3C trace context, version 00.
	TraceParent string
	// CorrelationID is shared by all requests and events that one request caused.
	CorrelationID string
	// CausationID is the id of the event or request that caused this one.
	CausationID string
	// Debug makes every service that handles the request log in detail.
	Debug bool
	// Chain is how many functions handled what led here, one after the other. One that
	// causes itself is found by it.
	Chain int
}

type key struct{}

// With returns ctx carrying ids.
func With(ctx context.Context, ids IDs) context.Context {
	return context.WithValue(ctx, key{}, ids)
}

// From returns what ctx carries, the zero value when nothing.
func From(ctx context.Context) IDs {
	ids, _ := ctx.Value(key{}).(IDs)
	return ids
}

// FromHeader reads the ids of a request and makes those that are missing or
// unusable: a new trace, a new correlation id, and the correlation id as the
// cause, since the request starts the chain.
func FromHeader(h http.Header) IDs {
	ids := IDs{
		TraceParent:   traceParent(h.Get(HeaderTraceParent)),
		CorrelationID: clean(h.Get(HeaderCorrelation)),
		CausationID:   clean(h.Get(HeaderCausation)),
		Debug:         isTrue(h.Get(HeaderDebug)) || isTrue(h.Get(headerDebugLog)),
		Chain:         chain(h.Get(HeaderChain)),
	}
	if ids.TraceParent == "" {
		ids.TraceParent = NewTraceParent(ids.Debug)
	}
	if ids.CorrelationID == "" {
		ids.CorrelationID = newID()
	}
	if ids.CausationID == "" {
		ids.CausationID = ids.CorrelationID
	}
	return ids
}

// FromAttributes reads the ids of a message by the names of the headers, in any case. What is
// missing or unusable stays empty.
func FromAttributes(attributes map[string]string) (ids IDs) {
	for name, value := range attributes {
		switch http.CanonicalHeaderKey(name) {
		case HeaderTraceParent:
			ids.TraceParent = traceParent(value)
		case HeaderCorrelation:
			ids.CorrelationID = clean(value)
		case HeaderCausation:
			ids.CausationID = clean(value)
		case HeaderDebug, headerDebugLog:
			ids.Debug = ids.Debug || isTrue(value)
		case HeaderChain:
			ids.Chain = chain(value)
		}
	}
	return ids
}

// Attributes are the ids for a message, by names that [FromAttributes] reads, and DAZN's
// powertools too. nil where ctx carries none.
func (ids IDs) Attributes() map[string]string {
	if ids == (IDs{}) {
		return nil
	}
	all := map[string]string{}
	for name, value := range map[string]string{
		HeaderTraceParent: ids.TraceParent, HeaderCorrelation: ids.CorrelationID, HeaderCausation: ids.CausationID,
	} {
		if value != "" {
			all[strings.ToLower(name)] = value
		}
	}
	all[strings.ToLower(headerDebugLog)] = strconv.FormatBool(ids.Debug)
	if ids.Chain > 0 {
		all[strings.ToLower(HeaderChain)] = strconv.Itoa(ids.Chain)
	}
	return all
}

// maxChain bounds what is believed.
const maxChain = 1 << 20

func chain(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return min(max(n, 0), maxChain)
}

// Inject sets the headers of an outgoing request to what ctx carries. Ids that
// ctx does not carry leave their headers unchanged.
func Inject(ctx context.Context, h http.Header) {
	ids := From(ctx)
	set(h, HeaderTraceParent, ids.TraceParent)
	set(h, HeaderCorrelation, ids.CorrelationID)
	set(h, HeaderCausation, ids.CausationID)
	if ids.Debug {
		h.Set(HeaderDebug, "true")
	}
	if ids.Chain > 0 {
		h.Set(HeaderChain, strconv.Itoa(ids.Chain))
	}
}

func set(h http.Header, name, value string) {
	if value != "" {
		h.Set(name, value)
	}
}

// Middleware calls next with the ids of the headers in the request's context.
func Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(With(r.Context(), FromHeader(r.Header))))
	})
}

// NewTraceParent starts a trace: a W3C trace context with random ids, sampled
// or not.
func NewTraceParent(sampled bool) string {
	var random [24]byte
	rand.Read(random[:]) //nolint:errcheck // crypto/rand.Read never fails, it ends the process
	random[0] |= 1       // neither of the two ids may be all zeros
	random[16] |= 1
	var text [55]byte
	copy(text[:], "00-")
	hex.Encode(text[3:35], random[:16])
	text[35] = '-'
	hex.Encode(text[36:52], random[16:])
	copy(text[52:], "-00")
	if sampled {
		text[54] = '1'
	}
	return string(text[:])
}

// traceParent returns the four fields of version 00, or nothing when s is not a
// trace context. A later version may have more fields, which are cut off as
// https://www.w3.org/TR/trace-context/#versioning-of-traceparent says.
func traceParent(s string) string {
	const length = 55
	s = strings.TrimSpace(s)
	if len(s) < length || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return ""
	}
	version, trace, parent, flags := s[:2], s[3:35], s[36:52], s[53:length]
	if !isHex(version) || !isHex(trace) || !isHex(parent) || !isHex(flags) || version == "ff" {
		return ""
	}
	if len(s) > length && (version == "00" || s[length] != '-') {
		return ""
	}
	if strings.Trim(trace, "0") == "" || strings.Trim(parent, "0") == "" {
		return ""
	}
	return "00" + s[2:length]
}

// isHex accepts lower case only, as the W3C requires.
func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func clean(s string) string {
	if len(s) > MaxID {
		return ""
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return ""
		}
	}
	return s
}

func isTrue(s string) bool { return s == "1" || strings.EqualFold(s, "true") }

func newID() string { return uuid.Must(uuid.NewV7()).String() }
