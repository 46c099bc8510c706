// Package servingtest holds the reference of a command, a Markdown file beside its
// main function, against its flags.
package servingtest

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/infra/serving"
)

var update = flag.Bool("update-reference", false, "write the references of commands")

// Reference fails t unless the file reference.md in the current folder is what the
// command's flags, variables and exit codes say. With -update-reference it writes
// the file.
func Reference(t *testing.T, c serving.Command) {
	t.Helper()
	const file = "reference.md"
	want := render(t, c)
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != want {
		t.Errorf("%s is not what %s --help says (%v); write it again: go test -run %s . -update-reference", file, c.Name, err, t.Name())
	}
}

func render(t *testing.T, c serving.Command) string {
	t.Helper()
	model, err := c.Model()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n", c.Name, c.Description)
	renderNode(&b, model.Node, c.Name)
	b.WriteString("\n## Exit codes\n\n| code | meaning |\n|---|---|\n")
	for _, e := range c.ExitCodes() {
		fmt.Fprintf(&b, "| %d | %s |\n", e.Code, e.Meaning)
	}
	return b.String()
}

// renderNode writes a command with its flags, and then those below it.
func renderNode(b *strings.Builder, n *kong.Node, name string) {
	if n.Type != kong.ApplicationNode {
		fmt.Fprintf(b, "\n## %s\n\n%s\n", name, strings.TrimSpace(n.Help+"\n\n"+n.Detail))
	}
	if len(n.Positional) > 0 {
		b.WriteString("\n| argument | meaning |\n|---|---|\n")
		for _, p := range n.Positional {
			fmt.Fprintf(b, "| `%s` | %s |\n", p.Summary(), cell(p.Help))
		}
	}
	renderFlags(b, n.Flags)
	for _, child := range n.Children {
		if !child.Hidden {
			renderNode(b, child, name+" "+child.Name)
		}
	}
}

func renderFlags(b *strings.Builder, flags []*kong.Flag) {
	head := "\n| flag | environment | default | meaning |\n|---|---|---|---|\n"
	for _, f := range flags {
		if f.Hidden || f.Name == "help" {
			continue
		}
		b.WriteString(head)
		head = ""
		meaning := cell(f.Help)
		if f.Required {
			meaning += " Required."
		}
		fmt.Fprintf(b, "| `--%s` | %s | %s | %s |\n", flagName(f), code(strings.Join(f.Envs, "`, `")), code(f.Default), meaning)
	}
}

func flagName(f *kong.Flag) string {
	if f.IsBool() || f.IsCounter() {
		return f.Name
	}
	value := f.PlaceHolder
	if value == "" {
		value = strings.ToUpper(f.Name)
	}
	return f.Name + "=" + value
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + cell(s) + "`"
}

func cell(s string) string { return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s) }
