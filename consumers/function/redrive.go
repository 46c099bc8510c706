package function

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/events"
)

type redriveRequest struct {
	Position string // "": all
}

var errInvocation = errors.New("invalid invocation")

// parseRedrive refuses what the request does not have: with a misspelt position it
// would be one for all dead letters.
func parseRedrive(text json.RawMessage) (r redriveRequest, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err = d.Decode(&r); err == nil && text[0] != '{' {
		err = errors.New("null")
	}
	if err != nil {
		return r, fmt.Errorf(`%w: "redrive" must be {} or {"position": "..."}: %w`, errInvocation, err)
	}
	return r, nil
}

type redriveResult struct {
	Redriven int      `json:"redriven"`
	Failed   int      `json:"failed"`
	Errors   []string `json:"errors"` // the first few
	More     bool     `json:"more"`
}

const (
	maxRedriveErrors = 10
	redrivePage      = 100
)

// redrive handles dead letters again, each with the time that is left but a fifth.
func (f *Function) redrive(ctx context.Context, r redriveRequest) (redriveResult, error) {
	if deadline, ok := ctx.Deadline(); ok {
		limited, cancel := context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/5))
		defer cancel()
		ctx = limited
	}
	result := redriveResult{Errors: []string{}}
	if r.Position != "" {
		position, err := events.ParsePosition(r.Position)
		if err == nil {
			err = f.redriveOne(ctx, position, &result)
		}
		return result, err
	}
	for options := (deadletter.ListOptions{Limit: redrivePage}); ; {
		page, err := f.deadLetters.List(ctx, f.name, options)
		if err != nil {
			if ctx.Err() != nil && options.Cursor != "" { // the time ended while the next page was read
				result.More = true
				return result, nil
			}
			return result, err
		}
		for _, letter := range page.Letters {
			if ctx.Err() != nil {
				result.More = true
				return result, nil
			}
			if err := f.redriveOne(ctx, letter.Position, &result); err != nil && !errors.Is(err, deadletter.ErrNotFound) {
				return result, err // one that is not found was deleted since it was listed
			}
		}
		if options.Cursor = page.Next; options.Cursor == "" {
			return result, nil
		}
	}
}

// redriveOne counts an event that still fails. Its error is that the event was not
// found.
func (f *Function) redriveOne(ctx context.Context, p events.Position, result *redriveResult) error {
	err := f.deadLetters.Redrive(ctx, f.name, p, f.Redrive)
	switch {
	case errors.Is(err, deadletter.ErrNotFound):
		return fmt.Errorf("redrive: %w", err)
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
