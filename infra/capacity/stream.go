package capacity

import (
	"math"
	"sort"
)

// The limits of the services, see section 7 of the design and
// https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html.
const (
	shardBytes     = 1 << 20 // a second
	shardRecords   = 1000
	shardReads     = 2 << 20 // a second, of all consumers without enhanced fan-out
	requestRecords = 500
	requestBytes   = 1 << 20 // what the publisher puts into one
	putUnit        = 25 << 10
	inUnit         = 1 << 10

	// What an aggregate adds: to each event, and to each record.
	perEvent  = 12
	perRecord = 40

	mostShards = 1 << 30 // more than any valid load needs
)

// Stream is what goes over it in a second.
type Stream struct {
	Aggregated bool `json:"aggregated"`
	Shards     int  `json:"shards"`
	// ShardsBy is what needs so many: "bytes", "records" or "reads".
	ShardsBy string  `json:"shardsBy"`
	Requests float64 `json:"requests"` // PutRecords
	Records  float64 `json:"records"`
	// RecordBytes are of one record with its key, Bytes those of a second.
	RecordBytes float64 `json:"recordBytes"`
	Bytes       float64 `json:"bytes"`
	// EventsPerRecord is how many an aggregate has.
	EventsPerRecord float64 `json:"eventsPerRecord"`
	PutUnits        float64 `json:"putUnits"`
	InBytes         float64 `json:"inBytes"` // as on-demand streams count them
}

// Stream estimates the traffic of a stream with so many shards, which need not
// be enough.
func (l Load) Stream(shards int, aggregated bool) Stream {
	l = l.withDefaults()
	lanes := float64(shards * l.Publishers)
	r := l.Rate / lanes
	size := float64(l.Size + l.Key)
	s := Stream{Aggregated: aggregated, Shards: shards, EventsPerRecord: 1, RecordBytes: size}
	full := float64(l.AggregateBytes) / float64(l.Size) // the publisher counts events without keys
	if !aggregated {
		full = math.Min(full, requestRecords)
	}
	n := math.Max(r*l.cycle(r, full), 1)
	if n = math.Min(n, requestBytes/size); aggregated {
		records := math.Min(math.Floor(n*(size+perEvent)/float64(l.AggregateBytes))+1, n)
		s.EventsPerRecord = n / records
		if s.EventsPerRecord > 1 {
			s.RecordBytes = s.EventsPerRecord*(size+perEvent) + perRecord
		}
	} else {
		n = math.Min(n, requestRecords)
	}
	s.Requests = l.Rate / n
	s.Records = l.Rate / s.EventsPerRecord
	s.Bytes = s.Records * s.RecordBytes
	s.PutUnits = s.Records * math.Ceil(s.RecordBytes/putUnit)
	s.InBytes = s.Records * math.Ceil(s.RecordBytes/inUnit) * inUnit
	return s
}

// cycle is the time from one request of a lane to the next, in seconds, where r
// events a second come and so many make it full.
func (l Load) cycle(r, full float64) float64 {
	linger, trip := l.Linger.Seconds(), l.RoundTrip.Seconds()
	c := 1/r + linger
	if trip > linger {
		c = trip + math.Exp(-r*(trip-linger))/r
	}
	return math.Max(trip, math.Min(c, full/r))
}

// Needed is the stream with as many shards as the load needs.
func (l Load) Needed(aggregated bool) Stream {
	l = l.withDefaults()
	n := 1 + sort.Search(mostShards, func(i int) bool {
		most, _ := l.pressure(l.Stream(i+1, aggregated))
		return most <= l.Use
	})
	s := l.Stream(n, aggregated)
	fewer := l.Stream(max(n-1, 1), aggregated)
	_, s.ShardsBy = l.pressure(fewer)
	return s
}

// pressure is how full the fullest limit of a shard is, and which.
func (l Load) pressure(s Stream) (most float64, by string) {
	n := float64(s.Shards)
	most, by = s.Bytes/n/shardBytes, "bytes"
	if p := s.Records / n / shardRecords; p > most {
		most, by = p, "records"
	}
	if p := s.Bytes * float64(l.ReadModels) / n / shardReads; p > most && !l.EnhancedFanOut {
		most, by = p, "reads"
	}
	return most, by
}
