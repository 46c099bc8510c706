package logs

import (
	"cmp"
	"context"
	"encoding/base64"
	"maps"
	"slices"
	"strings"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

const (
	standard         = "STANDARD"
	infrequentAccess = "INFREQUENT_ACCESS"
	delivered        = "DELIVERY"
)

// group is guarded by the server's lock.
type group struct {
	name, class string
	created     int64
	retention   *int
	streams     map[string]bool
	filters     []filter // by name
}

type createLogGroupInput struct {
	groupRef
	LogGroupClass string `json:"logGroupClass"`
}

func (s *Server) createLogGroup(_ context.Context, in *createLogGroupInput, f fault.Fault) (*struct{}, error) {
	in.LogGroupClass = cmp.Or(in.LogGroupClass, standard)
	switch {
	case f.Kind == fault.Partial:
		return nil, awsjson.Errorf("OperationAbortedException", "Multiple concurrent requests to update the same resource were in conflict.")
	case !groupName.MatchString(in.LogGroupName):
		return nil, invalid("1 validation error detected: Value '%s' at 'logGroupName' failed to satisfy constraint", in.LogGroupName)
	case !slices.Contains([]string{standard, infrequentAccess, delivered}, in.LogGroupClass):
		return nil, invalid("1 validation error detected: Value '%s' at 'logGroupClass' failed to satisfy constraint", in.LogGroupClass)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.groups[in.LogGroupName] != nil {
		return nil, awsjson.Errorf("ResourceAlreadyExistsException", "The specified log group already exists")
	}
	s.groups[in.LogGroupName] = &group{
		name: in.LogGroupName, class: in.LogGroupClass, created: s.cfg.Now().UnixMilli(), streams: map[string]bool{},
	}
	return nil, nil
}

type describeLogGroupsInput struct {
	Prefix      string   `json:"logGroupNamePrefix"`
	Pattern     string   `json:"logGroupNamePattern"`
	Identifiers []string `json:"logGroupIdentifiers"`
	Class       string   `json:"logGroupClass"`
	NextToken   string   `json:"nextToken"`
	Limit       *int     `json:"limit"`
}

type groupOutput struct {
	LogGroupName         string `json:"logGroupName"`
	CreationTime         int64  `json:"creationTime"`
	RetentionInDays      *int   `json:"retentionInDays,omitempty"`
	MetricFilterCount    int    `json:"metricFilterCount"`
	Arn                  string `json:"arn"`
	LogGroupArn          string `json:"logGroupArn"`
	LogGroupClass        string `json:"logGroupClass"`
	StoredBytes          int64  `json:"storedBytes"`
	DeletionProtectionOn bool   `json:"deletionProtectionEnabled"`
}

type describeLogGroupsOutput struct {
	LogGroups []groupOutput `json:"logGroups"`
	NextToken string        `json:"nextToken,omitempty"`
}

// describeLogGroups pages by name, which is the order of the service.
func (s *Server) describeLogGroups(_ context.Context, in *describeLogGroupsInput) (*describeLogGroupsOutput, error) {
	if in.Pattern != "" || len(in.Identifiers) > 0 {
		return nil, awsjson.NotImplemented("describing log groups by a pattern or by identifiers")
	}
	limit, err := pageSize(in.Limit)
	if err != nil {
		return nil, err
	}
	after, err := parseToken(in.NextToken)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &describeLogGroupsOutput{LogGroups: []groupOutput{}}
	for _, name := range slices.Sorted(maps.Keys(s.groups)) {
		g := s.groups[name]
		if name <= after || !strings.HasPrefix(name, in.Prefix) || in.Class != "" && in.Class != g.class {
			continue
		}
		if len(out.LogGroups) == limit {
			out.NextToken = token(out.LogGroups[limit-1].LogGroupName)
			break
		}
		out.LogGroups = append(out.LogGroups, groupOutput{
			LogGroupName: name, CreationTime: g.created, RetentionInDays: g.retention,
			Arn: s.arn(name) + ":*", LogGroupArn: s.arn(name), LogGroupClass: g.class,
		})
	}
	return out, nil
}

const mostOfAPage = 50

func pageSize(asked *int) (int, error) {
	if asked == nil {
		return mostOfAPage, nil
	}
	if *asked < 1 || *asked > mostOfAPage {
		return 0, invalid("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value less than "+
			"or equal to %d", *asked, mostOfAPage)
	}
	return *asked, nil
}

func token(last string) string { return base64.StdEncoding.EncodeToString([]byte(last)) }

func parseToken(text string) (last string, err error) {
	plain, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", invalid("The specified nextToken is invalid.")
	}
	return string(plain), nil
}

// retentions are those that PutRetentionPolicy takes.
var retentions = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

type retentionInput struct {
	groupRef
	RetentionInDays int `json:"retentionInDays"`
}

func (s *Server) putRetentionPolicy(_ context.Context, in *retentionInput, f fault.Fault) (*struct{}, error) {
	if !slices.Contains(retentions, in.RetentionInDays) {
		return nil, invalid("1 validation error detected: Value '%d' at 'retentionInDays' failed to satisfy constraint: Member must satisfy "+
			"enum value set: %v", in.RetentionInDays, retentions)
	}
	return nil, s.locked(in.groupRef, f, func(g *group) error {
		g.retention = &in.RetentionInDays
		return nil
	})
}
