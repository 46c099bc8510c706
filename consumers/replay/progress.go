package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"time"

	"github.com/banyan-fig/banyan/infra/filelock"
)

// Progress is how far a replay has come.
type Progress struct {
	// Of is what is replayed to whom: a replay of something else does not go on from here.
	Of string `json:"of"`
	// After has, by shard, the last sequence number that was delivered.
	After map[string]string `json:"after"`
	// Records and Events were delivered, Skipped are events that a filter left out.
	Records int `json:"records"`
	Events  int `json:"events"`
	Skipped int `json:"skipped"`
	// Through is the greatest time of arrival that was reached.
	Through time.Time `json:"through"`
}

// ErrOtherReplay is returned for a progress file of another replay.
var ErrOtherReplay = errors.New("the file is of another replay")

// LoadProgress reads a file, or begins where there is none.
func LoadProgress(path, of string) (Progress, error) {
	p := Progress{Of: of, After: map[string]string{}}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || path == "" {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err == nil && p.Of != of {
		err = fmt.Errorf("%w, %s, and this is one of %s: give another file, or delete it to begin anew", ErrOtherReplay, p.Of, of)
	}
	if err != nil {
		return p, fmt.Errorf("read progress %s: %w", path, err)
	}
	if p.After == nil {
		p.After = map[string]string{}
	}
	return p, nil
}

// Save writes a file, whole; nothing where path is "".
func (p Progress) Save(path string) error {
	if path == "" {
		return nil
	}
	data, err := json.MarshalIndent(p, "", " ")
	if err == nil {
		err = filelock.Replace(path, data)
	}
	if err != nil {
		return fmt.Errorf("write progress %s: %w", path, err)
	}
	return nil
}

// clone is a copy that the replay does not change any more.
func (p Progress) clone() Progress {
	p.After = maps.Clone(p.After)
	return p
}
