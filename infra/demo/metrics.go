package demo

import (
	"bytes"
	"encoding/json"
	"io"
	"sync"
	"time"
)

// meter reads the consumers' metrics out of the functions' output, where
// CloudWatch would find them: the embedded metric format. The sandbox hands
// it whole lines, one at a time.
type meter struct {
	lags histogram
	log  io.Writer // gets every line, for people

	mu      sync.Mutex
	handled map[string]int64 // events by consumer, stale ones included
}

func (m *meter) Write(line []byte) (int, error) {
	if _, err := m.log.Write(line); err != nil {
		return 0, err
	}
	at := bytes.IndexByte(line, '{')
	if at < 0 || !bytes.Contains(line, []byte(`"_aws"`)) {
		return len(line), nil
	}
	var f struct {
		Consumer                    string
		Applied, Stale, DeadLetters int64
		Lag                         []float64
	}
	if json.Unmarshal(line[at:], &f) != nil {
		return len(line), nil
	}
	for _, v := range f.Lag {
		m.lags.add(time.Duration(v * float64(time.Millisecond)))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.handled == nil {
		m.handled = map[string]int64{}
	}
	m.handled[f.Consumer] += f.Applied + f.Stale + f.DeadLetters
	return len(line), nil
}

// behind is how many of n events the slowest of the consumers has not handled.
func (m *meter) behind(n int64) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	least := n
	for _, name := range consumerNames {
		least = min(least, m.handled[name])
	}
	return n - least
}

// resetLags starts the lags anew.
func (m *meter) resetLags() {
	for i := range m.lags.buckets {
		m.lags.buckets[i].Store(0)
	}
	m.lags.n.Store(0)
	m.lags.max.Store(0)
}
