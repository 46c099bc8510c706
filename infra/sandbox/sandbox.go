package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
	"github.com/banyan-fig/banyan/infra/sandbox/cloudwatch"
	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	"github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/infra/sandbox/lambda"
	"github.com/banyan-fig/banyan/infra/sandbox/logs"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/infra/sandbox/settings"
	"github.com/banyan-fig/banyan/infra/sandbox/sqs"
)

// closeTimeout bounds how long Close waits for functions and requests.
const closeTimeout = 10 * time.Second

// Sandbox is a running sandbox. Its methods are safe for concurrent use.
type Sandbox struct {
	cfg      Config
	embedded []string
	env      []string
	faults   *fault.Injector

	ctx     context.Context // of all requests; ends with Close
	stop    context.CancelFunc
	http    *http.Server
	serving sync.WaitGroup
	lambda  *lambda.Host
	logs    *logs.Server
	mongo   *mongodb.Server

	mu     sync.Mutex // guards the following
	apis   []*http.Server
	closed bool

	closing  sync.Once
	closeErr error
}

// ErrPortInUse is why a sandbox does not start when somebody else listens at
// the address asked for.
var ErrPortInUse = errors.New("the port is in use")

// Start starts what the user's environment lacks, and returns when all of it
// can be reached. ctx bounds the start only; end the sandbox with Close.
func Start(ctx context.Context, cfg Config) (*Sandbox, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	user := newEnvironment(cfg.Environ)
	s := &Sandbox{cfg: cfg, embedded: user.embeds()}
	s.ctx, s.stop = context.WithCancel(context.Background())
	var err error
	if s.faults, err = fault.New(cfg.Faults, cfg.Seed); err != nil {
		s.stop()
		return nil, err
	}
	if err := s.start(ctx, user); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Sandbox) start(ctx context.Context, user environment) error {
	mongo, err := s.startMongo()
	if err != nil {
		return err
	}
	listener, url, err := s.listen(ctx)
	if err != nil {
		return err
	}
	if s.env, err = user.with(url, mongo); err == nil && listener != nil {
		err = s.startAWS(listener, url, user.region())
	}
	if err != nil && listener != nil && s.http == nil {
		_ = listener.Close()
	}
	return err
}

func (s *Sandbox) embeds(service string) bool { return slices.Contains(s.embedded, service) }

func (s *Sandbox) startMongo() (uri string, err error) {
	if !s.embeds(MongoDB) {
		return "", nil
	}
	s.mongo, err = mongodb.Start(mongodb.Config{Addr: s.cfg.MongoAddr, Fault: mongodbFaults(s.faults)})
	if err != nil {
		return "", listenError("MongoDB", s.cfg.MongoAddr, err)
	}
	return s.mongo.URI(), nil
}

// listen opens the address of the AWS services, unless none is embedded.
func (s *Sandbox) listen(ctx context.Context) (net.Listener, string, error) {
	if !slices.ContainsFunc(s.embedded, func(service string) bool { return service != MongoDB }) {
		return nil, "", nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return nil, "", listenError("AWS", s.cfg.Addr, err)
	}
	return l, "http://" + l.Addr().String(), nil
}

func listenError(what, addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("sandbox: the stand-in for %s cannot listen on %s: %w; stop who listens there, or choose another port (0 takes a free one)",
			what, addr, ErrPortInUse)
	}
	return fmt.Errorf("sandbox: the stand-in for %s cannot listen on %s: %w", what, addr, err)
}

func (s *Sandbox) startAWS(l net.Listener, url, region string) error {
	services, err := s.services(url, region)
	if err != nil {
		return err
	}
	s.http = &http.Server{
		Handler:           awsjson.Recover(os.Stderr, services),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
	}
	s.serving.Go(func() { _ = s.http.Serve(l) }) // ends with Close
	return nil
}

