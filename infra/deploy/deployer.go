package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// Functions is what this package needs of Lambda. A *lambda.Client is one.
type Functions interface {
	GetFunctionConfiguration(context.Context, *lambda.GetFunctionConfigurationInput, ...func(*lambda.Options)) (*lambda.GetFunctionConfigurationOutput, error)
	UpdateFunctionCode(context.Context, *lambda.UpdateFunctionCodeInput, ...func(*lambda.Options)) (*lambda.UpdateFunctionCodeOutput, error)
	PublishVersion(context.Context, *lambda.PublishVersionInput, ...func(*lambda.Options)) (*lambda.PublishVersionOutput, error)
	GetAlias(context.Context, *lambda.GetAliasInput, ...func(*lambda.Options)) (*lambda.GetAliasOutput, error)
	CreateAlias(context.Context, *lambda.CreateAliasInput, ...func(*lambda.Options)) (*lambda.CreateAliasOutput, error)
	UpdateAlias(context.Context, *lambda.UpdateAliasInput, ...func(*lambda.Options)) (*lambda.UpdateAliasOutput, error)
	ListAliases(context.Context, *lambda.ListAliasesInput, ...func(*lambda.Options)) (*lambda.ListAliasesOutput, error)
	ListFunctions(context.Context, *lambda.ListFunctionsInput, ...func(*lambda.Options)) (*lambda.ListFunctionsOutput, error)
	ListProvisionedConcurrencyConfigs(context.Context, *lambda.ListProvisionedConcurrencyConfigsInput,
		...func(*lambda.Options)) (*lambda.ListProvisionedConcurrencyConfigsOutput, error)
	ListEventSourceMappings(context.Context, *lambda.ListEventSourceMappingsInput, ...func(*lambda.Options)) (*lambda.ListEventSourceMappingsOutput, error)
}

// Alarms is what this package needs of CloudWatch. A *cloudwatch.Client is one.
type Alarms interface {
	DescribeAlarms(context.Context, *cloudwatch.DescribeAlarmsInput, ...func(*cloudwatch.Options)) (*cloudwatch.DescribeAlarmsOutput, error)
	DescribeAlarmHistory(context.Context, *cloudwatch.DescribeAlarmHistoryInput,
		...func(*cloudwatch.Options)) (*cloudwatch.DescribeAlarmHistoryOutput, error)
}

// Why a deployment did not come to its end. All of them are wrapped with what
// happened and what to do.
var (
	// ErrConflict is returned where another process changed the function or the
	// alias. Nothing was changed after that.
	ErrConflict = errors.New("another process changes this function")
	// ErrInProgress is returned where the alias is between two versions.
	ErrInProgress = errors.New("the alias is between two versions")
	// ErrAlarm is returned where an alarm is raised: before the first step, when
	// nothing was moved, or later, when the alias was moved back.
	ErrAlarm = errors.New("an alarm is raised")
	// ErrAlarmsUnreadable is returned where the alarms could not be read for too long.
	ErrAlarmsUnreadable = errors.New("the alarms cannot be read")
	// ErrInterrupted is returned where the context ended.
	ErrInterrupted = errors.New("interrupted")
	// ErrUnknown is returned where AWS did not answer when the alias was moved, nor
	// when it was read after that.
	ErrUnknown = errors.New("it is not known whether the alias moved")
	// ErrRefused is returned for what cannot work, before anything is changed.
	ErrRefused = errors.New("refused")
)

