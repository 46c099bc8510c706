package docs_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/sandbox"
)

// TestShop follows the README's quick start in a module outside of this one: a
// company of its own declares an event, publishes it from a service, and keeps a
// read model, with nothing of the example's.
func TestShop(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: it builds a module of its own")
	}
	t.Parallel()
	bin := buildShop(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s := startSandbox(ctx, t, filepath.Join(bin, "spending"))
	url := startOrders(t, filepath.Join(bin, "orders"), s.Env())

	for order, want := range map[string]int{
		`{"orderId":"1","customer":"ada","cents":1250}`: http.StatusCreated,
		`{"orderId":"2","customer":"ada","cents":750}`:  http.StatusCreated,
		`{"orderId":"3","customer":"bob","cents":1}`:    http.StatusCreated,
		`{"orderId":"","customer":"ada","cents":1}`:     http.StatusBadRequest,
		`{"orderId":"4","customer":"","cents":1}`:       http.StatusBadRequest,
		`{"orderId":"5"}`: http.StatusBadRequest,
	} {
		answer, err := http.Post(url+"/orders", "application/json", strings.NewReader(order))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %d %s, want %d", order, answer.StatusCode, text, want)
		}
	}
	for customer, want := range map[string]string{"ada": "2 orders, 2000 cents", "bob": "1 orders, 1 cents"} {
		waitFor(ctx, t, want, func() string { return spent(ctx, t, s, customer) })
	}
}

// buildShop builds the shop's two programs as its developers would: with a go.mod of
// their own that requires this module, here the checkout.
func buildShop(t *testing.T) (bin string) {
	t.Helper()
	checkout, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS("testdata/shop")); err != nil {
		t.Fatal(err)
	}
	_, requirements, _ := strings.Cut(read(t, "go.mod"), "\n")
	goMod := "module example.com/shop\n" + requirements +
		"\nrequire " + module + " v0.0.0\nreplace " + module + " => " + checkout + "\n"
	for name, text := range map[string]string{"go.mod": goMod, "go.sum": read(t, "go.sum")} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bin = filepath.Join(folder, "bin") + "/"
	cmd := exec.Command("go", "build", "-mod=mod", "-o", bin, "./cmd/orders", "./functions/spending")
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the shop: %v\n%s", err, out)
	}
	return bin
}

func startSandbox(ctx context.Context, t *testing.T, function string) *sandbox.Sandbox {
	t.Helper()
	s, err := sandbox.Start(ctx, sandbox.Config{Environ: []string{}, FunctionLog: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for _, err := range []error{
		s.CreateStream(ctx, "shop-events", 1),
		s.CreateTable(ctx, "spending"),
		s.CreateTable(ctx, "banyan-dead-letters"),
		s.CreateFunction(ctx, sandbox.Function{Name: "spending", File: function}),
		s.Map(ctx, "spending", "shop-events"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

var address = regexp.MustCompile(`"address":"([^"]+)"`)

// startOrders starts the service on a free port, which it logs.
func startOrders(t *testing.T, program string, env []string) (url string) {
	t.Helper()
	cmd := exec.Command(program, "--listen", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), env...)
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		for lines.Scan() {
			t.Log(lines.Text())
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("orders: %v", err)
		}
	})
	for lines.Scan() {
		if m := address.FindStringSubmatch(lines.Text()); m != nil {
			return "http://" + m[1]
		}
		t.Log(lines.Text())
	}
	t.Fatal("orders ended before it served")
	return ""
}

// spent reads a customer's item of the read model.
func spent(ctx context.Context, t *testing.T, s *sandbox.Sandbox, customer string) string {
	t.Helper()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, setting := range s.Env() {
		if url, ok := strings.CutPrefix(setting, "AWS_ENDPOINT_URL="); ok {
			cfg.BaseEndpoint = &url
		}
	}
	cfg.Region, cfg.Credentials = "eu-west-1", aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "sandbox", SecretAccessKey: "sandbox"}, nil
	})
	out, err := dynamodb.NewFromConfig(cfg).GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String("spending"), ConsistentRead: aws.Bool(true),
		Key: map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: customer}, "sk": &types.AttributeValueMemberS{Value: "spending"}}})
	if err != nil {
		return err.Error()
	}
	number := func(name string) string {
		if n, ok := out.Item[name].(*types.AttributeValueMemberN); ok {
			return n.Value
		}
		return "no"
	}
	return number("Orders") + " orders, " + number("Cents") + " cents"
}

// waitFor polls until got returns want, or the context ends.
func waitFor(ctx context.Context, t *testing.T, want string, got func() string) {
	t.Helper()
	for {
		now := got()
		if now == want {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited for %q; it is %q", want, now)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
