package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/banyan-fig/banyan/publishers/kinesis/bench/counting"
)

// ErrMissing is returned when the stream lacks events that were sent, or has some of them
// in a shard other than their own. Some may be there twice: the SDK retries
// a request when the connection breaks before the response is read.
var ErrMissing = errors.New("the stream did not get what was sent")

// checkedEvents go through each way before it is measured.
const checkedEvents = 2500

// check sends some events to a stream that looks into its records.
func (r *run) check(ctx context.Context, name string) error {
	before, err := counts(ctx, r.Endpoint, streamChecked)
	if err != nil {
		return err
	}
	w, err := open(ctx, name, r.Endpoint, streamChecked, r.load)
	if err != nil {
		return err
	}
	if err := errors.Join(w.send(ctx, checkedEvents), w.close(ctx)); err != nil {
		return err
	}
	after, err := counts(ctx, r.Endpoint, streamChecked)
	if err != nil {
		return err
	}
	if got, astray := after.Events-before.Events, after.Misplaced-before.Misplaced; got < checkedEvents || astray != 0 {
		return fmt.Errorf("%w: %d events instead of %d, %d in another shard than their own", ErrMissing, got, checkedEvents, astray)
	}
	return nil
}

// askWithin bounds a question to the counting server.
const askWithin = 10 * time.Second

func counts(ctx context.Context, endpoint, stream string) (c counting.Counts, err error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/counts/"+stream, nil)
	if err != nil {
		return c, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return c, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return c, fmt.Errorf("the counting server answers %s", res.Status)
	}
	return c, json.NewDecoder(res.Body).Decode(&c)
}
