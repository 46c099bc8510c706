package control

import (
	"context"
	"time"
)

// Profiler is what the settings of the profiler of one database on one server of MongoDB
// were before a gate changed them.
type Profiler struct {
	Row
	Host     string `dynamodbav:"host"`
	Database string `dynamodbav:"database"`
	// Marker is unique, and stands in the filter of the settings as they are now.
	Marker string    `dynamodbav:"marker"`
	Level  int       `dynamodbav:"level"`
	Filter []byte    `dynamodbav:"filter"` // in BSON; empty for none
	By     string    `dynamodbav:"by"`     // the process that changed them
	Until  time.Time `dynamodbav:"until"`  // when it has them restored, or has said so again
}

const profilerPrefix = "profiler#"

// Profiler loads what was stored under a marker, a new one if nothing was.
func (s *Store) Profiler(ctx context.Context, marker string) (*Profiler, error) {
	p := &Profiler{}
	_, err := s.load(ctx, profilerPrefix+marker, p)
	p.Marker = marker
	return p, err
}

// Profilers loads what is not restored yet.
func (s *Store) Profilers(ctx context.Context) ([]Profiler, error) {
	return list[Profiler](ctx, s, profilerPrefix)
}

// DeleteProfiler removes what was restored.
func (s *Store) DeleteProfiler(ctx context.Context, p *Profiler) error { return s.remove(ctx, p) }
