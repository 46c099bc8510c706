package autoscale

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Policy says how one stream is scaled. All but Stream and Max have defaults.
type Policy struct {
	Stream string `json:"stream"`
	// Min and Max bound the open shards; Min 0 means 1.
	Min int `json:"min"`
	Max int `json:"max"`
	// Up is the utilisation of a shard, from 0 to 1, above which it is hot; 0
	// means 0.75.
	Up float64 `json:"up"`
	// Target is the utilisation of the hottest shard to reach by a step up; 0 means 0.6.
	Target float64 `json:"target"`
	// DownTo is what the hottest shard may have after a step down, or a merge; 0
	// means 0.5. It must be well below Up.
	DownTo float64 `json:"downTo"`
	// UpMinutes are looked at for a step up, DownMinutes for one down; 0 means 2
	// and 30.
	UpMinutes   int `json:"upMinutes"`
	DownMinutes int `json:"downMinutes"`
	// CooldownMinutes pass after any change before the next; 0 means 3.
	CooldownMinutes int `json:"cooldownMinutes"`
	// Throttled records in a minute make a shard hot whatever its utilisation; 0
	// means 60, -1 that they are not looked at.
	Throttled float64 `json:"throttled"`
	// ReserveUps of the ten scalings in 24 hours are kept for steps up; 0 means 4.
	ReserveUps int `json:"reserveUps"`
	// NoForecast takes no day for like the one before.
	NoForecast bool `json:"noForecast"`
}

// ScalingsPerDay is how often UpdateShardCount may be called in 24 hours.
const ScalingsPerDay = 10

// maxShards is the default quota of a stream.
const maxShards = 10_000

func (p Policy) withDefaults() Policy {
	p.Min = cmp.Or(p.Min, 1)
	p.Up = cmp.Or(p.Up, 0.75)
	p.Target = cmp.Or(p.Target, 0.6)
	p.DownTo = cmp.Or(p.DownTo, 0.5)
	p.UpMinutes = cmp.Or(p.UpMinutes, 2)
	p.DownMinutes = cmp.Or(p.DownMinutes, 30)
	p.CooldownMinutes = cmp.Or(p.CooldownMinutes, 3)
	p.Throttled = cmp.Or(p.Throttled, 60)
	p.ReserveUps = cmp.Or(p.ReserveUps, 4)
	return p
}

// Validate reports the first invalid field, with the defaults filled in.
func (p Policy) Validate() error {
	p = p.withDefaults()
	switch {
	case p.Stream == "":
		return errors.New("autoscale: a policy has no stream")
	case p.Max < 1 || p.Max > maxShards || p.Min < 1 || p.Min > p.Max:
		return fmt.Errorf("autoscale: %s: invalid min %d and max %d: must be 1 <= min <= max <= %d", p.Stream, p.Min, p.Max, maxShards)
	case p.Up <= 0 || p.Up > 1 || p.Target <= 0 || p.Target >= p.Up:
		return fmt.Errorf("autoscale: %s: invalid target %g and up %g: must be 0 < target < up <= 1", p.Stream, p.Target, p.Up)
	case p.DownTo <= 0 || p.DownTo > 0.8*p.Up:
		return fmt.Errorf("autoscale: %s: downTo %g must be above 0 and at most four fifths of up (%g), or the stream would grow again at once",
			p.Stream, p.DownTo, p.Up)
	case p.UpMinutes < 1 || p.DownMinutes < p.UpMinutes || p.DownMinutes > 180:
		return fmt.Errorf("autoscale: %s: invalid upMinutes %d and downMinutes %d: must be 1 <= upMinutes <= downMinutes <= 180", p.Stream,
			p.UpMinutes, p.DownMinutes)
	case p.CooldownMinutes < 1:
		return fmt.Errorf("autoscale: %s: cooldownMinutes %d must be at least 1", p.Stream, p.CooldownMinutes)
	case p.ReserveUps < 0 || p.ReserveUps > ScalingsPerDay:
		return fmt.Errorf("autoscale: %s: reserveUps %d must be from 0 to %d", p.Stream, p.ReserveUps, ScalingsPerDay)
	}
	return nil
}

func (p Policy) cooldown() time.Duration { return time.Duration(p.CooldownMinutes) * time.Minute }

// Config of the function.
type Config struct {
	// Policies, one for each stream.
	Policies []Policy
	// Table of states; "" means banyan-autoscale.
	Table string
	// DryRun decides and reports, and changes nothing.
	DryRun bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// DefaultTable is the table of states where none is named.
const DefaultTable = "banyan-autoscale"

// Validate reports the first invalid policy.
func (c Config) Validate() error {
	if len(c.Policies) == 0 {
		return errors.New(`autoscale: no stream is named: set AUTOSCALE_STREAMS to [{"stream":"name","min":1,"max":8}]`)
	}
	seen := map[string]bool{}
	for _, p := range c.Policies {
		if err := p.Validate(); err != nil {
			return err
		}
		if seen[p.Stream] {
			return fmt.Errorf("autoscale: %s has two policies", p.Stream)
		}
		seen[p.Stream] = true
	}
	return nil
}

// ParseConfig reads an environment as the package comment lists it.
func ParseConfig(getenv func(string) string) (Config, error) {
	c := Config{Table: getenv("AUTOSCALE_TABLE")}
	if text := getenv("AUTOSCALE_STREAMS"); text != "" {
		d := json.NewDecoder(bytes.NewReader([]byte(text)))
		d.DisallowUnknownFields()
		if err := d.Decode(&c.Policies); err != nil {
			return c, fmt.Errorf(`invalid AUTOSCALE_STREAMS: must be [{"stream":"name","min":1,"max":8}]: %w`, err)
		}
	}
	if text := getenv("AUTOSCALE_DRY_RUN"); text != "" {
		dry, err := strconv.ParseBool(text)
		if err != nil {
			return c, fmt.Errorf("invalid AUTOSCALE_DRY_RUN %q: must be true or false", text)
		}
		c.DryRun = dry
	}
	return c, c.Validate()
}
