package lambda

import (
	"regexp"
	"strings"
)

var (
	functionName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)
	aliasName    = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,128}$`)
	versionName  = regexp.MustCompile(`^[0-9]+$`)
	rolePattern  = regexp.MustCompile(`^arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$`)
)

// latest is the version that can be changed.
const latest = "$LATEST"

// reference is a function's name with an optional version or alias.
type reference struct{ name, qualifier string }

// parseReference reads the forms in which the API accepts a function (API
// reference, Invoke, "FunctionName"): a name, a partial ARN or an ARN, each
// with a qualifier or without. A qualifier given apart must not differ.
func parseReference(text, qualifier string) (reference, error) {
	parts := strings.Split(text, ":")
	switch {
	case strings.HasPrefix(text, "arn:") && len(parts) >= 7 && parts[2] == "lambda" && parts[5] == "function":
		parts = parts[6:]
	case len(parts) >= 3 && parts[1] == "function":
		parts = parts[2:]
	}
	if len(parts) > 2 || !functionName.MatchString(parts[0]) {
		return reference{}, violates("1 validation error detected: Value '%s' at 'functionName' failed to satisfy constraint: "+
			"Member must satisfy regular expression pattern: %s", text, functionName)
	}
	ref := reference{name: parts[0], qualifier: qualifier}
	if len(parts) == 2 {
		if qualifier != "" && qualifier != parts[1] {
			return reference{}, invalid("The derived qualifier from the function name does not match the specified qualifier.")
		}
		ref.qualifier = parts[1]
	}
	if q := ref.qualifier; q != "" && q != latest && !aliasName.MatchString(q) {
		return reference{}, violates("1 validation error detected: Value '%s' at 'qualifier' failed to satisfy constraint: "+
			"Member must satisfy regular expression pattern: (|[a-zA-Z0-9$_-]+)", q)
	}
	return ref, nil
}

// arn returns the ARN of a function, with the qualifier where there is one.
func (h *Host) arn(name, qualifier string) string {
	arn := "arn:aws:lambda:" + h.cfg.Region + ":" + h.cfg.Account + ":function:" + name
	if qualifier != "" {
		arn += ":" + qualifier
	}
	return arn
}
