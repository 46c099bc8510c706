package sqsloop

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Settings are what the functions read from their environment; see the package
// comment.
type Settings struct {
	Queues       []Queue
	Table        string
	Function     string
	RecurseAfter time.Duration
}

// maxTurn is how long Lambda lets a function run.
const maxTurn = 15 * time.Minute

// ParseSettings reads an environment and names every variable that is wrong.
func ParseSettings(getenv func(string) string) (Settings, error) {
	s := Settings{Table: getenv("LOOP_TABLE"), Function: getenv("LOOP_FUNCTION")}
	var errs []error
	text, err := queuesText(getenv("LOOP_QUEUES"), getenv("LAMBDA_TASK_ROOT"))
	if len(text) == 0 && err == nil {
		err = errors.New("it is not set, or the file is empty; must be a JSON array of queues")
	} else if err == nil {
		s.Queues, err = ParseQueues(text)
	}
	if err != nil {
		errs = append(errs, fmt.Errorf("LOOP_QUEUES: %w", err))
	}
	if text := getenv("RECURSE_AFTER"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 || d > maxTurn {
			errs = append(errs, fmt.Errorf("invalid RECURSE_AFTER %q: must be a duration from 0s to %s", text, maxTurn))
		}
		if s.RecurseAfter = d; d == 0 {
			s.RecurseAfter = -1
		}
	}
	return s, errors.Join(errs...)
}

// queuesText is the variable itself, or the file that it names.
func queuesText(value, root string) ([]byte, error) {
	path, isFile := strings.CutPrefix(value, "file:")
	if !isFile {
		return []byte(value), nil
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(root, path)
	}
	return os.ReadFile(path)
}
