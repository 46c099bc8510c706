package settings_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
	"github.com/banyan-fig/banyan/infra/sandbox/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func parametersClient(t *testing.T, url string) *ssm.Client {
	return ssm.NewFromConfig(sandboxtest.Config(t, url))
}

func TestParameters(t *testing.T) {
	url := sandboxtest.Serve(t, settings.NewParameters(settings.Config{}))
	parametersConform(t, parametersClient(t, url), nil)
}

// TestPeerParameters runs the same cases on another implementation.
func TestPeerParameters(t *testing.T) {
	url := os.Getenv("BANYAN_CONFORMANCE_SSM")
	if url == "" {
		t.Skip("BANYAN_CONFORMANCE_SSM is not set")
	}
	parametersConform(t, parametersClient(t, url), peerDiffers)
}

// peerDiffers is where moto 5.2 is not what AWS documents.
var peerDiffers = map[string]string{
	"ManyVersions": "moto leaves the selector out of the answer",
	"Limits":       "moto takes values of more than 4 KB",
}

// suite keeps to names of its own.
type parametersSuite struct {
	client *ssm.Client
	under  string
}

func parametersConform(t *testing.T, c *ssm.Client, skip map[string]string) {
	s := parametersSuite{c, "/banyan/" + uuid.NewString()}
	for name, test := range map[string]func(*testing.T){
		"Values": s.values, "Versions": s.versions, "Many": s.many, "ManyVersions": s.manyVersions, "Errors": s.errors, "Limits": s.limits,
	} {
		t.Run(name, func(t *testing.T) {
			if why := skip[name]; why != "" {
				t.Skip(why)
			}
			test(t)
		})
	}
}

