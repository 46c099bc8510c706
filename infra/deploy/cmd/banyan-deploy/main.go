// Command banyan-deploy builds functions and brings them into use, one at a time:
// see package deploy for what it promises, and --help for its verbs.
//
// Exit codes: 0 done, 1 it failed or was turned back, 2 wrong usage
// or environment.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/infra/deploy"
	"github.com/banyan-fig/banyan/infra/serving"
)

type grammar struct {
	JSON bool `name:"json" help:"Print what happens, and the result, as a line of JSON each." env:"BANYAN_DEPLOY_JSON"`

	Build    buildCommand    `cmd:"" help:"Build functions reproducibly, with a manifest of SHA-256 sums."`
	Deploy   deployCommand   `cmd:"" help:"Upload one function, publish a version, and move an alias to it in steps."`
	Promote  promoteCommand  `cmd:"" help:"Go on with a deployment that was left, or (--from) take the version of another stage."`
	Rollback rollbackCommand `cmd:"" help:"Move an alias back at once."`
	Status   statusCommand   `cmd:"" help:"Print which versions an alias points to."`
	List     listCommand     `cmd:"" help:"List what runs where: functions, aliases, versions, weights, ages, commits."`
}

// target is an alias of a function.
type target struct {
	Function string `arg:"" help:"Name of the function."`
	Alias    string `default:"live" env:"BANYAN_DEPLOY_ALIAS" help:"Alias, or stage: ${default} if not given."`
}

// What Lambda takes for a name. An alias is not all digits, or it would be a
// version.
var (
	functionName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	aliasName    = regexp.MustCompile(`^[A-Za-z0-9_-]{0,127}[A-Za-z_-][A-Za-z0-9_-]{0,127}$`)
)

// Validate refuses names that no function and no alias can have.
func (t target) Validate() error {
	if t.Function != "" && !functionName.MatchString(t.Function) { // kong tells of a missing one
		return fmt.Errorf("invalid function name %q: give up to 64 letters, digits, - and _, without an ARN or a version", t.Function)
	}
	return checkAlias("--alias", t.Alias)
}

func checkAlias(flag, name string) error {
	if len(name) > 128 || !aliasName.MatchString(name) {
		return fmt.Errorf("%s %q: give up to 128 letters, digits, - and _, not only digits", flag, name)
	}
	return nil
}

func (t target) of() deploy.Target { return deploy.Target{Function: t.Function, Alias: t.Alias} }

// rollout is how an alias is moved.
type rollout struct {
	Steps       string        `default:"10,50,100" env:"BANYAN_DEPLOY_STEPS" help:"Shares of the invocations in percent, growing up to 100."`
	Interval    time.Duration `default:"1m" env:"BANYAN_DEPLOY_INTERVAL" help:"How long the alarms are watched in each step, the last included."`
	Poll        time.Duration `default:"5s" help:"Pause between two checks of the alarms."`
	Alarm       []string      `help:"Alarm to watch, by name; may be repeated."`
	AlarmPrefix string        `help:"Watch all alarms whose names begin so. Default, without --alarm: those of the function (FUNCTION-...) only."`
	IgnoreAlarm []string      `help:"Alarm that may be raised; may be repeated."`
	NoAlarms    bool          `help:"Look at no alarms; --interval is waited for all the same."`
	Back        bool          `name:"rollback-on-interrupt" help:"Move back on Ctrl-C, SIGTERM and when the terminal is closed. Default: leave the alias."`
	CreateAlias bool          `help:"Make the alias if there is none of this name. The first alias of a function is made without."`
	DryRun      bool          `help:"Print what would be done, change nothing."`

	steps deploy.Steps
}

// AfterApply checks what kong cannot.
func (c *rollout) AfterApply() (err error) {
	if c.Interval < 0 || c.Poll <= 0 {
		return fmt.Errorf("--interval cannot be negative, --poll has to be more than 0")
	}
	if c.NoAlarms && (len(c.Alarm) > 0 || c.AlarmPrefix != "" || len(c.IgnoreAlarm) > 0) {
		return fmt.Errorf("--no-alarms contradicts --alarm, --alarm-prefix and --ignore-alarm")
	}
	if c.Interval == 0 {
		c.Interval = -1
	}
	c.steps, err = deploy.ParseSteps(c.Steps)
	return err
}

func (c rollout) config() deploy.Config {
	return deploy.Config{
		Watch:    deploy.Watch{Names: c.Alarm, Prefix: c.AlarmPrefix, Ignore: c.IgnoreAlarm, None: c.NoAlarms},
		Interval: c.Interval, Poll: c.Poll, RollbackOnInterrupt: c.Back, CreateAlias: c.CreateAlias, DryRun: c.DryRun,
	}
}

// outliveReaders lets a process that moves aliases go on, and move back, when
// nobody reads any more what it writes, such as a tee that went with its terminal.
func outliveReaders() { signal.Ignore(syscall.SIGPIPE) }

