// Command model checks the protocol of the names and of the switch with Spin, by models
// in Promela that stand beside it; README.md says what they cover.
//
//	go run ./migrate/model                    all models, and every mutation
//	go run ./migrate/model -list              their names
//	go run ./migrate/model -trail "no proof"  how a mutation breaks its invariant, step by step
//
// A model as designed must hold, over its whole state space. A mutation leaves one
// mechanism out, and must break the invariant that it names: a model that cannot fail
// says nothing. A search that was cut short (by its depth, memory or time) is a failure.
//
// It needs spin and gcc, and says SKIPPED where one is missing.
package main

import (
	"context"
	"embed"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"time"
)

//go:embed *.pml
var models embed.FS

func main() {
	list := flag.Bool("list", false, "print the names of the runs")
	trail := flag.String("trail", "", "print how the mutation of this name breaks its invariant")
	parallel := flag.Int("parallel", min(2, runtime.NumCPU()), "how many runs at once")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *list {
		for _, r := range runs {
			fmt.Println(r.name)
		}
		return
	}
	for _, tool := range []string{"spin", "gcc"} {
		if _, err := exec.LookPath(tool); err != nil {
			fmt.Printf("SKIPPED the model: %s is not installed (Debian has it as the package %[1]s)\n", tool)
			return
		}
	}
	if *trail != "" {
		if err := printTrail(ctx, *trail); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if !checkAll(ctx, *parallel) {
		os.Exit(1)
	}
}

// checkAll runs everything, prints a line for each in the order of the list, and reports
// whether all came out as they must.
func checkAll(ctx context.Context, parallel int) bool {
	began := time.Now()
	results := make([]chan result, len(runs))
	free := make(chan struct{}, parallel)
	var all sync.WaitGroup
	defer all.Wait()
	for i, r := range runs {
		results[i] = make(chan result, 1)
		all.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			results[i] <- check(ctx, r)
		})
	}
	var failed []string
	for i, r := range runs {
		if i == 0 || runs[i-1].model != r.model {
			fmt.Printf("\n%s.pml\n", r.model)
		}
		got := <-results[i]
		verdict, ok := got.judge(r)
		if !ok {
			failed = append(failed, r.name)
			verdict = "FAILED: " + verdict
		}
		fmt.Printf("  %-34s %8d states, depth %4d, %5.1f s, %3.0f MB: %s\n", r.name, got.states, got.depth, got.took.Seconds(), got.memory, verdict)
		if r.breaks == 0 && r.bounds != "" {
			fmt.Printf("    bounds: %s\n", r.bounds)
		}
	}
	if len(failed) > 0 {
		fmt.Printf("\nFAILED in %.0f s: %q\n", time.Since(began).Seconds(), failed)
		return false
	}
	fmt.Printf("\nThe models hold, and each mutation breaks what it names, in %.0f s.\n", time.Since(began).Seconds())
	return true
}

// printTrail searches breadth first, so that the trail is a shortest one.
func printTrail(ctx context.Context, name string) error {
	i := slices.IndexFunc(runs, func(r run) bool { return r.name == name })
	if i < 0 {
		return fmt.Errorf("there is no run %q: -list prints the names", name)
	}
	r := runs[i]
	r.shortest = true
	got := check(ctx, r)
	verdict, _ := got.judge(r)
	fmt.Printf("%s%s (%s.pml, %s %s)\n", got.trail, verdict, r.model, r.bounds, r.mutation)
	return nil
}
