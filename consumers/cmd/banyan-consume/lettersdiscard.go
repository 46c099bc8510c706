package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/infra/serving"
)

type lettersDiscardCommand struct {
	tableFlags
	asJSON
	Consumer string `arg:"" help:"Name of the consumer."`
	selection
	All      bool   `help:"All that were not redriven."`
	Redriven bool   `help:"Those that were redriven, too."`
	Reason   string `help:"Why, for the log. Without it the command asks, and takes yes for an answer." placeholder:"TEXT"`
	By       string `help:"Who, for the log. Default: the user of the process." env:"BANYAN_CONSUME_BY" placeholder:"NAME"`
	DryRun   bool   `help:"Only say which letters would be deleted."`
}

// Validate is called by kong.
func (c *lettersDiscardCommand) Validate() error {
	if !c.All && len(c.Position) == 0 && c.filterFlags == (filterFlags{}) {
		return errors.New("missing positions, flags that select letters, or --all")
	}
	return c.validate()
}

// Run deletes letters.
func (c *lettersDiscardCommand) Run(ctx context.Context, parsed *kong.Context, log *slog.Logger) error {
	store, err := c.open(ctx)
	if err != nil {
		return err
	}
	if c.Until == (moment{}) { // not those that come after the question
		c.Until = moment(time.Now())
	}
	n := 0
	each := func(do func(deadletter.ID) error) error {
		n = 0
		return c.each(ctx, store, c.Table, c.Consumer, c.Redriven, func(id deadletter.ID) error { n++; return do(id) })
	}
	if c.DryRun {
		err = each(func(id deadletter.ID) error {
			_, err := fmt.Fprintf(parsed.Stderr, "would delete %s\n", printable(id.String()))
			return err
		})
		return errors.Join(err, c.report(parsed.Stdout, n, "would be deleted"))
	}
	if c.Reason == "" {
		if err := each(func(deadletter.ID) error { return nil }); err != nil {
			return err
		}
		if err := confirm(parsed.Stderr, os.Stdin, fmt.Sprintf("Delete %s of %s for good?", count(n, "dead letter"), printable(c.Consumer))); err != nil {
			return err
		}
	}
	by := cmp.Or(c.By, userName())
	err = each(func(id deadletter.ID) error {
		if err := store.Delete(ctx, id); err != nil {
			n--
			return err
		}
		log.InfoContext(ctx, "a dead letter was discarded", "consumer", id.Consumer, "position", id.Position.String(), "stream", id.Stream,
			"by", by, "reason", cmp.Or(c.Reason, "confirmed at the prompt"))
		return nil
	})
	return errors.Join(err, c.report(parsed.Stdout, n, "deleted"))
}

func (c *lettersDiscardCommand) report(w io.Writer, n int, what string) error {
	if c.JSON {
		return printJSON(w, map[string]any{"selected": n, "dry_run": c.DryRun})
	}
	_, err := fmt.Fprintf(w, "%s %s\n", count(n, "letter"), what)
	return err
}

// confirm asks, and returns an error unless the answer is yes.
func confirm(w io.Writer, r io.Reader, question string) error {
	fmt.Fprintf(w, "%s Type yes: ", question)
	answer, err := bufio.NewReader(io.LimitReader(r, 100)).ReadString('\n')
	if strings.TrimSpace(answer) == "yes" {
		return nil
	}
	if err != nil {
		fmt.Fprintln(w)
	}
	return fmt.Errorf("%w: nothing was deleted: give --reason, or answer yes", serving.ErrUsage)
}

// userName is who runs the process, as far as the system knows.
func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return os.Getenv("USER")
}
