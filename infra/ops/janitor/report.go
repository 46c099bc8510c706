package janitor

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/banyan-fig/banyan/infra/ops/sweep"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

// Swept is the result for one function or layer of which something was deleted or
// refused.
type Swept struct {
	Name     string   `json:"name"`
	Layer    bool     `json:"layer,omitempty"`
	Versions []int    `json:"versions,omitempty"` // deleted, or found in a dry run
	Bytes    int64    `json:"bytes"`
	Aliases  []string `json:"aliases,omitempty"`
	Refused  []int    `json:"refused,omitempty"` // Lambda would not delete them
	Why      string   `json:"why,omitempty"`     // of the last refusal
}

// Report is what one sweep did.
type Report struct {
	DryRun bool `json:"dryRun,omitempty"`
	// Swept lists each function and layer that had something to delete.
	Swept []Swept `json:"swept,omitempty"`
	// Versions, LayerVersions and Bytes are sums of what was deleted, or found in
	// a dry run. The bytes are those of the packages as Lambda counts them.
	Versions      int   `json:"versions"`
	LayerVersions int   `json:"layerVersions"`
	Bytes         int64 `json:"bytes"`
	Refused       int   `json:"refused,omitempty"`
	// Aliases counts those that were deleted, or found.
	Aliases int `json:"aliases,omitempty"`
	// Failures counts what went wrong, Errors has the reasons.
	Failures int      `json:"failures,omitempty"`
	Errors   []string `json:"errors,omitempty"`
	// Stopped is why the sweep ended.
	Stopped string `json:"stopped"`
	// Looked counts the functions and layers that were looked at to the end,
	// Remaining what is left of the round: 0 also where they are not all listed.
	Looked    int `json:"looked"`
	Remaining int `json:"remaining"`
}

func (r *Report) sweptItem(name string, layer bool) *Swept {
	if n := len(r.Swept); n > 0 && r.Swept[n-1].Name == name && r.Swept[n-1].Layer == layer {
		return &r.Swept[n-1]
	}
	r.Swept = append(r.Swept, Swept{Name: name, Layer: layer})
	return &r.Swept[len(r.Swept)-1]
}

func (r *Report) addDeleted(name string, layer bool, number int, size int64) {
	s := r.sweptItem(name, layer)
	s.Versions = append(s.Versions, number)
	s.Bytes += size
	r.Bytes += size
	if layer {
		r.LayerVersions++
	} else {
		r.Versions++
	}
}

func (r *Report) addAlias(name, alias string) {
	s := r.sweptItem(name, false)
	s.Aliases = append(s.Aliases, alias)
	r.Aliases++
}

func (r *Report) addRefused(name string, number int, err error) {
	s := r.sweptItem(name, false)
	s.Refused = append(s.Refused, number)
	s.Why = err.Error()
	r.Refused++
}

func (r *Report) addFailure(err error) {
	r.Failures++
	r.Errors = append(r.Errors, err.Error())
}

// Log logs the sweep, function by function.
func (r Report) Log(ctx context.Context, logger *slog.Logger) {
	verb := "deleted versions that nothing refers to"
	if r.DryRun {
		verb = "found versions that nothing refers to; this is a dry run"
	}
	for _, s := range r.Swept {
		if len(s.Aliases) > 0 {
			logger.InfoContext(ctx, "aliases that were not invoked for long", "name", s.Name, "aliases", s.Aliases, "deleted", !r.DryRun)
		}
		if len(s.Versions) > 0 {
			logger.InfoContext(ctx, verb, "name", s.Name, "layer", s.Layer, "versions", s.Versions, "bytes", s.Bytes)
		}
		if len(s.Refused) > 0 {
			logger.WarnContext(ctx, "Lambda refused to delete versions; the sweep continues", "name", s.Name, "versions", s.Refused, "reason", s.Why)
		}
	}
	for _, reason := range r.Errors {
		logger.ErrorContext(ctx, "sweep failed", "reason", reason)
	}
	if r.Stopped == sweep.Deadline && r.Looked == 0 && len(r.Swept) == 0 {
		logger.WarnContext(ctx, "the time was up before anything was checked: give the function a longer timeout")
	}
	logger.InfoContext(ctx, r.summary(), "why", r.Stopped, "dryRun", r.DryRun, "versions", r.Versions, "layerVersions", r.LayerVersions, "aliases", r.Aliases,
		"bytes", r.Bytes, "refused", r.Refused, "failures", r.Failures, "looked", r.Looked, "remaining", r.Remaining)
}

func (r Report) summary() string {
	verb := "deleted"
	if r.DryRun {
		verb = "would have deleted"
	}
	return fmt.Sprintf("the sweep ended: %s %d versions of functions and %d of layers, %s", verb, r.Versions, r.LayerVersions, formatBytes(r.Bytes))
}

// formatBytes renders bytes with a unit.
func formatBytes(bytes int64) string {
	value, unit := float64(bytes), ""
	for _, larger := range []string{"k", "M", "G"} {
		if value < 1000 {
			break
		}
		value, unit = value/1000, larger
	}
	return fmt.Sprintf("%.4g %sB", value, unit)
}

// Count writes the metrics of the package comment. Their dimension Function is the
// name by which the function is deployed, which an alarm has to name.
func (r Report) Count(w *emf.Writer, function string, at time.Time) {
	names := [...]string{"VersionsDeleted", "LayerVersionsDeleted", "BytesFreed", "AliasesDeleted"}
	if r.DryRun {
		names = [...]string{"VersionsFound", "LayerVersionsFound", "BytesFound", "AliasesFound"}
	}
	throttled := 0.0
	if r.Stopped == sweep.Throttled {
		throttled = 1
	}
	w.Write(emf.Line{
		At: at, Dimensions: map[string]string{"Function": function},
		Metrics: []emf.Metric{
			{Name: names[0], Unit: emf.Count, Value: float64(r.Versions)},
			{Name: names[1], Unit: emf.Count, Value: float64(r.LayerVersions)},
			{Name: names[2], Unit: emf.Bytes, Value: float64(r.Bytes)},
			{Name: names[3], Unit: emf.Count, Value: float64(r.Aliases)},
			{Name: "Refused", Unit: emf.Count, Value: float64(r.Refused)},
			{Name: "Failures", Unit: emf.Count, Value: float64(r.Failures)},
			{Name: "Throttled", Unit: emf.Count, Value: throttled},
			{Name: "Looked", Unit: emf.Count, Value: float64(r.Looked)},
			{Name: "Remaining", Unit: emf.Count, Value: float64(r.Remaining)},
		},
	})
}
