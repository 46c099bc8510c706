package logs

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

// maxFilters is the quota of a log group, which cannot be raised.
const maxFilters = 2

const (
	byLogStream = "ByLogStream"
	random      = "Random"
)

// filter is a subscription filter as requests and answers have it.
type filter struct {
	FilterName     string `json:"filterName"`
	LogGroupName   string `json:"logGroupName"`
	FilterPattern  string `json:"filterPattern"`
	DestinationArn string `json:"destinationArn"`
	RoleArn        string `json:"roleArn"`
	Distribution   string `json:"distribution"`
	CreationTime   int64  `json:"creationTime"`
}

type putFilterInput struct{ filter }

// Resource implements awsjson.Resourceful.
func (in putFilterInput) Resource() string { return in.LogGroupName }

// putSubscriptionFilter creates or replaces one by its name. The destination is
// sent a control message first.
func (s *Server) putSubscriptionFilter(ctx context.Context, in *putFilterInput, f fault.Fault) (*struct{}, error) {
	wanted := in.filter
	wanted.Distribution = cmp.Or(wanted.Distribution, byLogStream)
	wanted.CreationTime = s.cfg.Now().UnixMilli()
	if err := s.checkFilter(wanted); err != nil {
		return nil, err
	}
	ref := groupRef{wanted.LogGroupName}
	if err := s.locked(ref, f, func(g *group) error { return g.mayHave(wanted) }); err != nil {
		return nil, err
	}
	if err := s.tryDestination(ctx, wanted); err != nil {
		return nil, err
	}
	return nil, s.locked(ref, fault.Fault{}, func(g *group) error { return g.put(wanted) })
}

var kinesisARN = regexp.MustCompile(`^arn:aws[a-z-]*:kinesis:[a-z0-9-]+:[0-9]{12}:stream/[a-zA-Z0-9_.-]+$`)

func (s *Server) checkFilter(f filter) error {
	switch {
	case f.FilterName == "" || len(f.FilterName) > 512 || strings.ContainsAny(f.FilterName, ":*"):
		return invalid("1 validation error detected: Value '%s' at 'filterName' failed to satisfy constraint", f.FilterName)
	case f.FilterPattern != "":
		return awsjson.NotImplemented("filter patterns other than the empty one")
	case f.Distribution != byLogStream && f.Distribution != random:
		return invalid("1 validation error detected: Value '%s' at 'distribution' failed to satisfy constraint: Member must satisfy enum "+
			"value set: [Random, ByLogStream]", f.Distribution)
	case !kinesisARN.MatchString(f.DestinationArn):
		return awsjson.NotImplemented("destinations other than Kinesis streams")
	case f.RoleArn == "":
		return invalid("destinationArn for vendor kinesis cannot be used without roleArn")
	case s.cfg.Kinesis == nil:
		return awsjson.NotImplemented("subscriptions without a Kinesis")
	}
	return nil
}

func (s *Server) tryDestination(ctx context.Context, f filter) error {
	if err := s.put(ctx, s.controlMessage(f)); err != nil {
		return invalid("Could not deliver test message to specified Kinesis stream. Check if the given kinesis stream is in ACTIVE state. ")
	}
	return nil
}

func (g *group) index(name string) (int, bool) {
	return slices.BinarySearchFunc(g.filters, name, func(f filter, name string) int { return cmp.Compare(f.FilterName, name) })
}

func (g *group) mayHave(f filter) error {
	if g.class != standard {
		return invalid("The specified log group class does not support this operation: %s", g.class)
	}
	if _, found := g.index(f.FilterName); !found && len(g.filters) == maxFilters {
		return awsjson.Errorf("LimitExceededException", "Resource limit exceeded.")
	}
	return nil
}

func (g *group) put(f filter) error {
	if err := g.mayHave(f); err != nil {
		return err
	}
	i, found := g.index(f.FilterName)
	if found {
		g.filters[i] = f
	} else {
		g.filters = slices.Insert(g.filters, i, f)
	}
	return nil
}

type describeFiltersInput struct {
	groupRef
	Prefix    string `json:"filterNamePrefix"`
	NextToken string `json:"nextToken"`
	Limit     *int   `json:"limit"`
}

type describeFiltersOutput struct {
	SubscriptionFilters []filter `json:"subscriptionFilters"`
	NextToken           string   `json:"nextToken,omitempty"`
}

func (s *Server) describeSubscriptionFilters(_ context.Context, in *describeFiltersInput) (*describeFiltersOutput, error) {
	limit, err := pageSize(in.Limit)
	if err != nil {
		return nil, err
	}
	after, err := parseToken(in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &describeFiltersOutput{SubscriptionFilters: []filter{}}
	return out, s.locked(in.groupRef, fault.Fault{}, func(g *group) error {
		for _, f := range g.filters {
			if f.FilterName <= after || !strings.HasPrefix(f.FilterName, in.Prefix) {
				continue
			}
			if len(out.SubscriptionFilters) == limit {
				out.NextToken = token(out.SubscriptionFilters[limit-1].FilterName)
				break
			}
			out.SubscriptionFilters = append(out.SubscriptionFilters, f)
		}
		return nil
	})
}
