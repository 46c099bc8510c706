package users

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// String returns the cursor as clients see it; empty for the zero Cursor.
func (c Cursor) String() string {
	if c == (Cursor{}) {
		return ""
	}
	b, err := json.Marshal(c)
	if err != nil { // two strings always marshal
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseCursor reads what String wrote. The error wraps ErrCursor.
func ParseCursor(s string) (Cursor, error) {
	var c Cursor
	if s == "" {
		return c, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return Cursor{}, fmt.Errorf("read the cursor %.40q: %w", s, ErrCursor)
	}
	for _, id := range []string{c.After, c.Key} {
		if id != "" && ValidateID(id) != nil {
			return Cursor{}, fmt.Errorf("read the cursor %.40q: %w", s, ErrCursor)
		}
	}
	return c, nil
}
