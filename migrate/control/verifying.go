package control

import "context"

// Verifying is a verification that is under way, or was the last of its kind. What is found is
// in the ranges of the planning that Result.ID names: those of the source in their order, then
// the segments of the target, then those of the unique entries.
type Verifying struct {
	Row
	Result   Verification `dynamodbav:"result"`   // what it is of
	Planner  string       `dynamodbav:"planner"`  // the worker that divides it, while Ranges is 0
	Ranges   int          `dynamodbav:"ranges"`   // of the source
	Segments int          `dynamodbav:"segments"` // of the target
	Unique   int          `dynamodbav:"unique"`   // segments of the unique entries
}

const verifyingPrefix = "verifying#"

// Verifying loads the last verification of a kind, the zero one before the first.
func (s *Store) Verifying(ctx context.Context, kind string) (*Verifying, error) {
	v := &Verifying{}
	_, err := s.load(ctx, verifyingPrefix+kind, v)
	return v, err
}

// SaveVerifying stores the verification of a kind, unless another process has begun one since
// it was loaded.
func (s *Store) SaveVerifying(ctx context.Context, kind string, v *Verifying) error {
	v.PK, v.SK = s.pk, verifyingPrefix+kind
	return s.Save(ctx, v)
}

// Verifyings are the last verifications of all kinds.
func (s *Store) Verifyings(ctx context.Context) ([]Verifying, error) {
	return list[Verifying](ctx, s, verifyingPrefix)
}

// Units is how many ranges are compared, segments included.
func (v *Verifying) Units() int { return v.Ranges + v.Segments + v.Unique }
