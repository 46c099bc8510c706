package counting

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// jsonBody walks over the JSON that clients of the service write: it knows the
// grammar, but does not look into what it skips.
type jsonBody struct {
	b []byte
	i int
}

func (q *request) parseJSON(body []byte) error {
	j := jsonBody{b: body}
	err := j.object(func(name []byte) error {
		switch string(name) {
		case "StreamName":
			s, err := j.text()
			q.stream = s
			return err
		case "Records":
			return j.array(func() error { return j.record(q.add()) })
		}
		return j.skip()
	})
	if err != nil {
		return fmt.Errorf("%w: JSON: byte %d: %w", errBody, j.i, err)
	}
	return nil
}

func (j *jsonBody) record(r *record) error {
	r.base64 = true
	return j.object(func(name []byte) error {
		value, err := j.text()
		r.set(name, value)
		return err
	})
}

func (j *jsonBody) object(member func(name []byte) error) error {
	return j.list('{', '}', func() error {
		name, err := j.text()
		if err != nil {
			return err
		}
		if !j.take(':') {
			return fmt.Errorf("no colon")
		}
		return member(name)
	})
}

func (j *jsonBody) array(element func() error) error { return j.list('[', ']', element) }

func (j *jsonBody) list(open, end byte, element func() error) error {
	if !j.take(open) {
		return fmt.Errorf("no %q", open)
	}
	if j.take(end) {
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if j.take(end) {
			return nil
		}
		if !j.take(',') {
			return fmt.Errorf("neither a comma nor %q", end)
		}
	}
}

// take goes over blanks and over c, if that is next.
func (j *jsonBody) take(c byte) bool {
	for j.i < len(j.b) {
		switch j.b[j.i] {
		case c:
			j.i++
			return true
		case ' ', '\t', '\r', '\n':
			j.i++
		default:
			return false
		}
	}
	return false
}

// text reads a string; one with escapes is copied.
func (j *jsonBody) text() ([]byte, error) {
	if !j.take('"') {
		return nil, fmt.Errorf("no string")
	}
	start := j.i
	n := bytes.IndexByte(j.b[start:], '"')
	if n < 0 {
		return nil, fmt.Errorf("a string without end")
	}
	if s := j.b[start : start+n]; bytes.IndexByte(s, '\\') < 0 {
		j.i = start + n + 1
		return s, nil
	}
	return j.escaped(start)
}

func (j *jsonBody) escaped(start int) ([]byte, error) {
	for i := start; i < len(j.b); i++ {
		switch j.b[i] {
		case '\\':
			i++
		case '"':
			j.i = i + 1
			var s string
			err := json.Unmarshal(j.b[start-1:j.i], &s)
			return []byte(s), err
		}
	}
	return nil, fmt.Errorf("a string without end")
}

// skip goes over one value that nobody asked for.
func (j *jsonBody) skip() error {
	d := json.NewDecoder(bytes.NewReader(j.b[j.i:]))
	var value json.RawMessage
	if err := d.Decode(&value); err != nil {
		return err
	}
	j.i += int(d.InputOffset())
	return nil
}
