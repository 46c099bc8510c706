package terraform_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// operations are modules of operations functions, with the package whose comment
// lists their rights, and where the code is that uses them.
var operations = []struct {
	module, doc   string
	code          []string
	modulesAlone  string // what the comment does not ask for, as the module's own
	docsAlone     string // what the comment asks for, and the module does not offer
	usedByOthers  string // what no request in the code needs
	ownsItsStream bool
}{
	{module: "janitor", doc: "janitor", code: []string{"janitor"}},
	{module: "stream-autoscaler", doc: "autoscale", code: []string{"autoscale"}},
	{module: "keep-warm", doc: "warm", code: []string{"warm"}},
	{module: "sqs-loop", doc: "sqsloop", code: []string{"sqsloop"}},
	{
		module: "log-shipping", doc: "logs", code: []string{"logs/ship", "logs/subscribe"}, ownsItsStream: true,
		modulesAlone: "kinesis:PutRecord kinesis:PutRecords", // of CloudWatch Logs' role
		docsAlone:    "secretsmanager:GetSecretValue ssm:GetParameters",
		usedByOthers: "kinesis:PutRecord kinesis:PutRecords es:ESHttpPost es:ESHttpPut iam:PassRole iam:PassedToService " +
			"kinesis:DescribeStream kinesis:DescribeStreamSummary kinesis:GetRecords kinesis:GetShardIterator kinesis:ListShards",
	},
}

var (
	action   = regexp.MustCompile(`\b(?:cloudwatch|dynamodb|es|iam|kinesis|lambda|logs|secretsmanager|sqs|ssm):[A-Z]+[a-z]\w+\b`)
	section  = regexp.MustCompile(`(?s)// IAM, besides.*?\n//\n// [A-Z#]`)
	requests = regexp.MustCompile(`\b(cloudwatch|cloudwatchlogs|dynamodb|kinesis|lambda|sqs)\.(\w+)Input\{`)
	within   = regexp.MustCompile(`\b(?:types|dynamotypes|ddbtypes)\.(Put|Update|Delete|ConditionCheck)\{`)
)

// TestRightsAreThoseOfTheDocs: a module gives what the package's comment asks for,
// and nothing else. (Keys of one's own are another matter: they are given or not.)
func TestRightsAreThoseOfTheDocs(t *testing.T) {
	for _, o := range operations {
		doc := read(t, filepath.Join("../../ops", o.doc, "doc.go"))
		var asked []string
		for _, text := range section.FindAllString(doc, -1) {
			asked = append(asked, action.FindAllString(text, -1)...)
		}
		if len(asked) == 0 {
			t.Fatalf("the comment of package %s lists no rights", o.doc)
		}
		given := granted(t, o.module, o.ownsItsStream)
		for _, a := range missing(asked, given, o.docsAlone) {
			t.Errorf("package %s asks for %s, which module %s does not give", o.doc, a, o.module)
		}
		for _, a := range missing(given, asked, o.modulesAlone) {
			t.Errorf("module %s gives %s, which package %s does not ask for", o.module, a, o.doc)
		}
	}
}

// TestRightsAreThoseOfTheCode: every request that the code can send has its right,
// and no right is for a request that it does not send.
func TestRightsAreThoseOfTheCode(t *testing.T) {
	for _, o := range operations {
		var needed []string
		for _, folder := range o.code {
			needed = append(needed, sent(t, filepath.Join("../../ops", folder))...)
		}
		given := granted(t, o.module, o.ownsItsStream)
		for _, a := range missing(needed, given, "") {
			t.Errorf("the code of module %s needs %s, which that does not give", o.module, a)
		}
		for _, a := range missing(given, needed, o.usedByOthers) {
			t.Errorf("module %s gives %s, which its code has no request for", o.module, a)
		}
	}
}

// TestRightsOfTheTimelineAreThoseOfItsDoc: the same for the function of the example
// that is a service.
func TestRightsOfTheTimelineAreThoseOfItsDoc(t *testing.T) {
	_, doc, _ := strings.Cut(read(t, "../../../services/social/timeline/cmd/timeline-api/main.go"), "// IAM, besides")
	doc, _, _ = strings.Cut(doc, "package main")
	_, block, _ := strings.Cut(read(t, "../examples/environment/services.tf"), `module "timeline_api" {`)
	block, _, _ = strings.Cut(block, "\n}\n")
	asked, given := action.FindAllString(doc, -1), action.FindAllString(block, -1)
	if len(asked) == 0 || len(missing(asked, given, "")) > 0 || len(missing(given, asked, "")) > 0 {
		t.Errorf("its comment asks for %v, and it is given %v", asked, given)
	}
}

// missing are those of all that are neither in these nor among the exceptions.
func missing(all, in []string, exceptions string) (left []string) {
	for _, a := range all {
		if !slices.Contains(in, a) && !slices.Contains(strings.Fields(exceptions), a) && !slices.Contains(left, a) {
			left = append(left, a)
		}
	}
	return left
}

// granted are the actions in a module, and in what hands it a Kinesis stream.
func granted(t *testing.T, module string, stream bool) (all []string) {
	t.Helper()
	for file, text := range sources(t) {
		switch filepath.Base(filepath.Dir(file)) {
		case module:
			all = append(all, action.FindAllString(text, -1)...)
		case "mapping":
			for _, a := range action.FindAllString(text, -1) {
				if stream && !strings.HasPrefix(a, "dynamodb:") {
					all = append(all, a)
				}
			}
		}
	}
	return all
}

// sent are the actions that the requests in a folder's code need.
func sent(t *testing.T, folder string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text := read(t, path)
		for _, r := range requests.FindAllStringSubmatch(text, -1) {
			service, operation := strings.Replace(r[1], "cloudwatchlogs", "logs", 1), strings.TrimSuffix(r[2], "Batch")
			switch operation {
			case "Invoke":
				operation = "InvokeFunction"
			case "CreateTable", "TransactWriteItems": // of tests; and its items, below
				continue
			}
			all = append(all, service+":"+operation)
		}
		for _, r := range within.FindAllStringSubmatch(text, -1) {
			all = append(all, "dynamodb:"+r[1]+"Item")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
