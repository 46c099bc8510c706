package filter

import (
	"errors"
	"fmt"
)

// pattern is a compiled part of a filter, for one value of a record. Where the
// record has no such field, the value is absent{}.
type pattern interface{ matches(value any) bool }

type absent struct{}

// fields wants each of its fields to match.
type fields map[string]pattern

// any of these patterns, at the level of the object that holds $or.
type either []pattern

// leaf wants one of its rules to hold.
type leaf []rule

func (p fields) matches(value any) bool {
	if elements, isArray := value.([]any); isArray {
		for _, e := range elements {
			if p.matches(e) {
				return true
			}
		}
		value = absent{}
	}
	object, _ := value.(map[string]any)
	for name, sub := range p {
		if name == "$or" {
			if !sub.matches(value) {
				return false
			}
			continue
		}
		field, there := object[name]
		if !there {
			field = absent{}
		}
		if !sub.matches(field) {
			return false
		}
	}
	return true
}

func (p either) matches(value any) bool {
	for _, alternative := range p {
		if alternative.matches(value) {
			return true
		}
	}
	return false
}

func (p leaf) matches(value any) bool {
	switch v := value.(type) {
	case []any:
		for _, e := range v {
			if p.matches(e) {
				return true
			}
		}
		if len(v) > 0 {
			return false
		}
		value = absent{}
	case map[string]any:
		value = absent{} // exists is for leaves ("Using the Exists operator")
	}
	for _, holds := range p {
		if holds(value) {
			return true
		}
	}
	return false
}

func compile(object map[string]any, depth int) (fields, error) {
	if len(object) == 0 || depth == 0 {
		return nil, errors.New("an object without fields, or nested too deeply")
	}
	out := fields{}
	for name, value := range object {
		sub, err := compileField(name, value, depth)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[name] = sub
	}
	return out, nil
}

func compileField(name string, value any, depth int) (pattern, error) {
	switch v := value.(type) {
	case map[string]any:
		return compile(v, depth-1)
	case []any:
		if name == "$or" {
			return compileEither(v, depth)
		}
		return compileLeaf(v)
	}
	return nil, errors.New("neither an object nor an array of rules")
}

func compileEither(alternatives []any, depth int) (pattern, error) {
	out := either{}
	for _, a := range alternatives {
		object, ok := a.(map[string]any)
		if !ok {
			return nil, errors.New("the alternatives must be objects")
		}
		p, err := compile(object, depth-1)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	if len(out) < 2 {
		return nil, errors.New("there must be two alternatives or more")
	}
	return out, nil
}

func compileLeaf(values []any) (pattern, error) {
	if len(values) == 0 {
		return nil, errors.New("an empty array matches nothing")
	}
	out := leaf{}
	for _, v := range values {
		r, err := compileRule(v)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}
