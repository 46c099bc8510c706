package once

// Backlog is how many changes are not in flight yet.
func (w *Writer) Backlog() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.backlog)
}
