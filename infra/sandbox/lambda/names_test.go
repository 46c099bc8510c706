package lambda_test

import (
	"strings"
	"testing"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/lambda"
)

func TestParseReference(t *testing.T) {
	for _, c := range []struct{ text, given, name, qualifier, says string }{
		{"f", "", "f", "", ""}, {"f", "live", "f", "live", ""}, {"f:7", "", "f", "7", ""}, {"f:$LATEST", "", "f", "$LATEST", ""},
		{"123456789012:function:f", "", "f", "", ""}, {"123456789012:function:f:live", "", "f", "live", ""},
		{"arn:aws:lambda:us-east-1:123456789012:function:f", "", "f", "", ""},
		{"arn:aws:lambda:us-east-1:123456789012:function:f:7", "7", "f", "7", ""},
		{"f:1", "2", "", "", "does not match the specified qualifier"},
		{"", "", "", "", "'functionName'"}, {"a b", "", "", "", "'functionName'"}, {"f", "a b", "", "", "'qualifier'"},
		{"arn:aws:sqs:us-east-1:123456789012:queue", "", "", "", "'functionName'"}, {"f:1:2", "", "", "", "'functionName'"},
	} {
		name, qualifier, err := sandbox.ParseReference(c.text, c.given)
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q, %q: %v", c.text, c.given, err)
			}
			continue
		}
		if err != nil || name != c.name || qualifier != c.qualifier {
			t.Errorf("%q, %q: %q, %q, %v", c.text, c.given, name, qualifier, err)
		}
	}
}

// What is accepted can be said again as a name with a qualifier.
func FuzzParseReference(f *testing.F) {
	f.Add("arn:aws:lambda:us-east-1:123456789012:function:f:live", "")
	f.Add("123456789012:function:f", "1")
	f.Fuzz(func(t *testing.T, text, given string) {
		name, qualifier, err := sandbox.ParseReference(text, given)
		if err != nil {
			return
		}
		again, same, err := sandbox.ParseReference(name, qualifier)
		if err != nil || again != name || same != qualifier {
			t.Errorf("%q, %q: %q, %q, then %q, %q, %v", text, given, name, qualifier, again, same, err)
		}
	})
}
