package mongostream

import (
	"errors"
	"fmt"

	"github.com/banyan-fig/banyan/infra/mongoerr"
)

var (
	// ErrHistoryLost: the stored position is no longer in the oplog, or belongs to
	// another cluster. Changes have been missed.
	ErrHistoryLost = errors.New("the stored position is no longer in the server's oplog, so changes have been missed")
	// ErrInvalidated: the followed collection was dropped or renamed, or its
	// database dropped. The position behind that is stored: Run again resumes there.
	// Where the pipeline has filtered the event of it, there is no such position, and
	// Run ends again until the position is removed: see [Collections.Match].
	ErrInvalidated = errors.New("the followed collection was dropped or renamed")
	// ErrEventTooLarge: a change cannot be read because its event is larger than
	// 64 MB, or than the 16 MB that the server can send even without the documents.
	ErrEventTooLarge = errors.New("the event of a change is too large")
	// ErrNoStream: the server has no change streams.
	ErrNoStream = errors.New("the server has no change streams: they need a replica set (one node is enough) or a sharded cluster")
	// ErrClosed: the server closed the cursor without an error, as it does behind an
	// invalidation. The driver would go on to report no changes for ever. The stream may
	// be opened again where it stopped; where it then ends without a change, that
	// is ErrInvalidated.
	ErrClosed = errors.New("the server closed the change stream")
	// ErrLeaseLost: another process follows, or the lease ran out. A [Checkpoint]
	// returns it; Run then waits for the lease again.
	ErrLeaseLost = errors.New("the lease was lost to another follower, or ran out")
	// ErrCheckpointRefused marks errors of a [Checkpoint] that no retry will change;
	// Run returns them.
	ErrCheckpointRefused = errors.New("the checkpoint cannot be used")

	errMalformed = errors.New("the server sent a change without what every change has (operationType, clusterTime, _id); a pipeline must keep these")
)

// Permanent returns err, wrapped into one of this package where there is one, if
// opening the stream again would fail again, and nil if it may succeed.
func Permanent(err error) error {
	switch {
	case mongoerr.HasCode(err, mongoerr.ChangeStreamHistoryLost, mongoerr.ChangeStreamFatalError, mongoerr.InvalidResumeToken):
		return fmt.Errorf("%w: %w", ErrHistoryLost, err)
	case mongoerr.HasCode(err, mongoerr.BSONObjectTooLarge):
		return fmt.Errorf("%w: %w", ErrEventTooLarge, err)
	case mongoerr.HasCode(err, mongoerr.NoReplicaSet):
		return fmt.Errorf("%w: %w", ErrNoStream, err)
	case mongoerr.IsPermanent(err), errors.Is(err, errMalformed), errors.Is(err, ErrInvalidated), errors.Is(err, ErrEventTooLarge):
		return err
	}
	return nil
}

// transient is the default of [Config.Transient].
func transient(err error) bool {
	return !errors.Is(err, ErrInvalidated) && mongoerr.IsTransient(err)
}
