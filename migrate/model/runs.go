package main

import (
	"fmt"
	"strings"
)

// invariants are those of section 4 of the design that the models look at.
var invariants = map[int]string{
	2:  "acknowledged means kept",
	5:  "one writer",
	6:  "no resurrection, no regression",
	7:  "no state without an exit",
	8:  "verified means verified",
	11: "late is harmless",
}

// run is one search.
type run struct {
	name     string
	model    string // the file, without .pml
	bounds   string // macros, as NAME or NAME=value
	mutation string // the macro that leaves a mechanism out; "" for the model as designed
	breaks   int    // the invariant that must not hold then
	shortest bool   // search breadth first
	maxDepth int    // of the search; 0: the default
	optimize string // gcc's option; "": -O1
}

// defines are the macros as options of spin. A mutation is held to its invariant alone.
func (r run) defines() []string {
	macros := strings.Fields(r.bounds + " " + r.mutation)
	if r.breaks != 0 && r.breaks != 7 {
		macros = append(macros, fmt.Sprintf("ONLY=%d", r.breaks))
	}
	for i, m := range macros {
		macros[i] = "-D" + m
	}
	return macros
}

// mayEndAnywhere: where a bound stops the processes of these models, nothing is wrong.
// In names they stop only where there is nothing left to do.
func (r run) mayEndAnywhere() bool { return r.model != "names" }

const (
	fromStart  = "PHYSICAL=2 UUIDS=2 LOST=1 CRASHES=0 ELECTIONS=0"
	fromBehind = "ENCAPSULATED PHYSICAL=2 UUIDS=2 LOST=1 CRASHES=0 ELECTIONS=0"
	failOver   = "ENCAPSULATED PHYSICAL=2 UUIDS=2 LOST=2 CRASHES=0 ELECTIONS=1"
	threeNames = "ENCAPSULATED PHYSICAL=3 UUIDS=2 LOST=1 CRASHES=0 ELECTIONS=0"
	thereBack  = "SWITCHED PHYSICAL=4 UUIDS=2 LOST=1 CRASHES=0 ELECTIONS=0"
	backOver   = "SWITCHED PHYSICAL=3 UUIDS=2 LOST=2 CRASHES=0 ELECTIONS=1"

	wayBack      = "WRITES=2 ZOMBIES=1 READERS=2 OPERATORS=1 GENERATIONS=4"
	backByTwo    = "WRITES=1 ZOMBIES=1 READERS=1 OPERATORS=2 GENERATIONS=6"
	backOneWrite = "WRITES=1 ZOMBIES=1 READERS=1 OPERATORS=1 GENERATIONS=4"
)

