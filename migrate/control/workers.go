package control

import (
	"context"
	"time"
)

// Worker is one process that takes part in a migration. Its beat grows with each
// renewal; a process whose beat did not grow for a whole lease counts as dead. So no
// two machines' clocks are ever compared.
type Worker struct {
	Row
	ID   string    `dynamodbav:"id"`
	Beat int64     `dynamodbav:"beat"`
	At   time.Time `dynamodbav:"at"` // for people only
	Host string    `dynamodbav:"host"`
	PID  int       `dynamodbav:"pid"`
	// Process identifies the process for others on the same machine, which need not
	// wait for the lease of one that has ended.
	Process string `dynamodbav:"process"`
	// Lease is this worker's own: the silence after which it is dead.
	Lease time.Duration `dynamodbav:"lease"`
}

const workerPrefix = "worker#"

// Worker loads a worker, a new one under this id if there is none.
func (s *Store) Worker(ctx context.Context, id string) (*Worker, error) {
	w := &Worker{}
	_, err := s.load(ctx, workerPrefix+id, w)
	w.ID = id
	return w, err
}

// Workers loads all workers that have not left, also those that have died.
func (s *Store) Workers(ctx context.Context) ([]Worker, error) {
	return list[Worker](ctx, s, workerPrefix)
}

// DeleteWorker removes a worker that leaves.
func (s *Store) DeleteWorker(ctx context.Context, id string) error {
	w, err := s.Worker(ctx, id)
	if err != nil {
		return err
	}
	return s.remove(ctx, w)
}
