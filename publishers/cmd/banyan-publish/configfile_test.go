package main

import "testing"

// FuzzSettings: no file ends the program other than by an error, and what is read
// is a text or a list of texts.
func FuzzSettings(f *testing.F) {
	for _, text := range []string{"", "a: 1", "a: [1, b]\nc: true", "a: {b: c}", "- a", "a: \"", "---\na: 1\n---\nb: 2", "a: |\n  text\n", "? a\n: b", "&x a: *x", "a: !!str 1", "# only"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSettings([]byte(text))
		if err != nil {
			return
		}
		for key, v := range s.values {
			if list, ok := v.value.([]any); ok {
				for _, item := range list {
					if _, ok := item.(string); !ok {
						if _, nested := item.([]any); !nested {
							t.Errorf("%s: %T", key, item)
						}
					}
				}
			} else if _, ok := v.value.(string); !ok || v.line < 1 {
				t.Errorf("%s: %T in line %d", key, v.value, v.line)
			}
		}
	})
}
