package follow

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

var (
	// ErrHistoryLost is why a follower stops whose position is no longer in the
	// oplog, or belongs to another cluster. Changes have been missed.
	ErrHistoryLost = errors.New("the stored position is no longer in the server's oplog, so changes have been missed; " +
		"the way back is to forget the position and to start with a new snapshot of the collections " +
		"(banyan-publish changes --snapshot does both), and to make the oplog larger or longer (replSetResizeOplog, minRetentionHours) if it happens again")
	// ErrInvalidated is why a follower stops whose collection was dropped or
	// renamed. The position behind that is stored: started again, it goes on there.
	ErrInvalidated = errors.New("the followed collection was dropped or renamed")
	// ErrEventTooLarge is why a follower stops when the server cannot tell a
	// change because its event, images included, is larger than a document may be.
	ErrEventTooLarge = errors.New("the event of a change is larger than the 16 MB of a document; " +
		"run without asking for documents and before-images until the change is passed (banyan-publish changes --no-images), " +
		"and make documents smaller if it happens again")
	// ErrNoStream is why a follower does not start where there are no change streams.
	ErrNoStream = errors.New("the server has no change streams: they need a replica set (one node is enough) or a sharded cluster")

	errLeaseLost = errors.New("the lease was lost to another follower, or ran out")
	errClosed    = errors.New("the server closed the change stream")
)

// Error codes of the server, see
// https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml.
const (
	codeInvalidResumeToken = 260
	codeFatalStream        = 280
	codeHistoryLost        = 286
	codeTooLarge           = 10334
	codeNoReplicaSet       = 40573
)

// refusals are what another attempt will not change: options and stages that the
// server does not know, missing rights, images that are required and not there.
var refusals = []int{2, 9, 13, 14, 18, 20, 47, 48, 59, 66, 72, 73, 115, 121, 166, 40324, 40415,
	codeInvalidResumeToken, codeFatalStream, codeHistoryLost, codeTooLarge, codeNoReplicaSet}

func hasCode(err error, codes ...int) bool {
	var server mongo.ServerError
	if !errors.As(err, &server) {
		return false
	}
	for _, code := range codes {
		if server.HasErrorCode(code) {
			return true
		}
	}
	return false
}

// final makes an error of the change stream one of this package where it will
// not pass; nil says that it passes.
func final(err error) error {
	switch {
	case hasCode(err, codeHistoryLost, codeFatalStream, codeInvalidResumeToken):
		return fmt.Errorf("%w: %w", ErrHistoryLost, err)
	case hasCode(err, codeTooLarge):
		return fmt.Errorf("%w: %w", ErrEventTooLarge, err)
	case hasCode(err, codeNoReplicaSet):
		return fmt.Errorf("%w: %w", ErrNoStream, err)
	case hasCode(err, refusals...), errors.Is(err, errMalformed), errors.Is(err, ErrInvalidated):
		return err
	}
	return nil
}

// passing is the default for what a handler returns: errors of the driver that
// another attempt may not see.
func passing(err error) bool {
	if hasCode(err, refusals...) || errors.Is(err, ErrInvalidated) {
		return false
	}
	var server mongo.ServerError
	return mongo.IsNetworkError(err) || mongo.IsTimeout(err) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &server) && (server.HasErrorLabel("RetryableWriteError") || server.HasErrorLabel("TransientTransactionError") || hasCode(err, notPrimary...))
}

// notPrimary are the codes of a server that is not, or no longer, the primary,
// or going down; see the driver specifications on server discovery.
var notPrimary = []int{91, 189, 10107, 11600, 11602, 13435, 13436}
