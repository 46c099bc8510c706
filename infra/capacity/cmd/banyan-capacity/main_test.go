package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/infra/capacity"
)

func TestCommand(t *testing.T) {
	for _, test := range []struct {
		code int
		want string
		args []string
	}{
		{0, "shards (provisioned)", []string{"--rate", "1000000", "--size", "400"}},
		{0, "--read-models", []string{"--help"}},
		{2, "--rate must be more than 0", nil},
		{2, "--rate must be more than 0", []string{"--rate=-1"}},
		{2, "us-east-1", []string{"--rate", "1", "--region", "eu-nowhere-1"}},
		{2, "--items must be more than 0", []string{"--rate", "1", "--items", "0"}},
		{2, "read the prices: [8:1] ", []string{"--rate", "1", "--prices", "main.go"}},
		{0, "eu-west-1", []string{"--rate", "1", "--prices", "testdata/other.yaml", "--region", "eu-west-1"}},
		{2, "Window", []string{"--rate", "1", "--window", "1h"}},
	} {
		var out, notes bytes.Buffer
		code := command(&out).Execute(t.Context(), test.args, &out, &notes)
		if code != test.code || !strings.Contains(out.String()+notes.String(), test.want) {
			t.Errorf("%q exits with %d: %s%s", test.args, code, &out, &notes)
		}
	}
}

func TestJSON(t *testing.T) {
	var out, notes bytes.Buffer
	if code := command(&out).Execute(t.Context(), []string{"--rate", "5000", "--json", "--efo", "--messages", "10"}, &out, &notes); code != 0 {
		t.Fatalf("exit %d: %s", code, &notes)
	}
	var e capacity.Estimate
	if err := json.Unmarshal(out.Bytes(), &e); err != nil {
		t.Fatal(err)
	}
	if e.Load.Rate != 5000 || e.With.Stream.Shards == 0 || e.Queue == nil || e.Prices.By["lambda-arm64"].Source == "" {
		t.Errorf("%+v", e)
	}
}
