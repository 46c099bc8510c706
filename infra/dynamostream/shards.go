package dynamostream

// Shard is a part of a stream in which order holds.
type Shard struct {
	ID     string
	Parent string // the shard that it continues; "" for none
	Closed bool   // it takes no more records
}

// Shards are those that a stream has at one moment. Old ones disappear, so a parent need
// not be among them.
type Shards []Shard

// Has reports whether a shard is among them.
func (s Shards) Has(id string) bool {
	for _, shard := range s {
		if shard.ID == id {
			return true
		}
	}
	return false
}

// Ready are the shards that are not done and whose parents are, or are gone.
func (s Shards) Ready(done func(id string) bool) Shards {
	var all Shards
	for _, shard := range s {
		if !done(shard.ID) && (shard.Parent == "" || done(shard.Parent) || !s.Has(shard.Parent)) {
			all = append(all, shard)
		}
	}
	return all
}

// Passed reports whether all that was written before a barrier has been read: on every way
// from the oldest shards to the open ones there is one that passed the barrier, and all
// before it are done. A list from before the barrier serves as well, since every later shard
// continues one of it; a shard that is done needs a child, which the list may not have yet.
func (s Shards) Passed(passed, done func(id string) bool) bool {
	children := map[string][]string{}
	var roots []string
	for _, shard := range s {
		if shard.Parent == "" || !s.Has(shard.Parent) {
			roots = append(roots, shard.ID)
		} else {
			children[shard.Parent] = append(children[shard.Parent], shard.ID)
		}
	}
	var covered func(id string) bool
	covered = func(id string) bool {
		if passed(id) {
			return true
		}
		for _, child := range children[id] {
			if !covered(child) {
				return false
			}
		}
		return done(id) && len(children[id]) > 0
	}
	for _, root := range roots {
		if !covered(root) {
			return false
		}
	}
	return len(roots) > 0
}
