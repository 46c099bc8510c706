package putrecords

import (
	"encoding/json"
)

// jsonReader reads JSON.
type jsonReader struct {
	data  []byte
	at    int
	depth int
}

func (d *jsonReader) object(field func(name []byte) error) error {
	return d.nested('{', '}', func() error {
		name, err := d.text()
		if err != nil {
			return err
		}
		if d.next() != ':' {
			return errMalformed
		}
		d.at++
		return field(name)
	})
}

func (d *jsonReader) array(item func() error) error { return d.nested('[', ']', item) }

func (d *jsonReader) nested(open, end byte, item func() error) error {
	if d.null() {
		return nil
	}
	if d.next() != open {
		return errMalformed
	}
	d.at++
	if d.depth++; d.depth > mostDepth {
		return errTooDeep
	}
	defer func() { d.depth-- }()
	if d.next() == end {
		d.at++
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		switch d.next() {
		case ',':
			d.at++
		case end:
			d.at++
			return nil
		default:
			return errMalformed
		}
	}
}

// next is the next byte that is not white space, 0 at the end.
func (d *jsonReader) next() byte {
	for ; d.at < len(d.data); d.at++ {
		switch c := d.data[d.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

func (d *jsonReader) null() bool { return d.next() == 'n' && d.word("null") }

func (d *jsonReader) word(w string) bool {
	if len(d.data)-d.at < len(w) || string(d.data[d.at:d.at+len(w)]) != w {
		return false
	}
	d.at += len(w)
	return true
}

func (d *jsonReader) text() ([]byte, error) {
	if d.null() {
		return nil, nil
	}
	if d.next() != '"' {
		return nil, errMalformed
	}
	start := d.at
	plain := true
	for d.at++; d.at < len(d.data); d.at++ {
		switch c := d.data[d.at]; {
		case c == '"':
			d.at++
			if plain {
				return d.data[start+1 : d.at-1], nil
			}
			return unquote(d.data[start:d.at])
		case c == '\\':
			plain = false
			d.at++ // whatever it is, it does not end the text
		case c < ' ':
			return nil, errMalformed
		case c >= 0x80:
			plain = false // it may not be UTF-8
		}
	}
	return nil, errMalformed
}

func unquote(quoted []byte) ([]byte, error) {
	var text string
	if json.Unmarshal(quoted, &text) != nil {
		return nil, errMalformed
	}
	return []byte(text), nil
}

func (d *jsonReader) skip() error {
	switch c := d.next(); c {
	case '{':
		return d.object(func([]byte) error { return d.skip() })
	case '[':
		return d.array(d.skip)
	case '"':
		_, err := d.text()
		return err
	case 't', 'f', 'n':
		if d.word("true") || d.word("false") || d.word("null") {
			return nil
		}
		return errMalformed
	}
	return d.number()
}

func (d *jsonReader) number() error {
	start := d.at
	for d.at < len(d.data) && isNumeric(d.data[d.at]) {
		d.at++
	}
	if !json.Valid(d.data[start:d.at]) {
		return errMalformed
	}
	return nil
}

func isNumeric(c byte) bool {
	return '0' <= c && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'
}

func (d *jsonReader) end() error {
	if d.next(); d.at < len(d.data) {
		return errMalformed
	}
	return nil
}