// runs are all, those as designed first.
var runs = []run{
	{name: "names", model: "names", bounds: "PHYSICAL=2 UUIDS=2 LOST=1 CRASHES=1 ELECTIONS=0"},
	{name: "names, three generations", model: "names", bounds: "PHYSICAL=3 UUIDS=2 LOST=1 CRASHES=0 ELECTIONS=0"},
	{name: "names, two late commands", model: "names", bounds: "ENCAPSULATED PHYSICAL=3 UUIDS=2 LOST=2 CRASHES=0 ELECTIONS=0"},
	{name: "names, two strays", model: "names", bounds: "ENCAPSULATED PHYSICAL=3 UUIDS=3 LOST=1 CRASHES=0 ELECTIONS=0"},
	{name: "names, a fail-over", model: "names", bounds: failOver},
	{name: "names, collectionUUID", model: "names", bounds: "UUID_CONDITIONS PHYSICAL=2 UUIDS=3 LOST=1 CRASHES=1 ELECTIONS=0"},
	{name: "names, another control table", model: "names", bounds: "OTHER_TABLE " + fromStart},
	{name: "names, ways out", model: "names", bounds: "EXITS " + fromStart},
	{name: "names, ways out, three generations", model: "names", bounds: "EXITS " + threeNames},
	{name: "names, ways out, a fail-over", model: "names", bounds: "EXITS ENCAPSULATED PHYSICAL=2 UUIDS=2 LOST=1 CRASHES=0 ELECTIONS=1"},
	{name: "names, a rollback", model: "names", bounds: "SWITCHED PHYSICAL=4 UUIDS=2 LOST=2 CRASHES=0 ELECTIONS=0"},
	{name: "names, a rollback and a fail-over", model: "names", bounds: backOver},
	{name: "names, ways out of a rollback", model: "names", bounds: "EXITS " + thereBack},
	{name: "no fence", model: "names", bounds: fromBehind, mutation: "NO_FENCE", breaks: 5},
	{name: "vacated names left empty", model: "names", bounds: fromBehind, mutation: "NO_OCCUPY", breaks: 2},
	{name: "not found, believed", model: "names", bounds: fromBehind, mutation: "BELIEVES_EMPTY", breaks: 2},
	{name: "names used twice", model: "names", bounds: threeNames, mutation: "REUSE_NAMES", breaks: 11},
	{name: "no further name for an undo", model: "names", bounds: threeNames, mutation: "ADOPT_IN_PLACE", breaks: 11},
	{name: "a taken name is cleared", model: "names", bounds: "PHYSICAL=3 UUIDS=2 LOST=1 CRASHES=1 ELECTIONS=0",
		mutation: "CLEAR_TARGET", breaks: 11},
	{name: "Move persisted afterwards", model: "names", bounds: threeNames, mutation: "MOVE_AFTERWARDS", breaks: 11},
	{name: "names, not UUIDs", model: "names", bounds: fromStart, mutation: "BY_NAME", breaks: 8},
	{name: "no proof", model: "names", bounds: fromBehind, mutation: "NO_PROOF", breaks: 11},
	{name: "connected after reading", model: "names", bounds: fromBehind, mutation: "READ_FIRST", breaks: 11},
	{name: "a drop that comes twice", model: "names", bounds: fromBehind, mutation: "DROP_TWICE", breaks: 2},
	{name: "abandon leaves names empty", model: "names", bounds: fromBehind, mutation: "LEAVE_VACANT", breaks: 2},
	{name: "no majority barrier", model: "names", bounds: failOver, mutation: "NO_MAJORITY", breaks: 5},
	{name: "behind it, only the UUID", model: "names", bounds: failOver, mutation: "SETTLE_BY_UUID", breaks: 2},
	{name: "no claim", model: "names", bounds: "OTHER_TABLE " + fromStart, mutation: "NO_CLAIM", breaks: 5},
	{name: "waits for a lost UUID", model: "names", bounds: "EXITS " + fromStart, mutation: "LOOK_FOREVER", breaks: 7},
	{name: "an undone rollback re-enters", model: "names", bounds: thereBack, mutation: "REUSE_NAMES", breaks: 11},
	{name: "a rollback without a barrier", model: "names", bounds: backOver, mutation: "NO_MAJORITY", breaks: 11},

	{name: "data", model: "data", bounds: "EVENTS=6"},
	{name: "no fence, data", model: "data", bounds: "EVENTS=6", mutation: "NO_FENCE", breaks: 5},
	{name: "no epoch", model: "data", bounds: "EVENTS=6", mutation: "NO_EPOCH", breaks: 6},
	{name: "no condition", model: "data", bounds: "EVENTS=6", mutation: "NO_CONDITION", breaks: 6},
	{name: "no tombstone", model: "data", bounds: "EVENTS=6", mutation: "NO_TOMBSTONE", breaks: 6},
	{name: "the owner deletes plainly", model: "data", bounds: "EVENTS=6", mutation: "PLAIN_DELETE", breaks: 6},
	{name: "no drain", model: "data", bounds: "EVENTS=6", mutation: "NO_DRAIN", breaks: 2},
	{name: "the barrier before the fence", model: "data", bounds: "EVENTS=6", mutation: "BARRIER_BEFORE_FENCE", breaks: 2},
	{name: "no tail", model: "data", bounds: "EVENTS=6", mutation: "NO_TAIL", breaks: 8},
	{name: "DDL not watched", model: "data", bounds: "EVENTS=6", mutation: "NO_DDL_WATCH", breaks: 8},
	{name: "the position saved before the DDL", model: "data", bounds: "EVENTS=6", mutation: "POSITION_FIRST", breaks: 8},

	{name: "the way back", model: "back", bounds: wayBack},
	{name: "the way back, a split shard", model: "back", bounds: "SPLIT " + wayBack},
	{name: "the way back, two operators", model: "back", bounds: "WRITES=2 ZOMBIES=1 READERS=1 OPERATORS=2 GENERATIONS=5"},
	{name: "the way back, three undone", model: "back", bounds: backByTwo},
	{name: "the way back, two late writes", model: "back", bounds: "WRITES=1 ZOMBIES=2 READERS=2 OPERATORS=1 GENERATIONS=4"},
	{name: "the way back, records are gone", model: "back", bounds: "TRIMMED " + backOneWrite},
	{name: "the way back, a fail-over", model: "back", bounds: "ELECTIONS=1 " + backOneWrite},
	{name: "the way back, a split, a fail-over", model: "back", bounds: "SPLIT ELECTIONS=1 WRITES=2 ZOMBIES=1 READERS=1 OPERATORS=1 GENERATIONS=4"},
	{name: "no rename, back", model: "back", bounds: wayBack, mutation: "NO_FENCE", breaks: 6},
	{name: "a rename that does not wait", model: "back", bounds: wayBack, mutation: "RENAME_DOES_NOT_WAIT", breaks: 6},
	{name: "the position apart", model: "back", bounds: wayBack, mutation: "POSITION_APART", breaks: 6},
	{name: "a child before its parent", model: "back", bounds: "SPLIT " + wayBack, mutation: "CHILD_FIRST", breaks: 6},
	{name: "no drain, back", model: "back", bounds: backOneWrite, mutation: "NO_DRAIN", breaks: 2},
	{name: "the drain of one shard", model: "back", bounds: backOneWrite, mutation: "ONE_SHARD", breaks: 2},
	{name: "what the primary alone has", model: "back", bounds: "ELECTIONS=1 " + backOneWrite, mutation: "LOCAL_READS", breaks: 2},
	{name: "the drain before the hold", model: "back", bounds: backOneWrite, mutation: "DRAIN_BEFORE_HOLD", breaks: 2},
	{name: "the position stays", model: "back", bounds: backOneWrite, mutation: "NO_POSITION", breaks: 6},
	{name: "the position before the fence", model: "back", bounds: backOneWrite, mutation: "POSITION_BEFORE_FENCE", breaks: 6},
	{name: "the position of an older look", model: "back", bounds: backByTwo, mutation: "POSITION_UNCONDITIONAL", breaks: 6},
	{name: "no epoch, forward", model: "back", bounds: wayBack, mutation: "FORWARD_WITHOUT_EPOCH", breaks: 6},
	{name: "late writes are dropped", model: "back", bounds: backOneWrite, mutation: "LATE_IS_DROPPED", breaks: 2},
	{name: "late writes refuse nothing", model: "back", bounds: backOneWrite, mutation: "NO_REFUSAL", breaks: 2},
	{name: "late writes end no verification", model: "back", bounds: backOneWrite, mutation: "LATE_ENDS_NOTHING", breaks: 2},
	{name: "late writes, looked at before", model: "back", bounds: backOneWrite, mutation: "BELIEVES_THE_BEGINNING", breaks: 2},
	{name: "records that are gone end nothing", model: "back", bounds: "TRIMMED " + backOneWrite, mutation: "TRIM_ENDS_NOTHING", breaks: 2},
	{name: "no probe", model: "back", bounds: backOneWrite, mutation: "NO_PROBE", breaks: 2},
	{name: "an earlier epoch is passed over", model: "back", bounds: backOneWrite, mutation: "SKIP_EARLIER", breaks: 2},
	{name: "an earlier epoch as it was", model: "back", bounds: wayBack, mutation: "CARRY_ALL", breaks: 6},

	{name: "members", model: "members", bounds: "WRITES=3"},
	{name: "no fence, members", model: "members", bounds: "WRITES=3", mutation: "NO_FENCE", breaks: 5},
	{name: "no lease", model: "members", bounds: "WRITES=3", mutation: "NO_LEASE", breaks: 2},
	{name: "no acknowledgement", model: "members", bounds: "WRITES=3", mutation: "NO_ACK", breaks: 2},
	{name: "the switch ends the hold", model: "members", bounds: "WRITES=3", mutation: "RELEASE_AT_SWITCH", breaks: 2},

	{name: "the former fence, in calm", model: "former"},
	{name: "the former fence, a late drop", model: "former", mutation: "LATE_COMMANDS", breaks: 11},
	{name: "the former fence, a stranger", model: "former", mutation: "STRANGERS", breaks: 2},
}
