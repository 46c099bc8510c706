package fault

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Any stands for every service or operation in a [Rule].
const Any = "*"

// DefaultDelay is how long a timeout hangs and a late delivery waits where the
// plan does not say.
const DefaultDelay = 100 * time.Millisecond

// MaxDelay bounds Plan.Delay: a call hangs at most this long.
const MaxDelay = time.Minute

// Plan says what shall go wrong how often. The zero value injects nothing.
type Plan struct {
	// Rules are looked up most specific first (service and operation, then
	// service alone, then operation alone, then neither); the first that
	// matches decides alone.
	Rules []Rule
	// Delay is used for timeouts and late deliveries; 0 means DefaultDelay.
	Delay time.Duration
}

// Rule gives the probabilities for the calls it matches.
type Rule struct {
	Service string // "kinesis", "dynamodb", "sqs", "lambda", "logs", "ssm",
	// "secretsmanager", "mongodb" or Any
	Operation string // as on the wire ("PutRecords", "insert"), any case, or Any
	// Odds are probabilities per kind, 0 to 1, together at most 1.
	Odds map[Kind]float64
}

// Validate reports the first rule that makes no sense.
func (p Plan) Validate() error {
	if p.Delay < 0 || p.Delay > MaxDelay {
		return fmt.Errorf("fault plan: delay %s is not between 0 and %s", p.Delay, MaxDelay)
	}
	seen := map[string]bool{}
	for _, r := range p.Rules {
		if err := r.validate(); err != nil {
			return fmt.Errorf("fault plan: rule %s.%s: %w", r.Service, r.Operation, err)
		}
		key := ruleKey(r.Service, r.Operation)
		if seen[key] {
			return fmt.Errorf("fault plan: rule %s.%s is given twice: keep one", r.Service, r.Operation)
		}
		seen[key] = true
	}
	return nil
}

func (r Rule) validate() error {
	if r.Service == "" || r.Operation == "" {
		return errors.New("service and operation must be named, or be *")
	}
	sum := 0.0
	for k, odds := range r.Odds {
		if k == None || int(k) >= len(kindNames) {
			return fmt.Errorf("%s is not a kind to plan", k)
		}
		if !(odds >= 0 && odds <= 1) {
			return fmt.Errorf("probability %v of %s is not between 0 and 1", odds, k)
		}
		sum += odds
	}
	if sum > 1 {
		return fmt.Errorf("the probabilities add up to %v, more than 1", sum)
	}
	return nil
}

// Parse reads a plan, one rule a line:
//
//	# comment
//	delay 200ms
//	kinesis.PutRecords  throttle=0.02 partial=0.05 timeout-after=0.01
//	dynamodb.*          throttle=0.01
//	*.*                 internal=0.001
//
// Rules may also be separated by semicolons, for a flag on a command line.
// Errors name the line.
func Parse(text string) (Plan, error) {
	var p Plan
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		for statement := range strings.SplitSeq(line, ";") {
			if err := p.parseStatement(strings.Fields(statement)); err != nil {
				return Plan{}, fmt.Errorf("fault plan, line %d: %w", n, err)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return Plan{}, fmt.Errorf("fault plan: %w", err)
	}
	return p, p.Validate()
}

func (p *Plan) parseStatement(words []string) error {
	switch {
	case len(words) == 0:
		return nil
	case words[0] == "delay":
		return p.parseDelay(words[1:])
	}
	rule, err := parseRule(words)
	if err != nil {
		return err
	}
	p.Rules = append(p.Rules, rule)
	return nil
}

func (p *Plan) parseDelay(words []string) (err error) {
	if len(words) != 1 {
		return errors.New(`want "delay" and one duration, such as "delay 200ms"`)
	}
	p.Delay, err = time.ParseDuration(words[0])
	return err
}

func parseRule(words []string) (Rule, error) {
	service, operation, ok := strings.Cut(words[0], ".")
	if !ok {
		return Rule{}, fmt.Errorf("%q is not service.operation, such as kinesis.PutRecords or sqs.*", words[0])
	}
	r := Rule{Service: service, Operation: operation, Odds: map[Kind]float64{}}
	for _, word := range words[1:] {
		name, value, ok := strings.Cut(word, "=")
		if !ok {
			return Rule{}, fmt.Errorf("%q is not kind=probability, such as throttle=0.02", word)
		}
		kind, err := ParseKind(name)
		if err != nil {
			return Rule{}, err
		}
		if _, twice := r.Odds[kind]; twice {
			return Rule{}, fmt.Errorf("%s is given twice", kind)
		}
		if r.Odds[kind], err = strconv.ParseFloat(value, 64); err != nil {
			return Rule{}, fmt.Errorf("probability of %s: %w", kind, err)
		}
	}
	return r, r.validate()
}

func ruleKey(service, operation string) string {
	return strings.ToLower(service + "." + operation)
}
