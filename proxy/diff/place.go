package diff

import "strconv"

// place is where a value stands; nil is $. Its text is made only where sides differ.
type place struct {
	up   *place
	name string
	item bool
}

func (p *place) appendPath(dst []byte) []byte {
	if p == nil {
		return append(dst, '$')
	}
	dst = p.up.appendPath(dst)
	switch {
	case p.item:
		return append(dst, "[]"...)
	case isID(p.name):
		return append(dst, ".*"...)
	case plainName.MatchString(p.name):
		return append(append(dst, '.'), p.name...)
	}
	return append(strconv.AppendQuote(append(dst, '['), cut(p.name, maxShown)), ']')
}
