package ship

import (
	"context"
	"time"

	"github.com/banyan-fig/banyan/infra/ops/logs/internal/line"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

// functionsNamespace is that of the metrics of functions.
const functionsNamespace = "Banyan/Functions"

// Report is what became of one batch. Events = Created + Doubled + Refused +
// Dropped + Pending.
type Report struct {
	Records, LeftRecords      int // LeftRecords were not read to their end
	Control, Undecodable      int // records
	Events                    int
	Created, Doubled          int
	Refused, Dropped, Pending int
	Stripped, Truncated       int
	Requests, Retries, Gaps   int
	last                      error
	oldest                    time.Time
	reports                   map[string][]line.Platform // by function
	reportedAt                map[string]int64
}

// addEntry counts an entry that is new to the index.
func (r *Report) addEntry(x *entry) {
	if at := timeOf(x.event); r.oldest.IsZero() || at.Before(r.oldest) {
		r.oldest = at
	}
	if x.platform == nil || x.platform.Kind != line.Report {
		return
	}
	if r.reports == nil {
		r.reports, r.reportedAt = map[string][]line.Platform{}, map[string]int64{}
	}
	name := line.Function(x.log.LogGroup, x.log.LogStream)
	r.reports[name] = append(r.reports[name], *x.platform)
	r.reportedAt[name] = max(r.reportedAt[name], x.event.Timestamp)
}

// quiet is how long nothing is written about batches that hold nothing but the
// function's own log: what is written would come back as the next one.
const quiet = time.Minute

// reportBatch writes the metrics of a batch, and logs what a person should know.
func (s *Shipper) reportBatch(ctx context.Context, b *batch, err error) {
	r := &b.report
	r.Pending += len(b.waiting)
	for _, l := range b.letters {
		if l.event {
			r.Pending++
		}
	}
	r.Gaps = b.gaps.found
	now := s.cfg.Now()
	if s.silent(r, now) {
		return
	}
	if err != nil {
		s.cfg.Logger.WarnContext(ctx, "batch not shipped completely; the rest is redelivered",
			"events", r.Events, "pending", r.Pending, "leftRecords", r.LeftRecords, "error", err.Error())
	}
	if r.Refused+r.Undecodable+r.Gaps > 0 {
		s.cfg.Logger.WarnContext(ctx, "logs were refused, unreadable or missing",
			"refused", r.Refused, "undecodable", r.Undecodable, "gaps", r.Gaps)
	}
	if s.cfg.Metrics != nil {
		s.cfg.Metrics.Write(r.line(s.cfg.Function, now))
	}
	if s.cfg.Functions != nil {
		for name, reports := range r.reports {
			writeFunction(s.cfg.Functions, name, time.UnixMilli(r.reportedAt[name]), reports)
		}
	}
}

func (s *Shipper) silent(r *Report, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	loop := r.Dropped > 0 && r.Dropped == r.Events && r.Undecodable == 0
	if loop && now.Sub(s.reported) < quiet {
		return true
	}
	s.reported = now
	return false
}

func (r *Report) line(function string, now time.Time) emf.Line {
	l := emf.Line{At: now, Dimensions: map[string]string{"Function": function}}
	for _, m := range []struct {
		name  string
		value int
	}{
		{"LogRecords", r.Records}, {"LogEvents", r.Events}, {"LogCreated", r.Created}, {"LogDoubled", r.Doubled},
		{"LogRefused", r.Refused}, {"LogDropped", r.Dropped}, {"LogPending", r.Pending}, {"LogUndecodable", r.Undecodable},
		{"LogControl", r.Control}, {"LogStripped", r.Stripped}, {"LogTruncated", r.Truncated}, {"LogGaps", r.Gaps},
		{"BulkRequests", r.Requests}, {"BulkRetries", r.Retries},
	} {
		l.Metrics = append(l.Metrics, emf.Metric{Name: m.name, Unit: emf.Count, Value: float64(m.value)})
	}
	if !r.oldest.IsZero() {
		l.Metrics = append(l.Metrics, emf.Metric{Name: "LogLag", Unit: emf.Milliseconds, Value: float64(now.Sub(r.oldest).Milliseconds())})
	}
	return l
}

// maxValues is how many values a metric may have in one line.
const maxValues = 100

// writeFunction writes the reports of one function.
func writeFunction(w *emf.Writer, name string, at time.Time, reports []line.Platform) {
	for len(reports) > 0 {
		n := min(len(reports), maxValues)
		w.Write(functionLine(name, at, reports[:n]))
		reports = reports[n:]
	}
}

func functionLine(name string, at time.Time, reports []line.Platform) emf.Line {
	var duration, billed, initial, used, size []float64
	cold, late := 0, 0
	for _, p := range reports {
		duration, billed = append(duration, p.Duration), append(billed, p.Billed)
		used, size = append(used, p.MaxMemory), append(size, p.Memory)
		if p.Cold() {
			cold++
			initial = append(initial, p.Init+p.Restore)
		}
		if p.TimedOut() {
			late++
		}
	}
	l := emf.Line{At: at, Dimensions: map[string]string{"FunctionName": name}, Metrics: []emf.Metric{
		{Name: "Invocations", Unit: emf.Count, Value: float64(len(reports))},
		{Name: "Duration", Unit: emf.Milliseconds, Values: duration},
		{Name: "BilledDuration", Unit: emf.Milliseconds, Values: billed},
		{Name: "MemoryUsed", Unit: emf.Megabytes, Values: used},
		{Name: "MemorySize", Unit: emf.Megabytes, Values: size},
		{Name: "ColdStarts", Unit: emf.Count, Value: float64(cold)},
		{Name: "TimedOut", Unit: emf.Count, Value: float64(late)},
	}}
	if len(initial) > 0 {
		l.Metrics = append(l.Metrics, emf.Metric{Name: "InitDuration", Unit: emf.Milliseconds, Values: initial})
	}
	return l
}
