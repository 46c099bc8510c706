package migrate

import (
	"time"

	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/reverse"
	"github.com/banyan-fig/banyan/migrate/verify"
)

// Progress is a running migration's state at one moment.
type Progress struct {
	At     time.Time       `json:"at"`
	Entity string          `json:"entity"`
	Phase  ownership.Phase `json:"phase"`
	Copied control.Copied  `json:"copied"`
	// PerSecond is this process's view of the copying speed of all, over the last
	// seconds; 0 when unknown.
	PerSecond float64 `json:"documentsPerSecond"`
	// ETA until the backfill is complete; 0 when unknown or complete.
	ETA     time.Duration     `json:"etaNanoseconds"`
	Changes control.Following `json:"changes"`
	// Reverse is the way back, which begins when all is copied.
	Reverse reverse.Health `json:"reverse"`
	// Verification is the last one, nil before the first; Verifying is the one of this process
	// that is under way, nil for none.
	Verification *control.Verification `json:"verification,omitempty"`
	Verifying    *verify.Progress      `json:"verifying,omitempty"`
	Message      string                `json:"message,omitempty"`
}

// meter turns counts into a speed.
type meter struct {
	at    time.Time
	count int64
	speed float64
}

func (m *meter) observe(now time.Time, count int64) float64 {
	if !m.at.IsZero() && now.After(m.at) {
		s := float64(count-m.count) / now.Sub(m.at).Seconds()
		if m.speed == 0 {
			m.speed = s
		}
		m.speed = 0.7*m.speed + 0.3*s
	}
	m.at, m.count = now, count
	return m.speed
}

func eta(c control.Copied, speed float64) time.Duration {
	left := c.Of - c.Documents
	if c.Complete || left <= 0 || speed < 1 {
		return 0
	}
	return time.Duration(float64(left) / speed * float64(time.Second)).Round(time.Second)
}
