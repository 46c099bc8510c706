package ship_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/banyan-fig/banyan/infra/opensearch/bulktest"
	"github.com/banyan-fig/banyan/infra/ops/function"
	"github.com/banyan-fig/banyan/infra/ops/logs/ship"
)

// limits is a queue that keeps to the limits of a batch and refuses some entries.
type limits struct {
	t      *testing.T
	bodies []string
	refuse string // an id
}

func (q *limits) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	size := 0
	out := &sqs.SendMessageBatchOutput{}
	for _, e := range in.Entries {
		size += len(*e.MessageBody)
		if *e.Id == q.refuse {
			out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id, Code: aws.String("InternalError")})
			continue
		}
		q.bodies = append(q.bodies, *e.MessageBody)
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id})
	}
	if size > 256<<10 || len(in.Entries) > 10 || len(in.Entries) == 0 {
		q.t.Errorf("a batch of %d messages with %d bytes", len(in.Entries), size)
	}
	return out, nil
}

func TestQueueKeepsWhatFits(t *testing.T) {
	q := &limits{t: t, refuse: "3"}
	noise := make([]byte, 1<<20)
	r := rand.NewChaCha8([32]byte{})
	_, _ = r.Read(noise)
	compressible := strings.Repeat("all the same ", 40_000)
	var letters []ship.DeadLetter
	for range 25 {
		letters = append(letters, ship.DeadLetter{Reason: "r", Message: strings.Repeat("m", 20_000)})
	}
	letters = append(letters, ship.DeadLetter{Message: compressible},
		ship.DeadLetter{Message: strings.ToValidUTF8(string(noise), "\x01")}, ship.DeadLetter{Data: noise})
	failed, err := (&ship.Queue{Client: q, URL: "u"}).Write(t.Context(), letters)
	if !slices.Equal(failed, []int{3}) || err == nil || len(q.bodies) != 27 {
		t.Fatalf("failed %v, %v, %d kept", failed, err, len(q.bodies))
	}
	var got [3]ship.DeadLetter
	for i := range got {
		if err := json.Unmarshal([]byte(q.bodies[24+i]), &got[i]); err != nil {
			t.Fatal(err)
		}
	}
	z, err := gzip.NewReader(bytes.NewReader(got[0].Data))
	if err != nil || !got[0].Gzip || got[0].Cut {
		t.Fatalf("compressed: %v", err)
	}
	if whole, err := io.ReadAll(z); err != nil || string(whole) != compressible {
		t.Errorf("%d bytes came back, %v", len(whole), err)
	}
	if !got[1].Cut || got[1].Message == "" || !got[2].Cut || !bytes.HasPrefix(noise, got[2].Data) {
		t.Error("what does not fit must be cut, and say so")
	}
}

// TestTemplateIsPutOnce, before the first documents.
func TestTemplateIsPutOnce(t *testing.T) {
	server := bulktest.Start(t, bulktest.Faults{})
	env := map[string]string{"OPENSEARCH_URL": server.URL, "OPENSEARCH_AUTH": "none", "LOG_DEAD_LETTER_URL": "http://q", "LOG_PLATFORM_METRICS": "false"}
	s, err := ship.Load(function.Parts{Getenv: func(name string) string { return env[name] }})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		answer, err := s.HandleKinesis(t.Context(), batchOf(delivery(t, "g", "s", "line")))
		if err != nil || len(answer.BatchItemFailures) > 0 || server.Counts().Templates != 1 || len(server.Documents()) != i+1 {
			t.Errorf("batch %d: %v, %v, %+v", i, answer, err, server.Counts())
		}
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections() // which the function keeps
}

// TestLoadNamesWhatIsWrong in the environment, all of it at once.
func TestLoadNamesWhatIsWrong(t *testing.T) {
	env := map[string]string{"OPENSEARCH_URL": "admin:geheim@search", "OPENSEARCH_AUTH": "magic", "LOG_MAX_DEPTH": "0", "LOG_PLATFORM_METRICS": "perhaps"}
	_, err := ship.Load(function.Parts{Getenv: func(name string) string { return env[name] }})
	for _, name := range []string{"OPENSEARCH_AUTH", "LOG_MAX_DEPTH", "LOG_PLATFORM_METRICS", "OPENSEARCH_URL", "LOG_DEAD_LETTER_URL"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named: %v", name, err)
		}
	}
	if strings.Contains(fmt.Sprint(err), "geheim") {
		t.Errorf("the password is told: %v", err)
	}
}