type buildCommand struct {
	Dir      string   `default:"." type:"existingdir" help:"Folder to start in, anywhere in a Go module."`
	Out      string   `default:"bin/dist" env:"BANYAN_DEPLOY_DIST" help:"Folder for the archives."`
	Arch     []string `enum:"arm64,x86_64" default:"arm64,x86_64" help:"Architectures, as Lambda names them."`
	Tags     []string `help:"Build tags besides lambda.norpc."`
	Packages []string `arg:"" optional:"" help:"Packages as go build takes them, such as ./functions/... (all functions below) or ./cmd/profile. Default ./..."`
}

func (c *buildCommand) Run(ctx context.Context, s *screen) error {
	m, err := deploy.Build{Dir: c.Dir, Out: c.Out, Packages: c.Packages, Architectures: c.Arch, Tags: c.Tags, Done: s.built}.Run(ctx)
	if err != nil || !s.json {
		return err
	}
	return s.encode(m)
}

type deployCommand struct {
	target
	rollout
	Dist        string `default:"bin/dist" env:"BANYAN_DEPLOY_DIST" help:"Folder that was built into."`
	Package     string `help:"Name of the package. The end of the function's name, if not given: prod-profile is profile."`
	Arch        string `enum:"arm64,x86_64" default:"arm64" env:"BANYAN_DEPLOY_ARCH" help:"Architecture: ${enum}."`
	AllowLatest bool   `help:"Deploy although event source mappings read for $$LATEST."`
}

func (c *deployCommand) Run(ctx context.Context, s *screen) error {
	p, err := deploy.Load(c.Dist, c.Function, c.Package, c.Arch)
	if err != nil {
		return err
	}
	outliveReaders()
	cfg := c.config()
	cfg.AllowLatest = c.AllowLatest
	d, err := connect(ctx, cfg, s)
	if err != nil {
		return err
	}
	return s.result(d.Deploy(ctx, c.of(), p, c.steps))
}

type promoteCommand struct {
	target
	rollout
	From string `help:"Stage whose version is taken."`
}

// Validate refuses what is no stage.
func (c *promoteCommand) Validate() error {
	if c.From == "" {
		return c.target.Validate()
	}
	return errors.Join(c.target.Validate(), checkAlias("--from", c.From))
}

func (c *promoteCommand) Run(ctx context.Context, s *screen) error {
	outliveReaders()
	d, err := connect(ctx, c.config(), s)
	if err != nil {
		return err
	}
	if c.From != "" {
		return s.result(d.PromoteFrom(ctx, c.of(), c.From, c.steps))
	}
	return s.result(d.Promote(ctx, c.of(), c.steps))
}

type rollbackCommand struct {
	target
	To     string `help:"Version to go to. The one before, if not given."`
	DryRun bool   `help:"Print what would be done, change nothing."`
}

func (c *rollbackCommand) Run(ctx context.Context, s *screen) error {
	outliveReaders()
	d, err := connect(ctx, deploy.Config{DryRun: c.DryRun}, s)
	if err != nil {
		return err
	}
	return s.result(d.Rollback(ctx, c.of(), c.To))
}

type statusCommand struct{ target }

func (c *statusCommand) Run(ctx context.Context, s *screen) error {
	d, err := connect(ctx, deploy.Config{}, s)
	if err != nil {
		return err
	}
	at, err := d.Status(ctx, c.of())
	if err != nil {
		return err
	}
	return s.aliasState(c.of(), at)
}

type listCommand struct {
	Prefix string `arg:"" optional:"" help:"Only functions whose names begin so."`
}

func (c *listCommand) Run(ctx context.Context, s *screen) error {
	d, err := connect(ctx, deploy.Config{}, s)
	if err != nil {
		return err
	}
	all, err := d.List(ctx, c.Prefix)
	if err != nil {
		return err
	}
	return s.list(c.Prefix, all)
}

func command(stdout, stderr io.Writer) serving.Command {
	g := new(grammar)
	return serving.Command{
		Name: "banyan-deploy",
		Description: "Brings functions into use, one at a time, in steps that alarms turn back. " +
			"Environment variables, memory and permissions are Terraform's; a deployment publishes its last changes with the code. " +
			"AWS is found as by the AWS CLI: AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL.",
		Grammar: g,
		Exits:   []serving.Exit{{Code: serving.ExitFailure, Meaning: "the deployment failed or was rolled back"}},
		Run: func(ctx context.Context, parsed *kong.Context, _ *slog.Logger) error {
			parsed.BindTo(ctx, (*context.Context)(nil))
			return parsed.Run(&screen{out: stdout, notes: stderr, json: g.JSON, now: time.Now})
		},
	}
}

func main() { command(os.Stdout, os.Stderr).Main() }
