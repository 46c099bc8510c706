package sandbox_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of operations into README.md")

// dispatch says where a service's names are, and what finds them there.
var dispatch = []struct{ service, file, pattern string }{
	{"Kinesis", "kinesis/server.go", `"([A-Z]\w+)": +awsjson\.`},
	{"DynamoDB", "dynamodb/server.go", `"([A-Z]\w+)": +\(\*Server\)`},
	{"DynamoDB", "dynamodb/control.go", `"([A-Z]\w+)": +(?:control\()?\(\*Server\)`},
	{"SQS", "sqs/server.go", `"([A-Z]\w+)": +awsjson\.`},
	{"Lambda", "lambda/routes.go", `\{"([A-Z]\w+)", h\.`},
	{"Lambda", "lambda/routes.go", `serveInvoke is the operation (\w+)`},
	{"CloudWatch", "cloudwatch/server.go", `"([A-Z]\w+)": +of\(`},
	{"CloudWatch Logs", "logs/server.go", `"([A-Z]\w+)": +awsjson\.`},
	{"Parameter Store", "settings/parameters.go", `"([A-Z]\w+)": +awsjson\.`},
	{"Secrets Manager", "settings/secrets.go", `"([A-Z]\w+)": +awsjson\.`},
	{"MongoDB commands", "mongodb/commands.go", `"(\w+)": +\{\w+, [\w| ]+\}`},
	{"update operators", "mongodb/query/operators.go", `"(\$\w+)": +\w+`},
	{"pipeline stages", "mongodb/query/pipeline.go", `"(\$\w+)": [a-z]\w*[,\n]`},
	{"pipeline stages", "mongodb/aggregate.go", `"(\$\w+)": +\(\*request\)`},
	{"pipeline stages", "mongodb/out.go", `"(\$\w+)": +\(\*request\)`},
	{"expressions", "mongodb/query/expression.go", `"(\$\w+)": +(?:ordering\(|\{)`},
}

// TestReadmeListsWhatIsImplemented holds the table in README.md against the tables
// by which the services dispatch.
func TestReadmeListsWhatIsImplemented(t *testing.T) {
	names, order := map[string][]string{}, []string{}
	for _, d := range dispatch {
		source, err := os.ReadFile(d.file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(d.pattern).FindAllStringSubmatch(string(source), -1)
		if len(found) == 0 {
			t.Fatalf("%s has no match of %s", d.file, d.pattern)
		}
		if !slices.Contains(order, d.service) {
			order = append(order, d.service)
		}
		for _, f := range found {
			names[d.service] = append(names[d.service], f[1])
		}
	}
	var table strings.Builder
	table.WriteString("| service | implemented |\n|---|---|\n")
	for _, service := range order {
		slices.Sort(names[service])
		fmt.Fprintf(&table, "| %s | %s |\n", service, strings.Join(slices.Compact(names[service]), ", "))
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	const open, end = "<!-- operations: go test -run Readme . -update -->\n", "<!-- end -->"
	before, rest, _ := strings.Cut(string(readme), open)
	_, after, found := strings.Cut(rest, end)
	if !found {
		t.Fatal("README.md has no place for the table of operations")
	}
	want := before + open + table.String() + end + after
	if *update {
		if err := os.WriteFile("README.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(readme) {
		t.Error("README.md does not list what the services implement; write it again: go test -run Readme . -update")
	}
}
