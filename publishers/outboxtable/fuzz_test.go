package outboxtable_test

import (
	"testing"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers/outboxtable"
)

// FuzzPosition: whatever was in an item, its dead letter has a position that is
// one, and that another event of the same item does not have.
func FuzzPosition(f *testing.F) {
	f.Add("k", "00000000000000000007.id", []byte("x"))
	f.Add("", "99999999999999999999", []byte{})
	f.Add("k", "0000000000000000000\xc3\xbc.id", []byte(nil))
	f.Fuzz(func(t *testing.T, pk, sk string, raw []byte) {
		d := outboxtable.DeadLetter{Table: "t", PartitionKey: pk, SortKey: sk, Raw: raw}
		p := d.Position()
		back, err := events.ParsePosition(p.String())
		if err != nil || back != p {
			t.Errorf("%v is read as %v, %v", p, back, err)
		}
		other := d
		other.Raw = append([]byte("y"), raw...)
		if other.Position() == p {
			t.Errorf("two events at %v", p)
		}
	})
}
