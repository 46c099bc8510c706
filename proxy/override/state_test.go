package override

import (
	"reflect"
	"testing"
)

// FuzzDecode: what a store has is refused, or it is the same when it is saved again.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"kind":"banyan-overrides","version":1,"revision":3,"overrides":[` +
		`{"route":"x","mode":"split","percent":1e1,"by":"ann","why":"\u00e9","at":"2026-11-30T12:00:00+01:00","revision":3}]}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		read, err := decode(src)
		if err != nil {
			return
		}
		out, err := encode(read)
		if err != nil {
			t.Skip(err) // too large with other spaces
		}
		if again, err := decode(out); err != nil || !reflect.DeepEqual(again, read) {
			t.Errorf("%v was read, and then %v, %v", read, again, err)
		}
	})
}
