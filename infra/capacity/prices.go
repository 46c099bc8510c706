package capacity

import (
	_ "embed" // for the prices
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

//go:embed prices.yaml
var published []byte

// The names of prices that an estimate needs.
const (
	shardHour      = "kinesis-shard-hour"
	putUnits       = "kinesis-put-units"
	streamHour     = "kinesis-stream-hour"
	streamIn       = "kinesis-in"
	streamOut      = "kinesis-out"
	fanoutHour     = "kinesis-fanout-hour"
	fanoutOut      = "kinesis-fanout"
	fanoutOnDemand = "kinesis-fanout-on-demand"
	invocations    = "lambda-requests"
	armSecond      = "lambda-arm64"
	intelSecond    = "lambda-x86_64"
	writeRequest   = "dynamodb-write-request"
	writeHour      = "dynamodb-write-hour"
	queueRequests  = "sqs-requests"
)

var needed = []string{
	shardHour, putUnits, streamHour, streamIn, streamOut, fanoutHour, fanoutOut, fanoutOnDemand,
	invocations, armSecond, intelSecond, writeRequest, writeHour, queueRequests,
}

// Price is one published price.
type Price struct {
	USD    float64 `yaml:"usd" json:"usd"`
	Per    string  `yaml:"per" json:"per"`
	Seen   string  `yaml:"seen" json:"seen"` // a date, 2006-01-02
	Source string  `yaml:"source" json:"source"`
}

// Prices are those of one region.
type Prices struct {
	Region    string           `json:"region"`
	Collected string           `json:"collected"`
	By        map[string]Price `json:"prices"`
}

type priceFile struct {
	Collected string                      `yaml:"collected"`
	Regions   map[string]map[string]Price `yaml:"regions"`
}

// Published returns the prices of a region from the file that is built in.
func Published(region string) (Prices, error) { return ParsePrices(published, region) }

// ParsePrices reads a file of prices. Each needs a number, what it is for, a date
// and a source; none may be missing.
func ParsePrices(file []byte, region string) (Prices, error) {
	var f priceFile
	if err := yaml.UnmarshalWithOptions(file, &f, yaml.Strict()); err != nil {
		return Prices{}, fmt.Errorf("read the prices: %s", yaml.FormatError(err, false, false))
	}
	by, known := f.Regions[region]
	if !known {
		return Prices{}, fmt.Errorf("there are no prices for the region %q, only for %s: give a file that has them (--prices)",
			region, strings.Join(slices.Sorted(maps.Keys(f.Regions)), ", "))
	}
	for _, name := range needed {
		if err := by[name].validate(); err != nil {
			return Prices{}, fmt.Errorf("the price %s of %s: %w", name, region, err)
		}
	}
	return Prices{Region: region, Collected: f.Collected, By: by}, nil
}

func (p Price) validate() error {
	if !(p.USD > 0) || p.USD > 1e6 || p.Per == "" {
		return fmt.Errorf("it needs usd, more than 0, and per")
	}
	if _, err := time.Parse(time.DateOnly, p.Seen); err != nil {
		return fmt.Errorf("seen: %w", err)
	}
	if !strings.HasPrefix(p.Source, "https://") {
		return fmt.Errorf("source %q is no https address", p.Source)
	}
	return nil
}

func (p Prices) usd(name string) float64 { return p.By[name].USD }
