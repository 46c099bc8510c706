package aggregate_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/events/aggregate"
)

// peerRecord is how testdata/peer.py writes a record: key, hash key or null, data.
type peerRecord [3]any

type peer struct {
	t   *testing.T
	in  *json.Encoder
	out *bufio.Reader
}

// startPeer needs AGGREGATE_PEER, a Python that has aws-kinesis-agg, as `make conformance` sets it up.
func startPeer(t *testing.T) *peer {
	python := os.Getenv("AGGREGATE_PEER")
	if python == "" {
		t.Skip("AGGREGATE_PEER is not set: run `make conformance`")
	}
	cmd := exec.Command(python, "testdata/peer.py")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	return &peer{t, json.NewEncoder(in), bufio.NewReader(out)}
}

func (p *peer) ask(request map[string]any, answer any) {
	p.t.Helper()
	if err := p.in.Encode(request); err != nil {
		p.t.Fatal(err)
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		p.t.Fatal(err)
	}
	if err := json.Unmarshal(line, answer); err != nil {
		p.t.Fatal(err)
	}
}

func randomRecords(rnd *rand.Rand) []aggregate.Record {
	var records []aggregate.Record
	for range 1 + rnd.IntN(200) {
		r := aggregate.Record{PartitionKey: fmt.Sprint("ключ", rnd.IntN(40)), Data: make([]byte, 1+rnd.IntN(100))}
		for i := range r.Data {
			r.Data[i] = byte(rnd.Uint32())
		}
		if rnd.IntN(2) == 0 {
			r.ExplicitHashKey = fmt.Sprint(rnd.Uint64())
		}
		records = append(records, r)
	}
	return records
}

func TestPeerReadsAndWritesTheSameBytes(t *testing.T) {
	p := startPeer(t)
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 3))
	for range 100 {
		records := randomRecords(rnd)
		ours := build(records)
		var read [][3]*string
		p.ask(map[string]any{"decode": ours}, &read)
		if len(read) != len(records) {
			t.Fatalf("seed %d: the peer read %d of %d records", seed, len(read), len(records))
		}
		request := make([]peerRecord, len(records))
		for i, r := range records {
			request[i] = peerRecord{r.PartitionKey, nil, r.Data}
			if r.ExplicitHashKey != "" {
				request[i][1] = r.ExplicitHashKey
			}
			comparePeer(t, seed, r, read[i])
		}
		var theirs []byte
		p.ask(map[string]any{"encode": request}, &theirs)
		if !cmp.Equal(ours, theirs) {
			t.Fatalf("seed %d: the peer writes other bytes: %d, ours %d", seed, len(theirs), len(ours))
		}
	}
}

func comparePeer(t *testing.T, seed uint64, r aggregate.Record, read [3]*string) {
	t.Helper()
	var data []byte
	if err := json.Unmarshal(fmt.Appendf(nil, "%q", *read[2]), &data); err != nil {
		t.Fatal(err)
	}
	hash := ""
	if read[1] != nil && r.ExplicitHashKey != "" { // the peer reads "no hash key" as index 0
		hash = *read[1]
	}
	if got := (aggregate.Record{PartitionKey: *read[0], ExplicitHashKey: hash, Data: data}); !cmp.Equal(r, got) {
		t.Fatalf("seed %d: %s", seed, cmp.Diff(r, got))
	}
}
