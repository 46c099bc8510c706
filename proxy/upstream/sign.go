package upstream

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/proxy/http1"
)

// ErrTooLarge is returned for a body that is too large to be signed: API Gateway takes
// 10 MB, a Lambda function 6 MB.
var ErrTooLarge = errors.New("the body is too large to be signed")

// HeaderClientAuthorization has the client's Authorization in a request that is signed.
const HeaderClientAuthorization = "X-Forwarded-Authorization"

const (
	executeAPI = "execute-api"
	lambda     = "lambda"
)

// maxSigned is what the services take of a body, which has to be known whole: they refuse
// UNSIGNED-PAYLOAD.
var maxSigned = map[string]int64{executeAPI: 10 << 20, lambda: 6 << 20}

// Sign says how requests are signed (AWS Signature Version 4), for an API Gateway with IAM
// authorization or a Lambda function URL.
type Sign struct {
	// The service. Default: by the host, execute-api or lambda.
	// Example: execute-api
	Service string `yaml:"service"`
	// The region. Default: by the host.
	// Example: eu-west-1
	Region string `yaml:"region"`
}

// awsHost is the host of an API or of a function: id, service, region.
var awsHost = regexp.MustCompile(`^[a-z0-9-]+\.(execute-api|lambda-url)\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)$`)

// scope is service and region for a host.
func (s *Sign) scope(host string) (service, region string, err error) {
	if s == nil {
		return "", "", nil
	}
	service, region = s.Service, s.Region
	if found := awsHost.FindStringSubmatch(host); found != nil {
		service = cmp.Or(service, map[string]string{"execute-api": executeAPI, "lambda-url": lambda}[found[1]])
		region = cmp.Or(region, found[2])
	}
	if maxSigned[service] == 0 || region == "" {
		return "", "", fmt.Errorf("sign: service %q in region %q: %s does not say them; give execute-api or lambda, and the region", service, region, host)
	}
	return service, region, nil
}

type signer struct {
	v4              *v4.Signer
	credentials     aws.CredentialsProvider
	host            string
	service, region string
}

func newSigner(cfg Config, credentials aws.CredentialsProvider) *signer {
	if credentials == nil {
		credentials = aws.NewCredentialsCache(aws.CredentialsProviderFunc(usual))
	}
	s := &signer{v4: v4.NewSigner(), credentials: credentials, host: cfg.URL.Host}
	s.service, s.region, _ = cfg.Sign.scope(cfg.URL.Hostname()) // Validate reports an error
	return s
}

// usual looks for credentials where the AWS SDK does.
func usual(ctx context.Context) (aws.Credentials, error) {
	cfg, err := awssdk.Load(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	return cfg.Credentials.Retrieve(ctx)
}

// sign makes the request one that the service takes. What is signed besides the body is only
// what nobody on the way changes: method, path, query, host and type.
func (s *signer) sign(r *http.Request) error {
	hash, err := s.hold(r)
	if err != nil {
		return unsent(&http1.RequestError{Err: err})
	}
	path, query, _ := strings.Cut(r.URL.Opaque, "?")
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return unsent(&http1.RequestError{Err: err})
	}
	credentials, err := s.credentials.Retrieve(r.Context())
	if err != nil {
		return &http1.ConnectError{Address: s.host, Err: fmt.Errorf("sign: %w", err)}
	}
	u.RawQuery = encodeQuery(query)
	r.Host, r.URL.Opaque = s.host, u.RequestURI()
	plain := &http.Request{Method: r.Method, URL: u, Host: s.host, Header: http.Header{}}
	if t := r.Header["Content-Type"]; t != nil {
		plain.Header["Content-Type"] = t
	}
	if err := s.v4.SignHTTP(r.Context(), credentials, plain, hash, s.service, s.region, time.Now()); err != nil {
		return &http1.ConnectError{Address: s.host, Err: fmt.Errorf("sign: %w", err)}
	}
	r.Header = maps.Clone(r.Header)
	if r.Header == nil {
		r.Header = http.Header{}
	}
	authorization := r.Header["Authorization"]
	for name := range r.Header {
		if name == "Expect" || name == HeaderClientAuthorization || strings.HasPrefix(name, "X-Amz-") {
			delete(r.Header, name) // the signature's are ours
		}
	}
	if authorization != nil {
		r.Header[HeaderClientAuthorization] = authorization
	}
	maps.Copy(r.Header, plain.Header)
	return nil
}

// hold reads the body, so that it can be hashed and sent.
func (s *signer) hold(r *http.Request) (hash string, err error) {
	var body []byte
	if r.Body != nil && r.Body != http.NoBody {
		limit := maxSigned[s.service]
		if body, err = io.ReadAll(io.LimitReader(r.Body, limit+1)); err != nil {
			return "", fmt.Errorf("read the body: %w", err)
		}
		closeBody(r)
		if int64(len(body)) > limit {
			return "", fmt.Errorf("%w: it has more than %d bytes", ErrTooLarge, limit)
		}
		r.Body, r.ContentLength, r.Trailer = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
		if len(body) == 0 {
			r.Body = http.NoBody
		}
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:]), nil
}

// encodeQuery escapes names and values in the one way that a signature and every parser
// agree about. Go's own parser would lose parameters with ";" or a lone "%".
func encodeQuery(raw string) string {
	var b strings.Builder
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		name, value, _ := strings.Cut(pair, "=")
		b.WriteString(reescape(name))
		b.WriteByte('=')
		b.WriteString(reescape(value))
	}
	return b.String()
}

func reescape(s string) string {
	plain := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+':
			plain = append(plain, ' ')
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			b, _ := strconv.ParseUint(s[i+1:i+3], 16, 8)
			plain = append(plain, byte(b))
			i += 2
		default:
			plain = append(plain, c) // also a percent sign that begins no escape
		}
	}
	return strings.ReplaceAll(url.QueryEscape(string(plain)), "+", "%20")
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

func unsent(err error) error { return fmt.Errorf("%w (%w)", err, http1.ErrUnsent) }
