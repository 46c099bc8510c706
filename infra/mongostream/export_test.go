package mongostream

import "go.mongodb.org/mongo-driver/v2/bson"

// Unsupported opens a stream as after err, and reports what is not asked for any more.
func Unsupported(err error) (again, expanded, split bool) {
	u := &unsupported{}
	again = u.add(err)
	return again, u.expanded.Load(), u.split.Load()
}

// WithoutSplit is s on a server that cannot split events.
func (s Source) WithoutSplit() Source {
	s.unsupported = &unsupported{}
	s.unsupported.split.Store(true)
	return s
}

// Assemble gives fragments to a stream, and returns the change that the last one completes.
func Assemble(fragments ...bson.Raw) (c *Change, err error) {
	s := &Stream{}
	for _, f := range fragments {
		if c, err = s.assemble(f); c != nil || err != nil {
			break
		}
	}
	return c, err
}