// Config of a Deployer. Functions is needed, and Alarms unless Watch.None is set;
// the zero value of everything else works.
type Config struct {
	Functions Functions
	Alarms    Alarms
	// Watch selects the alarms that roll a deployment back.
	Watch Watch
	// Progress is called with what happens, in its order. nil: nothing is called.
	Progress func(Progress)

	// Interval is how long each step is watched, the last included. 0: one
	// minute, negative: not at all, but for one check.
	Interval time.Duration
	// Poll is the pause between two checks of the alarms. 0: 5 s.
	Poll time.Duration
	// AlarmOutage is how long the alarms may be unreadable before the alias is moved
	// back: from when the first failed check began. It bounds each check,
	// too. 0: one minute.
	AlarmOutage time.Duration
	// UploadTimeout bounds the wait for an upload to be in place. 0: 2 minutes.
	UploadTimeout time.Duration
	// ProvisionTimeout bounds how long Lambda may hold a new version back, at an alias
	// with provisioned concurrency, until it has that there; then the alias is moved back.
	// 0: 10 minutes.
	ProvisionTimeout time.Duration
	// MoveTimeout bounds how long a move back is retried, and how long the alias is
	// read after a move that AWS did not answer. 0: one minute.
	MoveTimeout time.Duration
	// RollbackOnInterrupt moves the alias back when the context ends during the
	// steps. Otherwise it is left where it is.
	RollbackOnInterrupt bool
	// AllowLatest deploys although event source mappings read for $LATEST.
	AllowLatest bool
	// CreateAlias lets a deployment or a promotion make an alias that is not there.
	// Otherwise only the first one of a function is made: a name that nobody
	// invokes is more likely misspelt.
	CreateAlias bool
	// DryRun reads and reports, and writes nothing.
	DryRun bool

	// Now is the clock. nil: time.Now.
	Now func() time.Time
}

// Validate names everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	if c.Functions == nil {
		errs = append(errs, errors.New("Functions is missing: give a client of Lambda"))
	}
	if c.Alarms == nil && !c.Watch.None {
		errs = append(errs, errors.New("Alarms is missing: give a client of CloudWatch, or set Watch.None"))
	}
	if c.Poll < 0 || c.AlarmOutage < 0 || c.UploadTimeout < 0 || c.ProvisionTimeout < 0 || c.MoveTimeout < 0 {
		errs = append(errs, errors.New("Poll, AlarmOutage, UploadTimeout, ProvisionTimeout and MoveTimeout cannot be negative"))
	}
	if len(errs) > 0 {
		return fmt.Errorf("deploy: config: %w", errors.Join(errs...))
	}
	return nil
}

func (c Config) withDefaults() Config {
	c.Interval = cmp.Or(c.Interval, time.Minute)
	c.Poll = cmp.Or(c.Poll, 5*time.Second)
	c.AlarmOutage = cmp.Or(c.AlarmOutage, time.Minute)
	c.UploadTimeout = cmp.Or(c.UploadTimeout, 2*time.Minute)
	c.ProvisionTimeout = cmp.Or(c.ProvisionTimeout, 10*time.Minute)
	c.MoveTimeout = cmp.Or(c.MoveTimeout, time.Minute)
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Deployer deploys. It has no state of its own and is safe for concurrent use,
// also in several processes.
type Deployer struct{ cfg Config }

// New checks the config.
func New(cfg Config) (*Deployer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Deployer{cfg.withDefaults()}, nil
}

// Progress is one thing that happened.
type Progress struct {
	// Did is a word: "alarms" (which are watched), "unchanged", "uploaded",
	// "published", "created", "moved", "provisioning" (Lambda holds the version back), "watching", "alarms unreadable" (the alarms cannot be
	// read), "alarm", "rolled back".
	Did      string `json:"did"`
	Function string `json:"function"`
	Alias    string `json:"alias,omitempty"`
	Version  string `json:"version,omitempty"`
	Percent  int    `json:"percent,omitempty"`
	// Alarms are the names of those that are watched, where Did is "alarms".
	Alarms []string `json:"alarms,omitempty"`
	Text   string   `json:"text"` // for a person
}

func (d *Deployer) report(did string, t Target, version string, percent int, format string, args ...any) {
	d.cfg.Progress(Progress{Did: did, Function: t.Function, Alias: t.Alias, Version: version, Percent: percent, Text: fmt.Sprintf(format, args...)})
}
