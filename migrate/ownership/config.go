package ownership

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// MaxLease is the longest lease that a member may have. After the switch, a member ends
// the hold by itself this long after it read the new owner, if the coordinator does not
// end it: by then no member can still hold a lease under the old owner.
const MaxLease = 5 * time.Second

// MemberConfig configures Join. Table and Entity are required, the rest has
// defaults.
type MemberConfig struct {
	// Table is the control table.
	Table *Table
	// Entity is what this instance serves, such as "users".
	Entity string
	// Service names the service for people. Default: Entity.
	Service string
	// ID names this instance for people; Join makes it unique. Default: Service.
	ID string
	// Lease is how long a renewal is good for, at most MaxLease. Default 2 s.
	Lease time.Duration
	// Renew is the time between renewals. Default Lease/4.
	Renew time.Duration
	// Poll is the time between reads of the record in calm. Default 250 ms.
	Poll time.Duration
	// PollSwitching is the same while writes are held or a switch is under way: clients
	// wait for it three times. Default: a millisecond for each instance, at least 10 and at
	// most 50. So fifty instances read the record a thousand times a second together, and
	// DynamoDB can read an item three times as often.
	PollSwitching time.Duration
	// AttemptTimeout bounds one request to the control table, so that a slow one
	// does not cost the lease. Default Lease/4.
	AttemptTimeout time.Duration
	// MaxWait bounds the wait of an operation whose context has no deadline.
	// Default 10 s.
	MaxWait time.Duration
	// Probe reports whether this instance may read and write the collection of MongoDB
	// under a name that it is about to get, where nothing stands yet. It must end with ctx,
	// has as long as Lease, should retry what is transient, and its error should say what
	// is missing: a person will read it. The member acknowledges a move only after Probe returned nil.
	//
	// A service that sets Probe promises to use Grant.Collection and
	// Grant.CollectionUUID; MemberState.Names says so to coordinators. Without Probe,
	// the entity's collection cannot get another name.
	Probe func(ctx context.Context, collection string) error
	// AppName is the application name of this service's connections to MongoDB, where no
	// other program has it. It tells the service's commands from those of others where
	// they do not say so in a [Comment]. Default: unknown.
	AppName string
	// Relay says that the member publishes what the owning service leaves with its writes, and
	// is no instance of that itself.
	Relay bool
	// Clock is replaced in tests.
	Clock Clock
}

// Comment is what each command of the owning service to MongoDB carries in its field
// "comment" (MongoDB 4.4 and later), for a collection by the name that the service knows.
func Comment(collection string) string { return "banyan-owner " + collection }

func (c MemberConfig) withDefaults() MemberConfig {
	c.Lease = cmp.Or(c.Lease, 2*time.Second)
	c.Renew = cmp.Or(c.Renew, c.Lease/4)
	c.Poll = cmp.Or(c.Poll, min(250*time.Millisecond, c.Lease/4))
	c.AttemptTimeout = cmp.Or(c.AttemptTimeout, c.Lease/4)
	c.MaxWait = cmp.Or(c.MaxWait, 10*time.Second)
	c.Service = cmp.Or(c.Service, c.Entity)
	c.ID = cmp.Or(c.ID, c.Service)
	if c.Clock == nil {
		c.Clock = systemClock{}
	}
	return c
}

// Validate reports what is missing or cannot work.
func (c MemberConfig) Validate() error {
	c = c.withDefaults()
	switch {
	case c.Table == nil:
		return errors.New("ownership member: Table is required")
	case c.Entity == "":
		return errors.New("ownership member: Entity is required")
	case c.Lease < 0 || c.Renew < 0 || c.Poll < 0 || c.PollSwitching < 0 || c.AttemptTimeout < 0 || c.MaxWait < 0:
		return errors.New("ownership member: durations cannot be negative")
	case c.Lease > MaxLease:
		return fmt.Errorf("ownership member: Lease is %s, at most %s is allowed", c.Lease, MaxLease)
	case c.Renew > c.Lease/2 || c.Poll > c.Lease/2:
		return fmt.Errorf("ownership member: Renew (%s) and Poll (%s) must be at most half of Lease (%s)", c.Renew, c.Poll, c.Lease)
	}
	return nil
}
