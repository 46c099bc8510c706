package subscribe

import "strings"

// feedback are groups that shipping itself fills, whatever LOG_INCLUDE says: the
// logs of search domains, which tell of what is shipped to them, and of delivery
// streams.
var feedback = []string{"/aws/OpenSearchService/*", "/aws/opensearch/*", "/aws/aes/*", "/aws/kinesisfirehose/*"}

// matches says whether a name is what the pattern describes: * stands for any
// text, also with slashes, which path.Match would not cross.
func matches(pattern, name string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, first)
	if !ok {
		return false
	}
	for {
		next, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(name, next)
		}
		at := strings.Index(name, next)
		if at < 0 {
			return false
		}
		name, rest = name[at+len(next):], after
	}
}

func anyMatches(patterns []string, name string) bool {
	for _, p := range patterns {
		if matches(p, name) {
			return true
		}
	}
	return false
}

// wanted says whether a group is to be subscribed, as far as names tell.
func (c Config) wanted(name string) bool {
	return !anyMatches(feedback, name) && !anyMatches(c.Exclude, name) && (len(c.Include) == 0 || anyMatches(c.Include, name))
}
