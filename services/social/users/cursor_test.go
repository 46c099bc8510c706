package users_test

import (
	"errors"
	"testing"

	"github.com/banyan-fig/banyan/services/social/users"
)

func FuzzParseCursor(f *testing.F) {
	for _, c := range []users.Cursor{{}, {After: ned}, {After: ned, Key: robb}} {
		f.Add(c.String())
	}
	f.Add("e30")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := users.ParseCursor(text)
		if err != nil {
			if !errors.Is(err, users.ErrCursor) {
				t.Errorf("error %v", err)
			}
			return
		}
		if again, err := users.ParseCursor(c.String()); err != nil || again != c {
			t.Errorf("%+v reads back as %+v, %v", c, again, err)
		}
	})
}
