package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/services/entity/backbone"
	"github.com/banyan-fig/banyan/services/entity/gateway"
)

func TestMain(m *testing.M) {
	if serve := os.Getenv("BANYAN_BENCH_SERVE"); serve != "" {
		benchServer(serve)
		return
	}
	goleak.VerifyTestMain(m)
}

// BenchmarkPointRead measures the CPU time of a process that answers reads of one document:
// of a gateway, and of a handler that does nothing but the call of the SDK, in turns. Then the ratio.
func BenchmarkPointRead(b *testing.B) {
	for _, owner := range []ownership.Store{ownership.DynamoDB, ownership.MongoDB} {
		b.Run(string(owner), func(b *testing.B) {
			w := newWorld(b, orders, owner)
			w.expect("PUT", "/v1/orders/x", `{"customer":"ada","placed":"2026-11-30T08:00:00.000Z","number":7,"total":"1.50",`+
				`"shop":"5f0000000000000000000001","lines":[{"sku":"hat","n":1},{"sku":"shoe","n":2}],"note":"`+strings.Repeat("x", 200)+`"}`, 201, "", "")
			servers := map[string]string{}
			for _, kind := range []string{"gateway", "bare"} {
				servers[kind] = w.startBench(kind + "-" + string(owner))
				readMany(b, servers[kind], 200)
			}
			const round = 500
			cpu := map[string]time.Duration{}
			reads := 0
			for b.Loop() {
				for kind, url := range servers {
					before := cpuOf(b, url)
					readMany(b, url, round)
					cpu[kind] += cpuOf(b, url) - before
				}
				reads += round
			}
			for kind, d := range cpu {
				b.ReportMetric(float64(d.Microseconds())/float64(reads), kind+"-cpu-µs/read")
			}
			b.ReportMetric(float64(cpu["gateway"])/float64(cpu["bare"]), "ratio")
		})
	}
}

// startBench starts this program as a server, and returns its URL.
func (w *world) startBench(kind string) string {
	w.Helper()
	self, err := os.Executable()
	must(w, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "BANYAN_BENCH_SERVE="+kind, "MONGODB_URI="+w.uri, "AWS_ENDPOINT_URL="+*w.dynamo.Options().BaseEndpoint)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(w, err)
	must(w, cmd.Start())
	w.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	url, err := bufio.NewReader(out).ReadString('\n')
	must(w, err)
	return strings.TrimSpace(url)
}

func readMany(b *testing.B, url string, n int) {
	for range n {
		res, err := http.Get(url + "/v1/orders/x")
		must(b, err)
		body, err := io.ReadAll(res.Body)
		must(b, err)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK || !strings.Contains(string(body), `"ada"`) {
			b.Fatalf("%d %s", res.StatusCode, body)
		}
	}
}

// cpuOf is the CPU time that the process behind a URL has used.
func cpuOf(b *testing.B, url string) time.Duration {
	res, err := http.Get(url + "/cpu")
	must(b, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(b, err)
	n, err := strconv.ParseInt(string(text), 10, 64)
	must(b, err)
	return time.Duration(n)
}

func benchServer(kind string) {
	ctx := context.Background()
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	client, err := mongo.Connect(options.Client().ApplyURI(os.Getenv("MONGODB_URI")))
	check(err)
	db := client.Database("legacy")
	tables := awsdynamodb.New(awsdynamodb.Options{Region: "us-east-1", BaseEndpoint: aws.String(os.Getenv("AWS_ENDPOINT_URL")),
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", "")})
	var api http.Handler = bare(func(id string) (map[string]any, error) {
		out, err := tables.GetItem(ctx, &awsdynamodb.GetItemInput{TableName: aws.String("orders"), ConsistentRead: aws.Bool(true),
			Key: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: id}}})
		if err != nil {
			return nil, err
		}
		var doc map[string]any
		return doc, attributevalue.UnmarshalMap(out.Item, &doc)
	})
	switch {
	case strings.HasPrefix(kind, "gateway-"):
		p, err := plan.Parse("plan.yaml", []byte(strings.ReplaceAll(orders, "outbox:", "#")))
		check(err)
		b, err := backbone.New(ctx, backbone.Parts{Plan: p, MongoDB: mongoclient.Of(db), DynamoDB: tables})
		check(err)
		api, err = gateway.New(gateway.Config{Store: b.Store})
		check(err)
	case kind == "bare-mongodb":
		api = bare(func(id string) (doc map[string]any, err error) {
			return doc, db.Collection("orders").FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Decode(&doc)
		})
	}
	mux := http.NewServeMux()
	mux.Handle("/", api)
	mux.HandleFunc("GET /cpu", func(w http.ResponseWriter, _ *http.Request) {
		var used syscall.Rusage
		check(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
		fmt.Fprint(w, used.Utime.Nano()+used.Stime.Nano())
	})
	fmt.Println(httptest.NewServer(mux).URL)
	select {}
}

// bare is a handler without anything besides the call.
func bare(read func(id string) (map[string]any, error)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		doc, err := read(r.PathValue("id"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(doc)
	})
	return mux
}
