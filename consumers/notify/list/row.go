package list

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
)

// Row is a recipient.
type Row struct {
	// Line is counted from 1, and includes a header.
	Line int64 `json:"-"`
	// User, or else Address, says who it is.
	User string `json:"user"`
	channel.Address
	Locale  string            `json:"locale"`
	Members map[string]string `json:"members"`
}

// Validate reports why nobody can be reached.
func (r Row) Validate() error {
	if (r.User == "") == (r.Token == "") {
		return errors.New("a recipient is a user, or a channel and a token")
	}
	if r.User != "" {
		return nil
	}
	return r.Address.Validate()
}

// key is what makes two rows the same recipient.
func (r Row) key() string {
	if r.User != "" {
		return "user#" + r.User
	}
	return r.Channel + "#" + r.Token
}

// parser reads a line.
type parser func(line string) (Row, error)

func parseJSON(line string) (Row, error) {
	var r Row
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		return r, errors.New("the line is no JSON object of a recipient") // err may show a token
	}
	return r, nil
}

// columns are set by their names; others are members.
var columns = map[string]func(r *Row, value string){
	"user":    func(r *Row, v string) { r.User = v },
	"channel": func(r *Row, v string) { r.Channel = v },
	"token":   func(r *Row, v string) { r.Token = v },
	"auth":    func(r *Row, v string) { r.Auth = v },
	"p256dh":  func(r *Row, v string) { r.P256dh = v },
	"locale":  func(r *Row, v string) { r.Locale = v },
}

// parseCSV is the parser of a file with this header.
func parseCSV(header string) (parser, error) {
	names, err := fields(strings.TrimPrefix(header, "\ufeff"))
	if err != nil {
		return nil, fmt.Errorf("the header: %w", err)
	}
	known := map[string]bool{}
	for _, name := range names {
		if known[name] || name == "" {
			return nil, fmt.Errorf("the header has column %q twice, or one without a name", name)
		}
		known[name] = true
	}
	if !known["user"] && !(known["channel"] && known["token"]) {
		return nil, errors.New("the header needs the column user, or channel and token")
	}
	return func(line string) (Row, error) {
		values, err := fields(line)
		if err != nil || len(values) != len(names) {
			return Row{}, fmt.Errorf("the line is no CSV of %d columns", len(names))
		}
		r := Row{Members: map[string]string{}}
		for i, name := range names {
			if set := columns[name]; set != nil {
				set(&r, values[i])
			} else {
				r.Members[name] = values[i]
			}
		}
		return r, nil
	}, nil
}

// fields splits a line of CSV.
func fields(line string) ([]string, error) {
	if !strings.Contains(line, `"`) {
		return strings.Split(line, ","), nil
	}
	return csv.NewReader(strings.NewReader(line)).Read()
}
