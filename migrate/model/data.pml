/* The data: one document that members write, the copy, the changes, verification, and
 * the switch; then the owner's writes, while commands of the copy and of the changes are
 * still under way. README.md says what is left out and how to read a trail. */
#include "steps.pml"
#include "invariants.pml"

#ifndef EVENTS
#define EVENTS 6              /* length of the change stream */
#endif
#define LATE   2              /* commands to DynamoDB that come late */
#define OWNERS 2              /* writes of the owner after the switch */
#define OWNER  100            /* newer than any source time */

/* MongoDB. A position in the change stream is a source time, and the name of the content
 * that was written then; content 0 is no document. */
mtype = { written, deleted, ddl, barrier };
mtype events[EVENTS + 1];
byte head = 1;                /* the last event */
byte content = 1;             /* of the document */
bool bound = true;            /* the collection is that of the bound UUID */
bool fenced;
bool ddlHappened, compared;   /* ghosts: since the verification; the document, since its last change */

/* DynamoDB: the item, with the source time that it is of and whether it has the owner's
 * epoch. A tombstone is an item with content 0. */
typedef Item { bool exists, epoch; byte time, content };
Item item;
byte newest;                  /* ghost: the newest that the item ever was */
byte owned;                   /* the owner's writes */

/* A write to DynamoDB: of the copy (if there is no item), or of the changes and of a
 * repair (if the item is still the one that was read, of source time seen; 0: none). */
mtype = { copy, apply };
typedef Write { mtype kind; byte time, content, seen };
Write late[LATE];
byte lates;

/* What migrate stores: the copy is done, the follower's position, a DDL was met, the
 * verification and as of when. */
bool copied, ended, verified;
byte place = 1, saved = 1, asOf;
mtype owner = nothing;        /* nothing: MongoDB; switch: DynamoDB */

#ifdef NO_EPOCH
#define ofOwner false
#else
#define ofOwner item.epoch
#endif

#define isOwners (ofOwner || item.exists && item.time == 0)

#ifdef NO_CONDITION
#define isAsSeen(w) (!ofOwner)
#else
#define isAsSeen(w) ((w.seen == 0 && !item.exists || w.seen != 0 && item.time == w.seen) && !ofOwner)
#endif

/* The table executes a write if its condition holds. */
inline execute(w) {
  if
  :: w.kind == copy && !item.exists || w.kind == apply && isAsSeen(w) ->
     must6(w.time >= newest);
     newest = w.time;
     item.exists = true; item.time = w.time; item.content = w.content; item.epoch = false;
#ifdef NO_TOMBSTONE
     if
     :: w.content == 0 -> item.exists = false; item.time = 0
     :: else
     fi
#endif
  :: else
  fi
}

inline clearWrite(w) {
  d_step { w.kind = nothing; w.time = 0; w.content = 0; w.seen = 0 }
}

/* Its sender stopped waiting, or was killed: it comes at any time, also again. */
inline sendLate(w) {
  d_step {
    late[lates].kind = w.kind; late[lates].time = w.time;
    late[lates].content = w.content; late[lates].seen = w.seen;
    lates++
  }
}

inline happens(e) { head++; events[head] = e }

