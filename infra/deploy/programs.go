package deploy

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
)

// program is a package main, as "go list" prints it.
type program struct {
	ImportPath, Name string
	Match            []string // the patterns that it was found by
	Deps             []string
	Module           struct{ Path string }
}

// lambdaRuntime is what a function imports to be invoked by Lambda.
const lambdaRuntime = "github.com/aws/aws-lambda-go/lambda"

// majorVersion is the end of an import path that no program is named after.
var majorVersion = regexp.MustCompile(`^v[2-9][0-9]*$|^v1[0-9]+$`)

// name is that of the executable, as "go build" names it.
func (p program) name() string {
	name := path.Base(p.ImportPath)
	if majorVersion.MatchString(name) && path.Dir(p.ImportPath) != "." {
		name = path.Base(path.Dir(p.ImportPath))
	}
	return name
}

// isNamed reports whether the package was asked for by itself.
func (p program) isNamed() bool {
	return slices.ContainsFunc(p.Match, func(pattern string) bool { return !strings.Contains(pattern, "...") })
}

// isFunction reports whether a pattern with ... means the package. Only the folders
// below the module's count: that may itself be at internal.example.com/internal/shop.
func (p program) isFunction() bool {
	folders := strings.Split(strings.TrimPrefix(p.ImportPath, p.Module.Path), "/")
	return p.Name == "main" && slices.Contains(p.Deps, lambdaRuntime) && !slices.Contains(folders, "internal")
}

// programs lists what is to be built, sorted by import path.
func (b Build) programs(ctx context.Context) (all []program, err error) {
	for _, pattern := range b.Packages {
		if strings.HasSuffix(pattern, ".go") {
			return nil, fmt.Errorf("build %s: it is a file: name the folder of its package, such as ./%s", pattern, path.Dir(path.Clean(pattern)))
		}
	}
	args := append([]string{"list", b.tags(), "-json=ImportPath,Name,Match,Deps,Module"}, b.Packages...)
	cmd := b.goCommand(ctx, b.Architectures[0], args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	switch err := cmd.Run(); {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("list %s: %w", strings.Join(b.Packages, " "), ErrInterrupted)
	case err != nil:
		return nil, fmt.Errorf("list %s: %w\n%s", strings.Join(b.Packages, " "), err, &said)
	}
	names := map[string]string{}
	for decoder := json.NewDecoder(&out); ; {
		var p program
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("read the output of go list: %w", err)
		}
		switch other := names[p.name()]; {
		case !p.isNamed() && !p.isFunction():
			continue
		case p.Name != "main":
			return nil, fmt.Errorf("build %s: it is package %s; a function is a program (package main)", p.ImportPath, p.Name)
		case other != "":
			return nil, fmt.Errorf("build %s: %s has the same name, and an archive has that of its function", p.ImportPath, other)
		}
		names[p.name()] = p.ImportPath
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no function matches %s: a function is a package main that imports %s", strings.Join(b.Packages, " "), lambdaRuntime)
	}
	slices.SortFunc(all, func(a, b program) int { return cmp.Compare(a.ImportPath, b.ImportPath) })
	return all, nil
}
