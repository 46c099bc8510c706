package putrecords_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/banyan-fig/banyan/events/aggregate"
	"github.com/banyan-fig/banyan/publishers/kinesis/internal/putrecords"
)

// The counting server runs in a process of its own, which is this test binary
// again, so that getrusage of this one is the CPU of the publisher's side only.
const serverVariable = "BANYAN_PUTRECORDS_COUNTING_SERVER"

func init() {
	if os.Getenv(serverVariable) != "" {
		serveCounting()
		os.Exit(0)
	}
}

// serveCounting answers with one result for each record, as many as the header
// says that the benchmark sends, until its input ends.
func serveCounting() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("http://" + listener.Addr().String())
	go func() { panic(http.Serve(listener, http.HandlerFunc(count))) }()
	_, _ = os.Stdin.Read(make([]byte, 1))
}

func count(w http.ResponseWriter, r *http.Request) {
	drain := make([]byte, 256<<10)
	for {
		if _, err := r.Body.Read(drain); err != nil {
			break
		}
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_, _ = w.Write(answerFor(r.URL.Path))
}

func answerFor(path string) []byte {
	n := 0
	_, _ = fmt.Sscanf(path, "/%d", &n)
	result := map[string]string{"SequenceNumber": "49590338271490256608559692538361571095921575989136588898", "ShardId": "shardId-000000000000"}
	results := make([]map[string]string, n)
	for i := range results {
		results[i] = result
	}
	text, _ := json.Marshal(map[string]any{"FailedRecordCount": 0, "Records": results})
	return text
}

func countingServer(b *testing.B) string {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverVariable+"=1", "GOMAXPROCS=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	url := make([]byte, 100)
	n, err := out.Read(url)
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(string(url[:n]))
}

// cpu is what this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure runs send, which sends so many events, and reports CPU per event.
func measure(b *testing.B, events int, send func()) {
	b.ReportAllocs()
	send()
	b.ResetTimer()
	before := cpu(b)
	for range b.N {
		send()
	}
	b.ReportMetric(float64(cpu(b)-before)/1e3/float64(b.N*events), "cpu-us/event")
}

func benchKey(i int) string { return fmt.Sprintf("59b99db4cfa9a34dcd%06x", i%1000) }

// BenchmarkSend compares one request's way with the SDK's own, for the same
// events: 500 records a request, and as many as fit into 1 MiB of aggregates.
func BenchmarkSend(b *testing.B) {
	for _, size := range []int{200, 1000} {
		data := bytes.Repeat([]byte("x"), size)
		b.Run(fmt.Sprintf("%dB/sdk", size), func(b *testing.B) { benchmarkSDK(b, data) })
		for name, encoding := range map[string]putrecords.Encoding{"json": putrecords.JSON, "cbor": putrecords.CBOR} {
			b.Run(fmt.Sprintf("%dB/%s/500", size, name), func(b *testing.B) { benchmarkRecords(b, encoding, data, 500) })
			b.Run(fmt.Sprintf("%dB/%s/1", size, name), func(b *testing.B) { benchmarkRecords(b, encoding, data, 1) })
			b.Run(fmt.Sprintf("%dB/%s/16x64KiB", size, name), func(b *testing.B) { benchmarkAggregates(b, encoding, data) })
		}
	}
}

// readersOnly hides the method WriteTo of the SDK's bodies, for which it fails
// now and then, see body.go.
func readersOnly(o *awskinesis.Options) {
	client := o.HTTPClient
	o.HTTPClient = smithyhttp.ClientDoFunc(func(r *http.Request) (*http.Response, error) {
		r.Body = struct{ io.ReadCloser }{r.Body}
		return client.Do(r)
	})
}

func benchmarkSDK(b *testing.B, data []byte) {
	for _, n := range []int{500, 1} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			client := newClient(b, fmt.Sprintf("%s/%d", countingServer(b), n), readersOnly)
			measure(b, n, func() {
				batch := make([]types.PutRecordsRequestEntry, n)
				for j := range batch {
					batch[j] = types.PutRecordsRequestEntry{PartitionKey: aws.String(benchKey(j)), Data: data}
				}
				if _, err := client.PutRecords(context.Background(), &awskinesis.PutRecordsInput{StreamName: aws.String(stream), Records: batch}); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

func benchmarkRecords(b *testing.B, encoding putrecords.Encoding, data []byte, n int) {
	client := newClient(b, fmt.Sprintf("%s/%d", countingServer(b), n))
	r := putrecords.Request{Encoding: encoding}
	keys := make([]string, n)
	for i := range keys {
		keys[i] = benchKey(i)
	}
	measure(b, n, func() {
		r.Reset(stream)
		for _, key := range keys {
			r.Add(key, "", data)
		}
		if _, err := r.Send(context.Background(), client); err != nil {
			b.Fatal(err)
		}
	})
}

func benchmarkAggregates(b *testing.B, encoding putrecords.Encoding, data []byte) {
	const aggregates, most = 16, 64 << 10
	client := newClient(b, fmt.Sprintf("%s/%d", countingServer(b), aggregates))
	r := putrecords.Request{Encoding: encoding}
	var builders [aggregates]aggregate.Builder
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = benchKey(i)
	}
	events := 0
	fill := func() {
		r.Reset(stream)
		events = 0
		for i := range builders {
			builders[i].Reset()
			for builders[i].AddWithin(aggregate.Record{PartitionKey: keys[events%1000], Data: data}, most) {
				events++
			}
			r.AddAggregate(keys[0], "", &builders[i])
		}
	}
	fill()
	measure(b, events, func() {
		fill()
		if _, err := r.Send(context.Background(), client); err != nil {
			b.Fatal(err)
		}
	})
}
