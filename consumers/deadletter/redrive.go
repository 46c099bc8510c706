package deadletter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/events"
)

// Redriver answers the invocation of a function to handle its dead letters again. Safe for
// concurrent use.
type Redriver struct {
	Store    *Store
	Consumer string
	// Handle is called with each, normally [consumers.Consumer.Redrive].
	Handle func(context.Context, consumers.DeadLetter) error
}

// Request is the member "redrive" of such an invocation. The zero value is all that were
// not redriven yet, from the oldest position.
type Request struct {
	// Position is of the one to redrive.
	Position string `json:"position,omitempty"`
	// Stream is the ARN of its stream; "": of any, if several have that position.
	Stream string `json:"stream,omitempty"`
}

// Result is the answer.
type Result struct {
	// Redriven were handled, now or before; Failed were not.
	Redriven int `json:"redriven"`
	Failed   int `json:"failed"`
	// Errors are the first ten.
	Errors []string `json:"errors"`
	// More says that time ran out: invoke it again.
	More bool `json:"more"`
}

// ErrRequest is returned for what is not a [Request].
var ErrRequest = errors.New(`"redrive" must be {} or {"position": "...", "stream": "..."}`)

const (
	maxRedriveErrors = 10
	redrivePage      = 100
)

// parseRequest refuses what a request does not have: with a misspelt position it would be
// one for all dead letters.
func parseRequest(text json.RawMessage) (r Request, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err = d.Decode(&r); err == nil && text[0] != '{' {
		err = errors.New("null")
	}
	if err == nil && r.Stream != "" && r.Position == "" {
		err = errors.New("a stream without a position")
	}
	if err != nil {
		return r, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return r, nil
}

// Redrive does what request, a [Request] in JSON, says, each letter with four fifths of the
// time that is left. An error is that nothing was redriven: the request is invalid,
// there is no such letter, or the table cannot be read.
func (r Redriver) Redrive(ctx context.Context, request json.RawMessage) (Result, error) {
	result := Result{Errors: []string{}}
	parsed, err := parseRequest(request)
	if err != nil {
		return result, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		limited, cancel := context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/5))
		defer cancel()
		ctx = limited
	}
	if parsed.Position != "" {
		err = r.redriveAt(ctx, parsed, &result)
	} else {
		err = r.redriveAll(ctx, &result)
	}
	if err != nil {
		return result, fmt.Errorf("redrive: %w", err)
	}
	return result, nil
}

func (r Redriver) redriveAt(ctx context.Context, request Request, result *Result) error {
	position, err := events.ParsePosition(request.Position)
	if err != nil {
		return err
	}
	ids := []ID{{r.Consumer, position, request.Stream}}
	if request.Stream == "" {
		if ids, err = r.Store.At(ctx, r.Consumer, position); err != nil {
			return err
		}
	}
	if len(ids) == 0 {
		return fmt.Errorf("%s of %s: %w", position, r.Consumer, ErrNotFound)
	}
	for _, id := range ids {
		if err := r.redriveOne(ctx, id, result); err != nil {
			return err
		}
	}
	return nil
}

func (r Redriver) redriveAll(ctx context.Context, result *Result) error {
	for options := (ListOptions{Limit: redrivePage}); ; {
		page, err := r.Store.List(ctx, r.Consumer, options)
		if err != nil {
			if ctx.Err() != nil && options.Cursor != "" { // the time ended while the next page was read
				result.More = true
				return nil
			}
			return err
		}
		for _, letter := range page.Letters {
			if ctx.Err() != nil {
				result.More = true
				return nil
			}
			if err := r.redriveOne(ctx, letter.ID(), result); err != nil && !errors.Is(err, ErrNotFound) {
				return err // one that is not found was deleted since it was listed
			}
		}
		if options.Cursor = page.Next; options.Cursor == "" {
			return nil
		}
	}
}

// redriveOne counts an event that still fails. Its error is that the event was not
// found.
func (r Redriver) redriveOne(ctx context.Context, id ID, result *Result) error {
	err := r.Store.Redrive(ctx, id, r.Handle)
	switch {
	case errors.Is(err, ErrNotFound):
		return err
	case err != nil:
		result.Failed++
		if len(result.Errors) < maxRedriveErrors {
			result.Errors = append(result.Errors, err.Error())
		}
	default:
		result.Redriven++
	}
	return nil
}
