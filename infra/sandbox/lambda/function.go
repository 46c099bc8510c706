package lambda

import (
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// function is all that is known under one name. The Host's mutex guards it.
type function struct {
	name        string
	latest      *revision
	versions    []*revision // published, oldest first
	lastVersion int
	aliases     map[string]*alias
	provisioned map[string]int           // environments, by version or alias
	events      map[string]eventSettings // by version or alias
	tags        map[string]string
	log         *functionLog
}

// revision is one state of a function's code and settings; only its pool
// changes. A published version is a revision with a number.
type revision struct {
	function *function
	version  string // $LATEST or a number
	config   configuration
	archs    []string
	code     *code
	id       string // RevisionId
	modified time.Time
	pool     pool
}

func (h *Host) newRevision(f *function, version string, config configuration, archs []string, c *code) *revision {
	return &revision{
		function: f, version: version, config: config, archs: archs, code: c, id: uuid.NewString(), modified: time.Now(),
	}
}

func (r *revision) timeout() time.Duration { return time.Duration(*r.config.Timeout) * time.Second }

// describe is the revision as the API shows it.
func (h *Host) describe(r *revision, qualifier string) functionOutput {
	return functionOutput{
		configuration: r.config, Architectures: r.archs, CodeSha256: r.code.sha256, CodeSize: r.code.size,
		FunctionArn: h.arn(r.function.name, qualifier), FunctionName: r.function.name,
		LastModified: r.modified.UTC().Format("2006-01-02T15:04:05.000+0000"), LastUpdateStatus: "Successful", Layers: r.config.layers,
		PackageType: "Zip", RevisionId: r.id, State: "Active", Version: r.version,
	}
}

// find returns the revision behind a version number, $LATEST or nothing.
func (f *function) find(version string) *revision {
	if version == "" || version == latest {
		return f.latest
	}
	for _, v := range f.versions {
		if v.version == version {
			return v
		}
	}
	return nil
}

// function returns the function of that name; mu is held.
func (h *Host) function(ref reference) (*function, error) {
	f, known := h.functions[ref.name]
	if !known {
		return nil, notFound("Function not found: %s", h.arn(ref.name, ref.qualifier))
	}
	return f, nil
}

// revision returns what a version number or an alias's main version stands
// for; mu is held.
func (h *Host) revision(ref reference) (*revision, error) {
	f, err := h.function(ref)
	if err != nil {
		return nil, err
	}
	version := ref.qualifier
	if a, known := f.aliases[ref.qualifier]; known {
		version = a.version
	}
	if r := f.find(version); r != nil {
		return r, nil
	}
	return nil, notFound("Function not found: %s", h.arn(ref.name, ref.qualifier))
}

// merge returns the settings with the given changes made and checked.
func (c configuration) merge(change configuration) (configuration, error) {
	set(&c.Description, change.Description)
	set(&c.Environment, change.Environment)
	set(&c.Handler, change.Handler)
	set(&c.MemorySize, change.MemorySize)
	set(&c.Role, change.Role)
	set(&c.Runtime, change.Runtime)
	set(&c.Timeout, change.Timeout)
	if change.layers != nil {
		c.layers = change.layers
	}
	for _, raw := range []struct{ to, from *[]byte }{
		{(*[]byte)(&c.EphemeralStorage), (*[]byte)(&change.EphemeralStorage)},
		{(*[]byte)(&c.LoggingConfig), (*[]byte)(&change.LoggingConfig)},
		{(*[]byte)(&c.SnapStart), (*[]byte)(&change.SnapStart)},
		{(*[]byte)(&c.TracingConfig), (*[]byte)(&change.TracingConfig)},
		{(*[]byte)(&c.VpcConfig), (*[]byte)(&change.VpcConfig)},
	} {
		if len(*raw.from) > 0 {
			*raw.to = *raw.from
		}
	}
	return c, c.check()
}

func set[T any](to **T, from *T) {
	if from != nil {
		*to = from
	}
}

// check holds the settings against the bounds of the API reference,
// CreateFunction.
func (c configuration) check() error {
	switch {
	case !strings.HasPrefix(*c.Runtime, "provided"):
		return notImplemented("the runtime %q: only provided.al2023, provided.al2 and provided", *c.Runtime)
	case *c.Timeout < 1 || *c.Timeout > 900:
		return outside("timeout", *c.Timeout, 1, 900)
	case *c.MemorySize < 128 || *c.MemorySize > 10240:
		return outside("memorySize", *c.MemorySize, 128, 10240)
	case c.Role == nil || !rolePattern.MatchString(*c.Role):
		role := ""
		if c.Role != nil {
			role = *c.Role
		}
		return violates("1 validation error detected: Value '%s' at 'role' failed to satisfy constraint: "+
			"Member must satisfy regular expression pattern: %s", role, strings.Trim(rolePattern.String(), "^$"))
	}
	return c.checkVariables()
}

func outside(member string, value, least, most int) error {
	bound, limit := "greater than or equal to", least
	if value > most {
		bound, limit = "less than or equal to", most
	}
	return violates("1 validation error detected: Value '%d' at '%s' failed to satisfy constraint: "+
		"Member must have value %s %d", value, member, bound, limit)
}

// checkVariables refuses what Lambda reserves (developer guide, "Working with
// Lambda environment variables").
func (c configuration) checkVariables() error {
	if c.Environment == nil {
		return nil
	}
	size := 0
	for name, value := range c.Environment.Variables {
		size += len(name) + len(value)
		if reservedVariable(name) {
			return invalid("Lambda was unable to configure your environment variables because the environment variables "+
				"you have provided contains reserved keys that are currently not supported for modification. "+
				"Reserved keys used in this request: %s", name)
		}
		if strings.ContainsAny(name, "=\x00") || strings.Contains(value, "\x00") || name == "" {
			return invalid("the environment variable %q cannot be given to a process", name)
		}
	}
	if size > maxEnvironment {
		return invalid("Lambda was unable to configure your environment variables because the environment variables "+
			"you have provided exceeded the 4KB limit. String measured: %s bytes", strconv.Itoa(size))
	}
	return nil
}