func (s parametersSuite) put(t *testing.T, name, value string, kind types.ParameterType) int64 {
	t.Helper()
	out, err := s.client.PutParameter(t.Context(), &ssm.PutParameterInput{Name: aws.String(s.under + name), Value: &value, Type: kind, Overwrite: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	return out.Version
}

// errInvalid stands for a name among the invalid ones.
var errInvalid = errors.New("an invalid parameter")

func (s parametersSuite) get(t *testing.T, name string, decrypt bool) (*types.Parameter, error) {
	t.Helper()
	out, err := s.client.GetParameters(t.Context(), &ssm.GetParametersInput{Names: []string{s.under + name}, WithDecryption: &decrypt})
	switch {
	case err != nil:
		return nil, err
	case slices.Contains(out.InvalidParameters, s.under+name):
		return nil, errInvalid
	}
	return &out.Parameters[0], nil
}

func (s parametersSuite) values(t *testing.T) {
	for kind, value := range map[types.ParameterType]string{types.ParameterTypeString: "héllo ☃", types.ParameterTypeStringList: "a,b",
		types.ParameterTypeSecureString: "secret"} {
		name := "/values/" + string(kind)
		s.put(t, name, value, kind)
		got, err := s.get(t, name, true)
		if err != nil || *got.Value != value || got.Type != kind || got.Version != 1 || *got.Name != s.under+name ||
			!strings.HasSuffix(*got.ARN, ":parameter"+s.under+name) || got.LastModifiedDate == nil {
			t.Errorf("%s: %+v, %v", kind, got, err)
		}
		got, err = s.get(t, name, false)
		if err != nil || (*got.Value == value) == (kind == types.ParameterTypeSecureString) {
			t.Errorf("%s without decryption: %+v, %v", kind, got, err)
		}
	}
}

func (s parametersSuite) versions(t *testing.T) {
	for i := range 3 {
		if v := s.put(t, "/v", fmt.Sprint(i+1), types.ParameterTypeString); v != int64(i+1) {
			t.Errorf("version %d after %d writes", v, i+1)
		}
	}
	for selector, want := range map[string]string{"": "3", ":1": "1", ":3": "3"} {
		if got, err := s.get(t, "/v"+selector, false); err != nil || *got.Value != want {
			t.Errorf("%q: %+v, %v", selector, got, err)
		}
	}
	_, err := s.client.PutParameter(t.Context(), &ssm.PutParameterInput{Name: aws.String(s.under + "/v"), Value: aws.String("x"), Type: types.ParameterTypeString})
	if e := new(types.ParameterAlreadyExists); !errors.As(err, &e) {
		t.Errorf("a second one without overwriting: %v", err)
	}
}

func (s parametersSuite) many(t *testing.T) {
	var names []string
	for i := range 9 {
		s.put(t, fmt.Sprintf("/many/%d", i), fmt.Sprint(i), types.ParameterTypeString)
		names = append(names, fmt.Sprintf("%s/many/%d", s.under, i))
	}
	names = append(names, s.under+"/many/none")
	out, err := s.client.GetParameters(t.Context(), &ssm.GetParametersInput{Names: names})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Parameters) != 9 || !slices.Equal(out.InvalidParameters, names[9:]) {
		t.Errorf("%d parameters, invalid %q", len(out.Parameters), out.InvalidParameters)
	}
	_, err = s.client.GetParameters(t.Context(), &ssm.GetParametersInput{Names: append(names, s.under+"/many/eleven")})
	s.code(t, "eleven names", err, "ValidationException")
}

func (s parametersSuite) manyVersions(t *testing.T) {
	s.put(t, "/versions", "1", types.ParameterTypeString)
	s.put(t, "/versions", "2", types.ParameterTypeString)
	name := s.under + "/versions"
	out, err := s.client.GetParameters(t.Context(), &ssm.GetParametersInput{Names: []string{name + ":1", name}})
	if err != nil || len(out.Parameters) != 2 {
		t.Fatalf("%+v, %v", out, err)
	}
	for _, p := range out.Parameters {
		if want := map[string]string{":1": "1", "": "2"}[aws.ToString(p.Selector)]; *p.Name != name || *p.Value != want {
			t.Errorf("%s%s is %s", *p.Name, aws.ToString(p.Selector), *p.Value)
		}
	}
}

func (s parametersSuite) errors(t *testing.T) {
	_, err := s.get(t, "/none", true)
	if err != errInvalid {
		t.Errorf("a parameter that is not: %v", err)
	}
	s.put(t, "/one", "x", types.ParameterTypeString)
	_, err = s.get(t, "/one:7", true)
	if err != errInvalid {
		t.Errorf("a version that is not: %v", err)
	}
	_, err = s.client.DeleteParameter(t.Context(), &ssm.DeleteParameterInput{Name: aws.String(s.under + "/none")})
	if e := new(types.ParameterNotFound); !errors.As(err, &e) {
		t.Errorf("deleting what is not: %v", err)
	}
	if _, err := s.client.DeleteParameter(t.Context(), &ssm.DeleteParameterInput{Name: aws.String(s.under + "/one")}); err != nil {
		t.Error(err)
	}
}

func (s parametersSuite) limits(t *testing.T) {
	_, err := s.client.PutParameter(t.Context(), &ssm.PutParameterInput{Name: aws.String(s.under + "/long"),
		Value: aws.String(strings.Repeat("x", 4097)), Type: types.ParameterTypeString})
	s.code(t, "4,097 characters", err, "ValidationException")
}

func (s parametersSuite) code(t *testing.T, what string, err error, want string) {
	t.Helper()
	if e := smithy.APIError(nil); !errors.As(err, &e) || e.ErrorCode() != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}

// TestParametersNotImplemented: the rest of SSM says so.
func TestParametersNotImplemented(t *testing.T) {
	url := sandboxtest.Serve(t, settings.NewParameters(settings.Config{}))
	_, err := parametersClient(t, url).DescribeParameters(t.Context(), &ssm.DescribeParametersInput{})
	if err == nil || !strings.Contains(err.Error(), "not implemented by the sandbox: DescribeParameters") {
		t.Error(err)
	}
}
