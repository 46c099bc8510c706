package line

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// Kinds of the platform's lines.
const (
	InitStart  = "init-start"
	InitReport = "init-report"
	Start      = "start"
	End        = "end"
	Report     = "report"
)

// Platform is a line that Lambda itself wrote. The platform's lines cannot be
// told from those that a function prints in the same form.
type Platform struct {
	Kind      string  `json:"kind"`
	RequestID string  `json:"-"`
	Version   string  `json:"version,omitempty"`
	Status    string  `json:"status,omitempty"`
	ErrorType string  `json:"error_type,omitempty"`
	TraceID   string  `json:"-"`
	Duration  float64 `json:"duration_ms,omitempty"`
	Billed    float64 `json:"billed_ms,omitempty"`
	Init      float64 `json:"init_ms,omitempty"`    // of a cold start
	Restore   float64 `json:"restore_ms,omitempty"` // of one from a snapshot
	Memory    float64 `json:"memory_mb,omitempty"`
	MaxMemory float64 `json:"max_memory_mb,omitempty"`
}

// Cold says whether a report is of an invocation that waited for a cold start.
func (p Platform) Cold() bool { return p.Init > 0 || p.Restore > 0 }

// TimedOut says whether a report is of an invocation that took too long.
func (p Platform) TimedOut() bool { return p.Status == "timeout" }

// ParsePlatform reads a platform's line in text or JSON.
func ParsePlatform(message string) (Platform, bool) {
	if len(message) > maxLine {
		return Platform{}, false
	}
	text := strings.TrimSpace(message)
	if strings.HasPrefix(text, "{") {
		return parsePlatformJSON(text)
	}
	word, rest, _ := strings.Cut(text, " ")
	if tabbed, after, ok := strings.Cut(text, "\t"); ok && len(tabbed) < len(word) {
		word, rest = tabbed, after
	}
	kind, ok := words[word]
	if !ok {
		return Platform{}, false
	}
	p := Platform{Kind: kind}
	if kind == Start {
		rest = strings.Replace(rest, " Version: ", "\tVersion: ", 1) // the one line without tabs
	}
	if kind == InitReport {
		rest = strings.NewReplacer(" Phase: ", "\tPhase: ", " Status: ", "\tStatus: ", " Error Type: ", "\tError Type: ").Replace(rest)
	}
	for part := range strings.FieldsFuncSeq(rest, func(r rune) bool { return r == '\t' || r == '\n' }) {
		name, value, _ := strings.Cut(strings.TrimSpace(part), ":")
		p.set(name, strings.TrimSpace(value))
	}
	return p, p.complete()
}

var words = map[string]string{"INIT_START": InitStart, "INIT_REPORT": InitReport, "START": Start, "END": End, "REPORT": Report}

func (p *Platform) set(name, value string) {
	switch name {
	case "RequestId":
		p.RequestID = word(value)
	case "Version":
		p.Version = word(value)
	case "Runtime Version":
		p.Version = word(value)
	case "Status":
		p.Status = word(value)
	case "Error Type":
		p.ErrorType = word(value)
	case "XRAY TraceId":
		p.TraceID = word(value)
	case "Duration":
		p.Duration = figure(value, "ms")
	case "Billed Duration":
		p.Billed = figure(value, "ms")
	case "Init Duration":
		p.Init = figure(value, "ms")
	case "Restore Duration":
		p.Restore = figure(value, "ms")
	case "Memory Size":
		p.Memory = figure(value, "MB")
	case "Max Memory Used":
		p.MaxMemory = figure(value, "MB")
	}
}

// complete says whether the line has what its kind always has.
func (p *Platform) complete() bool {
	switch p.Kind {
	case Start, End:
		return p.RequestID != ""
	case Report:
		return p.RequestID != "" && p.Memory > 0
	}
	return true
}

// word is a value that is an identifier, cut to a sane length.
func word(value string) string {
	if strings.ContainsAny(value, " \"\\") {
		value, _, _ = strings.Cut(value, " ")
	}
	return Cut(value, maxKey)
}

// maxFigure is beyond any duration or memory that Lambda has.
const maxFigure = 1e9

func figure(value, unit string) float64 {
	number, ok := strings.CutSuffix(value, " "+unit)
	f, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil {
		return 0
	}
	return sane(f)
}

func sane(f float64) float64 {
	if math.IsNaN(f) || f < 0 || f > maxFigure {
		return 0
	}
	return f
}

var types = map[string]string{
	"platform.initStart": InitStart, "platform.initReport": InitReport,
	"platform.start": Start, "platform.end": End, "platform.report": Report,
}

// platformJSON is the form of the Telemetry API's events, which the JSON log
// format has too.
type platformJSON struct {
	Type   string `json:"type"`
	Record struct {
		RequestID string `json:"requestId"`
		Version   string `json:"version"`
		Runtime   string `json:"runtimeVersion"`
		Status    string `json:"status"`
		ErrorType string `json:"errorType"`
		Tracing   struct {
			Value string `json:"value"`
		} `json:"tracing"`
		Metrics struct {
			Duration  float64 `json:"durationMs"`
			Billed    float64 `json:"billedDurationMs"`
			Init      float64 `json:"initDurationMs"`
			Restore   float64 `json:"restoreDurationMs"`
			Memory    float64 `json:"memorySizeMB"`
			MaxMemory float64 `json:"maxMemoryUsedMB"`
		} `json:"metrics"`
	} `json:"record"`
}

func parsePlatformJSON(text string) (Platform, bool) {
	if !strings.Contains(text, `"platform.`) {
		return Platform{}, false
	}
	var j platformJSON
	if json.Unmarshal([]byte(text), &j) != nil || types[j.Type] == "" {
		return Platform{}, false
	}
	r, m := j.Record, j.Record.Metrics
	p := Platform{
		Kind: types[j.Type], RequestID: word(r.RequestID), Version: word(r.Version + r.Runtime), Status: word(r.Status),
		ErrorType: word(r.ErrorType), TraceID: root(r.Tracing.Value),
		Duration: sane(m.Duration), Billed: sane(m.Billed), Init: sane(m.Init), Restore: sane(m.Restore),
		Memory: sane(m.Memory), MaxMemory: sane(m.MaxMemory),
	}
	return p, p.complete()
}

// root is the trace id in a header of X-Ray: "Root=1-...;Parent=...;Sampled=1".
func root(header string) string {
	for part := range strings.SplitSeq(header, ";") {
		if id, ok := strings.CutPrefix(strings.TrimSpace(part), "Root="); ok {
			return word(id)
		}
	}
	return ""
}

// Function is the name of the function whose log this is, "" for another log. A
// group of several functions has the name in its log streams.
func Function(group, stream string) string {
	if name, ok := strings.CutPrefix(group, "/aws/lambda/"); ok {
		return name
	}
	parts := strings.SplitN(stream, "/", 4)
	if len(parts) != 4 || len(parts[0]) != 4 {
		return ""
	}
	name, _, version := strings.Cut(parts[3], "[")
	if !version {
		return ""
	}
	return name
}
