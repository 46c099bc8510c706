package main

import (
	"testing"

	"github.com/banyan-fig/banyan/infra/serving/servingtest"
)

func TestReference(t *testing.T) { servingtest.Reference(t, newCommand()) }
