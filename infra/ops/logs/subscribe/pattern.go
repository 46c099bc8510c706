package subscribe

import "strings"

// feedback are groups that shipping itself fills, whatever LOG_INCLUDE says: the
// logs of search domains, which have a line for what is shipped to them, and of delivery
// streams.
var feedback = []string{"/aws/OpenSearchService/*", "/aws/opensearch/*", "/aws/aes/*", "/aws/kinesisfirehose/*"}

// matches reports whether a name matches the pattern: * stands for any
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

// wanted reports whether a group is to be subscribed, by its name.
func (c Config) wanted(name string) bool {
	return !anyMatches(feedback, name) && !anyMatches(c.Exclude, name) && (len(c.Include) == 0 || anyMatches(c.Include, name))
}
