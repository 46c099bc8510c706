package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/consumers/source"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/aggregate"
	"github.com/banyan-fig/banyan/infra/figures"
)

// task is what a process handles: invocations, each of so many bytes, from its input.
type task struct{ Invocations, Bytes int }

// aggregated is an invocation with events in as many records.
func aggregated(n, inRecords int) ([]byte, error) {
	all, err := records(n)
	if err != nil {
		return nil, err
	}
	var e awsevents.KinesisEvent
	for i := range inRecords {
		var b aggregate.Builder
		for _, data := range all[i*n/inRecords : (i+1)*n/inRecords] {
			decoded, err := events.Decode(data)
			if err != nil {
				return nil, err
			}
			b.Add(aggregate.Record{PartitionKey: decoded.PartitionKey, Data: data})
		}
		e.Records = append(e.Records, kinesisRecord(i, b.Append(nil)))
	}
	return json.Marshal(e)
}

// load is what a process handles: invocations with events in so many records each.
type load struct{ events, records, invocations int }

// memory measures what events take, in one invocation and in many, beside a tenth of them.
func (b *bench) memory(ctx context.Context) error {
	tenth := b.Events / 10
	for _, c := range []struct {
		name      string
		more, few load
	}{
		{"one-record", load{b.Events, 1, 1}, load{tenth, 1, 1}},
		{"100-records", load{b.Events, 100, 1}, load{tenth, 10, 1}},
		{"100-invocations", load{tenth, 1, 100}, load{tenth, 1, 10}},
	} {
		var peaks, ratios []float64
		for range b.Rounds {
			few, err := peak(ctx, c.few)
			if err != nil {
				return err
			}
			more, err := peak(ctx, c.more)
			if err != nil {
				return err
			}
			peaks, ratios = append(peaks, more), append(ratios, more/few)
		}
		b.report.Write(figures.Median(caseMemory+"-"+c.name, "peak_mib_above_start", peaks))
		b.report.Write(figures.Median(caseMemory+"-"+c.name, "peak_ratio_to_a_tenth_of_events", ratios).Within(figures.AtMost, 2))
	}
	return nil
}

// peak has a process of its own handle invocations, and returns its most memory in MiB above
// that at the start.
func peak(ctx context.Context, l load) (mib float64, err error) {
	payload, err := aggregated(l.events, l.records)
	if err != nil {
		return 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, self, fmt.Sprintf(`--task={"Invocations":%d,"Bytes":%d}`, l.invocations, len(payload)))
	cmd.Stdin, cmd.Stderr = bytes.NewReader(payload), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("handle %d invocations of %d events: %w", l.invocations, l.events, err)
	}
	return mib, json.Unmarshal(out, &mib)
}

// runTask handles the invocation that in has, so many times, and writes the peak to out.
func runTask(ctx context.Context, text string, in io.Reader, out io.Writer) error {
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return err
	}
	payload := make([]byte, t.Bytes)
	if _, err := io.ReadFull(in, payload); err != nil {
		return err
	}
	c, err := newConsumer()
	if err != nil {
		return err
	}
	debug.FreeOSMemory()
	before := figures.ResidentMiB("VmRSS")
	for range t.Invocations {
		if _, err := source.Handle(ctx, c, []source.Source{source.Kinesis()}, payload); err != nil {
			return err
		}
	}
	return json.NewEncoder(out).Encode(figures.ResidentMiB("VmHWM") - before)
}
