package demo

import (
	"math/rand/v2"
	"time"
)

// chaosPlan is what goes wrong in the chaos variant, all by the seed. The
// rates are such that a long run meets every kind many times.
const chaosPlan = `
delay 60ms
kinesis.PutRecords      throttle=0.02 partial=0.05 timeout-before=0.01 timeout-after=0.02 internal=0.01
kinesis.GetRecords      throttle=0.03 internal=0.01 timeout-after=0.01
dynamodb.BatchWriteItem throttle=0.01 partial=0.05 timeout-after=0.005
dynamodb.BatchGetItem   throttle=0.01 partial=0.05
dynamodb.*              throttle=0.005 internal=0.002 timeout-before=0.001 timeout-after=0.002
lambda.Invoke           duplicate=0.05 late=0.03 timeout-after=0.02 partial=0.01 throttle=0.01
mongodb.find            timeout-before=0.002
mongodb.*               timeout-before=0.001 timeout-after=0.001
`

// killer decides when a migrating process is killed.
type killer struct {
	r    *rand.Rand
	runs int
}

func newKiller(seed uint64) *killer { return &killer{r: rand.New(rand.NewPCG(seed, 0xC1A05))} }

// lifetime is how long the process may run this time. The first times are short, to
// end in the middle of the work; some later ones are long enough to wait for the lease
// of a killed predecessor.
func (k *killer) lifetime() time.Duration {
	k.runs++
	if k.runs <= 2 {
		return 30*time.Millisecond + time.Duration(k.r.IntN(600))*time.Millisecond
	}
	return 100*time.Millisecond + time.Duration(k.r.ExpFloat64()*float64(3*time.Second))
}
