package demo

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseSeeds(t *testing.T) {
	for text, want := range map[string]Seeds{
		"7": {7}, "1-3": {1, 2, 3}, "9, 4-5,4": {9, 4, 5, 4},
		"18446744073709551615": {18446744073709551615},
		"":                     nil, "x": nil, "3-1": nil, "1-": nil, "-1": nil, "1-20000": nil, "1,,2": nil,
	} {
		if got, err := ParseSeeds(text); !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestARunThatGoesOnForEverFails(t *testing.T) {
	_, err := runWithin(t.Context(), time.Nanosecond, Config{Out: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "not done within 1ns") {
		t.Errorf("%v", err)
	}
}
