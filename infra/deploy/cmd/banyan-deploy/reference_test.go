package main

import (
	"io"
	"testing"

	"github.com/banyan-fig/banyan/infra/serving/servingtest"
)

func TestReference(t *testing.T) { servingtest.Reference(t, command(io.Discard, io.Discard)) }