// services makes the embedded ones.
func (s *Sandbox) services(url, region string) (services front, err error) {
	services = front{}
	if s.embeds(Kinesis) {
		services[Kinesis], err = kinesis.New(kinesis.Config{Region: region, Account: account, Unlimited: s.cfg.Unlimited, Fault: drawn(s.faults, Kinesis)})
		if err != nil {
			return nil, err
		}
	}
	if s.embeds(SQS) {
		if services[SQS], err = sqs.New(sqs.Config{Region: region, Account: account, URL: url, Fault: drawn(s.faults, SQS)}); err != nil {
			return nil, err
		}
	}
	if s.embeds(DynamoDB) {
		services[DynamoDB] = dynamodb.New(dynamodb.Config{Region: region, Account: account, Fault: dynamodbFaults(s.ctx, s.faults)})
	}
	if s.embeds(SSM) {
		services[SSM] = settings.NewParameters(settings.Config{Region: region, Account: account, Fault: drawn(s.faults, SSM)})
	}
	if s.embeds(Secrets) {
		services[Secrets] = settings.NewSecrets(settings.Config{Region: region, Account: account, Fault: drawn(s.faults, Secrets)})
	}
	if s.embeds(CloudWatch) {
		services[CloudWatch], err = cloudwatch.New(cloudwatch.Config{Region: region, Account: account, Fault: drawn(s.faults, CloudWatch)})
		if err != nil {
			return nil, err
		}
	}
	if s.embeds(Lambda) {
		s.lambda, err = lambda.New(lambda.Config{
			Region: region, Account: account, Env: s.env, Log: s.cfg.FunctionLog, Dir: s.cfg.Dir,
			Seed: s.cfg.Seed, Fault: lambdaFaults(s.faults), APIFault: drawn(s.faults, Lambda),
		})
		if err != nil {
			return nil, err
		}
		services[Lambda] = s.lambda
	}
	if s.embeds(Logs) {
		once := func(o *awskinesis.Options) { o.RetryMaxAttempts = 1 } // deliveries have their own pauses
		s.logs, err = logs.New(logs.Config{Region: region, Account: account, Kinesis: s.kinesisClient(once), Fault: drawn(s.faults, Logs)})
		if err != nil {
			return nil, err
		}
		services[Logs] = s.logs
	}
	return services, nil
}

// Env is what a process needs to find the sandbox, "NAME=value" each, to be
// appended to the user's environment: AWS_ENDPOINT_URL, AWS_REGION,
// AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
// MONGODB_URI, and what the user has set of these and of
// AWS_ENDPOINT_URL_<SERVICE>.
func (s *Sandbox) Env() []string { return slices.Clone(s.env) }

// Embedded lists the services that run here, sorted; the others are the
// user's own.
func (s *Sandbox) Embedded() []string { return slices.Clone(s.embedded) }

// Faults is the fault plan at work, to change, switch and count.
func (s *Sandbox) Faults() *fault.Injector { return s.faults }

// Close ends functions, requests and connections and waits for them, ten
// seconds at most. The data is gone. Closing again returns the same error.
func (s *Sandbox) Close() error {
	s.closing.Do(func() { s.closeErr = s.close() })
	return s.closeErr
}

func (s *Sandbox) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	var errs []error
	if s.lambda != nil {
		errs = append(errs, s.lambda.Close(ctx)) // first, its mappings use the others
	}
	errs = append(errs, s.closeAPIs(ctx)) // whose requests it has ended
	if s.logs != nil {
		s.logs.Close()
	}
	s.stop()
	if s.http != nil {
		errs = append(errs, s.shutdown(ctx))
	}
	s.serving.Wait()
	if s.mongo != nil {
		errs = append(errs, s.mongo.Close())
	}
	return errors.Join(errs...)
}

// shutdown waits for requests, then cuts off those that are late.
func (s *Sandbox) shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("sandbox: waiting for requests to end: %w", err), s.http.Close())
	}
	return nil
}
