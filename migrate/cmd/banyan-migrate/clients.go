package main

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/banyan-fig/banyan/migrate"
)

// showClients shows who uses the collection as a table, and below it on which evidence.
func showClients(c migrate.Clients, now time.Time) string {
	var b strings.Builder
	if len(c.Seen) == 0 {
		b.WriteString("Nobody but the service was seen.\n")
	} else {
		table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "APPLICATION\tUSER\tADDRESS\tCOLLECTION\tREADS\tWRITES\tREFUSED\tLAST\tSEEN")
		for _, one := range c.Seen {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s ago\n", cmp.Or(one.Application, "-"), cmp.Or(one.User, "-"), one.Address,
				one.Namespace, one.Reads, one.Writes, one.Refused, one.Command, now.Sub(one.LastSeen).Round(time.Second))
		}
		_ = table.Flush() // to a builder
	}
	for _, line := range c.Summary() {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	for _, text := range c.Warnings {
		fmt.Fprintf(&b, "  let pass     %s\n", firstLine(text))
	}
	for _, text := range c.Refusals {
		fmt.Fprintf(&b, "  refused now  %s\n", firstLine(text))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// firstLine is a sentence without its list, which the table has.
func firstLine(text string) string {
	line, _, more := strings.Cut(text, "\n")
	if more {
		line = strings.TrimSuffix(line, ":")
	}
	return line
}
