package source

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/banyan-fig/banyan/infra/awserr"
)

// SSMAPI is what [SSM] needs of *ssm.Client.
type SSMAPI interface {
	GetParameters(context.Context, *ssm.GetParametersInput, ...func(*ssm.Options)) (*ssm.GetParametersOutput, error)
	GetParameterHistory(context.Context, *ssm.GetParameterHistoryInput, ...func(*ssm.Options)) (*ssm.GetParameterHistoryOutput, error)
}

// SSM is a parameter of the Parameter Store, of at most 4 KB, or 8 KB in the advanced tier. It
// needs ssm:GetParameters, and for its history ssm:GetParameterHistory. All readers of an
// account and region share 40 readings a second unless it pays for more. It is safe for
// concurrent use.
type SSM struct {
	client SSMAPI
	name   string
}

// NewSSM reads the document from the parameter called name, of which a version or a label may
// be named, as /prod/routes:live. It sends nothing.
func NewSSM(client SSMAPI, name string) *SSM { return &SSM{client, name} }

// String returns ssm:name.
func (s *SSM) String() string { return "ssm:" + s.name }

// Read returns last if that version still stands.
func (s *SSM) Read(ctx context.Context, last *Document) (*Document, error) {
	doc, err := s.get(ctx, s.name)
	if err == nil && last != nil && last.tag == doc.tag {
		return last, nil
	}
	return doc, err
}

func (s *SSM) get(ctx context.Context, name string) (*Document, error) {
	out, err := s.client.GetParameters(ctx, &ssm.GetParametersInput{Names: []string{name}, WithDecryption: aws.Bool(true)})
	if err == nil && len(out.Parameters) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, s.wrapError("read", err)
	}
	p := out.Parameters[0]
	return &Document{Content: []byte(aws.ToString(p.Value)), tag: strconv.FormatInt(p.Version, 10)}, nil
}

// Write returns [ErrReadOnly].
func (s *SSM) Write(context.Context, *Document, []byte) (*Document, error) {
	return nil, s.wrapError("change", fmt.Errorf("%w, since SSM takes no condition under which a parameter is replaced: "+
		"use aws ssm put-parameter --overwrite, or keep the routes in S3", ErrReadOnly))
}

// History lists the parameter's versions, the newest first.
func (s *SSM) History(ctx context.Context) ([]Version, error) {
	now, err := s.get(ctx, s.name)
	if err != nil {
		return nil, err
	}
	var all []Version
	bare := s.bare()
	pages := ssm.NewGetParameterHistoryPaginator(s.client, &ssm.GetParameterHistoryInput{Name: &bare})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, s.wrapError("list the versions of", err)
		}
		for _, p := range page.Parameters {
			id := strconv.FormatInt(p.Version, 10)
			all = append(all, Version{
				ID: id, At: aws.ToTime(p.LastModifiedDate), Bytes: int64(len(aws.ToString(p.Value))), By: aws.ToString(p.LastModifiedUser), Current: id == now.tag,
			})
		}
	}
	slices.Reverse(all)
	return all, nil
}

// bare is the name, or ARN, without version or label.
func (s *SSM) bare() string {
	at := strings.LastIndex(s.name, "/") + 1
	last, _, _ := strings.Cut(s.name[at:], ":")
	return s.name[:at] + last
}

// Version returns the content of a version, by its number.
func (s *SSM) Version(ctx context.Context, id string) ([]byte, error) {
	if _, err := strconv.ParseUint(id, 10, 63); err != nil {
		return nil, s.wrapError("read", fmt.Errorf("version %q: %w: it must be a number", id, ErrNotFound))
	}
	doc, err := s.get(ctx, s.bare()+":"+id)
	if err != nil {
		return nil, err
	}
	return doc.Content, nil
}

func (s *SSM) wrapError(verb string, err error) error {
	switch {
	case awserr.Is(err, "AccessDeniedException"):
		err = fmt.Errorf("allow ssm:GetParameters on it, and for its history ssm:GetParameterHistory: %w", err)
	case awserr.Is(err, "ParameterNotFound", "ParameterVersionNotFound"):
		err = fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return fmt.Errorf("%s parameter %s: %w", verb, s.name, err)
}