/* Members, those that slept since they were admitted among them. The fence refuses them. */
proctype members() {
end:
  do
#ifdef NO_FENCE
  :: atomic { head < EVENTS - 2 ->
#else
  :: atomic { !fenced && head < EVENTS - 2 ->
#endif
       must5(owner != switch);
       if
       :: printf("a member writes\n"); happens(written); content = head
       :: content != 0 -> printf("a member deletes\n"); happens(deleted); content = 0
       fi;
       compared = false }
  od
}

/* Somebody renames onto the collection, or away and back, or runs $out or collMod; what it
 * holds changes without an event of the document. */
proctype stranger() {
  atomic { !fenced && head < EVENTS - 2 ->
    happens(ddl); content = head; compared = false; ddlHappened = true;
    if
    :: bound = false
    :: true
    fi;
    printf("a stranger's DDL\n") }
}

/* A copier reads a snapshot, and puts what it read if nothing is there. */
proctype copier() {
  Write w;
again:
  atomic {
    printf("the copier reads a snapshot\n");
    if
    :: content != 0 -> w.kind = copy; w.time = head; w.content = content
    :: else
    fi };
  if
  :: atomic { printf("the copier puts\n"); execute(w); clearWrite(w); copied = true }
  :: atomic { lates < LATE && w.kind == copy -> printf("the copier's put is under way\n"); sendLate(w); clearWrite(w) }; goto again
  fi
}

/* A repair (of a verification, say) reads both sides, and replaces the very item that it
 * read. */
proctype repair() {
  Write w;
  atomic { item.exists && item.time != 0 && !ofOwner && owner != switch ->
    printf("a repair reads source and item\n");
    w.kind = apply; w.time = head; w.content = content; w.seen = item.time };
  if
  :: atomic { printf("the repair writes\n"); execute(w); clearWrite(w) }
  :: atomic { lates < LATE -> printf("the repair's write is under way\n"); sendLate(w); clearWrite(w) }
  fi
}

/* The follower applies the events in their order. It may be killed, and begins again
 * where the position was saved; it does not know who the owner is. */
proctype follower() {
  Write w;
end:
  do
  :: atomic { w.kind == nothing && place < head ->
       if
       :: events[place + 1] == ddl ->
#ifdef POSITION_FIRST
          place++; saved = place; w.kind = copy /* one step later: ended */
#else
#ifndef NO_DDL_WATCH
          ended = true;
#endif
          place++
#endif
       :: events[place + 1] == barrier -> place++
       :: (events[place + 1] == written || events[place + 1] == deleted) && (item.time > place || isOwners) ->
          place++ /* the item is newer, or the owner's */
       :: (events[place + 1] == written || events[place + 1] == deleted) && !(item.time > place || isOwners) ->
          w.kind = apply; w.time = place + 1; w.seen = item.time;
          w.content = (events[place + 1] == written -> place + 1 : 0)
       fi }
#ifdef POSITION_FIRST
  :: atomic { w.kind == copy -> ended = true; clearWrite(w) }
#endif
  :: atomic { w.kind == apply ->
       printf("the follower applies event %d\n", w.time);
       if
       :: isAsSeen(w) -> execute(w); place++
       :: else /* read the item again */
       fi;
       clearWrite(w) }
  :: atomic { w.kind == apply && lates < LATE ->
       printf("the follower's write of event %d is under way, and it is killed\n", w.time);
       sendLate(w); clearWrite(w); place = saved }
  :: atomic { w.kind != apply && place != saved -> saved = place }
#ifdef POSITION_FIRST
  :: atomic { w.kind == copy -> printf("the follower is killed\n"); clearWrite(w) }
#endif
  od
}

/* Compares the document on both sides, while nothing moves in between. */
inline compare(equal) {
  equal = (item.content == content);
  compared = compared || equal
}

/* Verification, then the steps of the switch. What is refused stays as it is. */
proctype migrate() {
  byte mark; /* position of a barrier */
  bool equal;
  mtype step = nothing;
  copied && head < EVENTS;
  atomic { printf("verify: barrier\n"); asOf = head; ddlHappened = false; happens(barrier); mark = head };
  place >= mark;
  atomic {
    compare(equal); /* what differs, but moved since the barrier, is the tail's */
    if
    :: equal || head > mark -> verified = true
    :: else -> goto refused
    fi };
  step = announce;
  step = hold; /* a courtesy to members; see members.pml */
#ifdef BARRIER_BEFORE_FENCE
  atomic { head < EVENTS -> happens(barrier); mark = head };
#endif
  atomic { step = fence;
#ifndef NO_FENCE
    printf("fence\n"); fenced = true
#endif
  };
#ifndef BARRIER_BEFORE_FENCE
  atomic { step = drain; head < EVENTS -> printf("drain: barrier\n"); happens(barrier); mark = head };
#endif
#ifndef NO_DRAIN
  place >= mark;
#endif
  atomic { step = tail;
    printf("tail\n");
    equal = true;
    for (mark : asOf + 1 .. place) { /* the keys come from the events that were read */
      if
      :: (events[mark] == written || events[mark] == deleted) && equal -> compare(equal)
      :: else
      fi
    };
#ifdef NO_TAIL
    compared = (compared && item.content != content); equal = true;
#endif
    mark = 0;
    if
    :: equal
    :: else -> goto refused
    fi };
  atomic { step = confirm;
    printf("confirm\n");
#ifdef NO_CONFIRM
    bound = true;
#endif
    if
    :: bound && !ended && verified
    :: else -> goto refused
    fi };
  atomic { step = switch;
    printf("switch\n");
    must2(item.content == content);
    must8(compared && bound && !ddlHappened);
    owner = switch };
  step = release;
refused:
  skip
}

/* The owning service puts its epoch on every item. */
proctype service() {
end:
  do
  :: atomic { owner == switch && owned < OWNERS && item.content != 0 ->
       printf("the owner updates\n");
       owned++; item.content = OWNER + owned; item.epoch = true; newest = OWNER + owned;
       if
       :: item.time = 0 /* put as a whole */
       :: true          /* or the attributes that changed */
       fi }
  :: atomic { owner == switch && owned < OWNERS && item.content != 0 ->
       printf("the owner deletes\n");
       owned++; item.content = 0; newest = OWNER + owned;
#ifdef PLAIN_DELETE
       item.exists = false; item.time = 0; item.epoch = false
#else
       item.epoch = true
#endif
       }
  od
}

proctype network() {
end:
  do
  :: atomic { lates > 0 -> printf("a write of source time %d arrives late\n", late[0].time); execute(late[0]) }
  :: atomic { lates > 1 -> printf("a write of source time %d arrives late\n", late[1].time); execute(late[1]) }
  od
}

init {
  atomic {
    events[1] = written;
    run members(); run stranger(); run copier(); run repair(); run follower(); run migrate(); run service(); run network()
  }
}
