/* The way back: what DynamoDB's owner writes in epoch 2 is carried to MongoDB from the
 * table's stream; a rollback makes MongoDB the owner in epoch 3, and a second cut-over
 * DynamoDB in epoch 4. An instance of epoch 2 that slept meanwhile writes when it wakes.
 * README.md says what is left out and how to read a trail. */
#include "steps.pml"
#include "invariants.pml"

#ifndef WRITES
#define WRITES 2              /* of members, in either store */
#endif
#ifndef ZOMBIES
#define ZOMBIES 1             /* writes of the instance that slept */
#endif
#ifndef GENERATIONS
#define GENERATIONS 4         /* of P(g); the collection begins at P(2) */
#endif
#ifndef OPERATORS
#define OPERATORS 1
#endif
#ifndef READERS
#define READERS 2
#endif
#ifndef ELECTIONS
#define ELECTIONS 0           /* changes of MongoDB's primary */
#endif
#ifdef SPLIT                  /* one item, whose shard is split */
#define KEYS 1
#define shardOf(k) split
#define keyOf(s) 0
bool split;                   /* shard 0 is closed, and shard 1 its child */
#else                         /* two items, each in a shard of its own */
#define KEYS 2
#define shardOf(k) k
#define keyOf(s) s
#endif
#define RECORDS 7             /* of one shard */
#define EVENTS  7             /* of the change stream */
#define LATE    15            /* the content that the instance that slept writes */

#define isMongoDBs(e) ((e) & 1)

/* The ownership record. A cut-over or a rollback is under way while Move is set. */
byte Epoch = 2, Collection = 2, Generation = 2, Move;
bool Hold;

/* The content of a document is the number of the member's write that it is of. */
typedef Key {
  byte item, epoch;           /* in DynamoDB, with the epoch of who wrote it */
  byte doc;                   /* in MongoDB */
  byte writes;                /* by members, so far */
  bool late;                  /* a late write is kept, and nobody has discarded it */
  byte right, before          /* ghosts: what the owner has; members' writes before epoch 3 */
};
Key key[KEYS];
byte writes, zombies;

/* The table's stream. MongoDB has how far it was carried: at, and done for a shard that is
 * at its end. */
typedef Shard { byte epoch[RECORDS], content[RECORDS], head, at; bool done };
Shard shard[2];

/* MongoDB: the name of the collection (every other leads to a view), and its change stream,
 * in which some are changes of the way back. It is followed behind the event next, in the
 * epoch followed: a row that is changed on the condition of its revision. */
byte name = 2, head;
typedef Event { byte key, content; bool carried };
Event event[EVENTS];
byte next, followed = 1, revision;
bool verified;                /* in this epoch, and since the last late write was kept */

/* A reader: the record behind the position at, and what it means by the record of ownership
 * that was loaded then. */
mtype = { read, judged, open };
typedef Reader { mtype step; byte shard, at, name, content; bool write, late };
Reader reader[READERS];

/* An operator, with what it has found out for the step that it is at. known and kept are
 * ghosts: late writes that were in the table, and that were kept, when it began. */
mtype = { forth, back, undo };
mtype = { probe, save, adopt };
typedef Operator { mtype verb, step; byte from, to, seen, revision, mark[2]; bool current, verified, known, kept };
Operator op[OPERATORS];

byte k_;                      /* scratch, 0 between steps */

inline forget(i) {
  d_step {
    reader[i].step = nothing; reader[i].shard = 0; reader[i].at = 0; reader[i].name = 0;
    reader[i].content = 0; reader[i].write = false; reader[i].late = false
  }
}

/* What of the way back a majority of MongoDB's servers has. */
#if ELECTIONS
byte elections, majorityHead, majorityAt[2], majorityDoc[KEYS];
bool majorityDone, majorityLate;

inline replicate() {
  d_step {
    majorityHead = head; majorityDone = shard[0].done; majorityLate = key[0].late;
    majorityAt[0] = shard[0].at; majorityAt[1] = shard[1].at;
    majorityDoc[0] = key[0].doc; majorityDoc[KEYS - 1] = key[KEYS - 1].doc
  }
}

proctype primaries() {
end:
  do
  :: atomic { head != majorityHead || shard[0].at != majorityAt[0] || shard[1].at != majorityAt[1] || shard[0].done != majorityDone ->
       replicate() }
  :: atomic { elections < ELECTIONS ->
       printf("an election\n");
       elections++;
       d_step {
         for (k_ : majorityHead .. EVENTS - 1) { event[k_].key = 0; event[k_].content = 0; event[k_].carried = false };
         k_ = 0;
         head = majorityHead; shard[0].done = majorityDone; key[0].late = majorityLate;
         shard[0].at = majorityAt[0]; shard[1].at = majorityAt[1];
         key[0].doc = majorityDoc[0]; key[KEYS - 1].doc = majorityDoc[KEYS - 1]
       };
       forget(0);
#if READERS > 1
       forget(1)
#endif
       }
  od
}
#else
#define replicate() skip
#endif
#if ELECTIONS && !defined(LOCAL_READS)
#define carriedTo(s) majorityAt[s]
#define isDone majorityDone
#else
#define carriedTo(s) shard[s].at
#define isDone shard[0].done
#endif

/* While members or the way back may write, the record names the collection. */
inline checkNamed() { must11(Hold || Collection == name) }

/* DynamoDB writes an item, and its stream has it. */
inline put(k, content_, epoch_) {
  d_step {
    key[k].item = content_; key[k].epoch = epoch_;
    shard[shardOf(k)].epoch[shard[shardOf(k)].head] = epoch_;
    shard[shardOf(k)].content[shard[shardOf(k)].head] = content_;
    shard[shardOf(k)].head++
  }
}

/* MongoDB writes a document, and its change stream has it. */
inline replace(k, content_, carried_) {
  d_step {
    event[head].key = k; event[head].content = content_; event[head].carried = carried_;
    head++; key[k].doc = content_
  }
}

inline memberWrites(k) {
  writes++; key[k].writes++; key[k].right = key[k].writes;
  printf("a member writes %d to item %d in epoch %d\n", key[k].writes, k, Epoch);
  if
  :: isMongoDBs(Epoch) -> replace(k, key[k].writes, false); replicate()
  :: else -> put(k, key[k].writes, Epoch)
  fi
}

/* Members that have a lease: none of their writes is in flight while writes are held, as
 * members.pml shows. */
proctype members() {
end:
  do
  :: atomic { !Hold && writes < WRITES -> memberWrites(0) }
#if KEYS > 1
  :: atomic { !Hold && writes < WRITES -> memberWrites(1) }
#endif
  od
}

/* An instance of epoch 2 whose lease has run out, since writes were held or before. The
 * item refuses it where it is of a later epoch. */
proctype zombie() {
end:
  do
  :: atomic { zombies < ZOMBIES && (Hold || Epoch > 2) && key[0].epoch <= 2 ->
       printf("an instance of epoch 2 writes to item 0 in epoch %d\n", Epoch);
       must6(Epoch == 2 || key[0].item == LATE || key[0].item <= key[0].before);
       zombies++; put(0, LATE, 2);
       key[0].right = (Epoch == 4 -> LATE : key[0].right) }
  od
}

#ifdef SPLIT
proctype splitter() {
  atomic { !split -> printf("the shard is split\n"); split = true }
}
#define isCarried(k) (shard[0].at == shard[0].head && shard[1].at == shard[1].head)
#else
#define isCarried(k) (shard[k].at == shard[k].head)
#endif

#if defined(SPLIT) && !defined(CHILD_FIRST)
#define mayRead(s) (shard[s].at < shard[s].head && (s == 0 || isDone))
#else
#define mayRead(s) (shard[s].at < shard[s].head)
#endif

#define recordEpoch(i)   shard[reader[i].shard].epoch[reader[i].at]
#define recordContent(i) shard[reader[i].shard].content[reader[i].at]
#define keyOfRecord(i)   key[keyOf(reader[i].shard)]

inline endVerifications() {
  verified = false; op[0].verified = false;
#if OPERATORS > 1
  op[1].verified = false
#endif
}

#define carries(i, content_) reader[i].write = true; reader[i].content = content_

/* What a record means, by the record of ownership as of after it was read. What an earlier
 * epoch of DynamoDB's wrote is decided by the item. */
inline judge(i) {
  reader[i].name = Collection; reader[i].step = judged;
  if
  :: isMongoDBs(Epoch) && isMongoDBs(recordEpoch(i)) /* forward's own */
  :: isMongoDBs(Epoch) && !isMongoDBs(recordEpoch(i)) ->
#ifndef LATE_IS_DROPPED
     reader[i].late = true;
#endif
#ifndef LATE_ENDS_NOTHING
     endVerifications()
#endif
  :: !isMongoDBs(Epoch) && recordEpoch(i) == Epoch -> carries(i, recordContent(i))
  :: !isMongoDBs(Epoch) && recordEpoch(i) < Epoch ->
     if
#ifdef CARRY_ALL
     :: true -> carries(i, recordContent(i))
#else
#ifndef SKIP_EARLIER
     :: !isMongoDBs(recordEpoch(i)) && keyOfRecord(i).epoch < Epoch -> carries(i, keyOfRecord(i).item)
#endif
     :: else /* forward's own, or a later record has it */
#endif
     fi
  :: !isMongoDBs(Epoch) && recordEpoch(i) > Epoch -> forget(i)
  fi
}

/* Another transaction has changed the position, and is not done. */
#if READERS > 1
#define isLocked(i) (reader[1 - i].step == open && reader[1 - i].shard == reader[i].shard)
#else
#define isLocked(i) false
#endif
#ifdef POSITION_APART
#define mayMove(i) true
#else
#define mayMove(i) (shard[reader[i].shard].at == reader[i].at && !isLocked(i))
#endif

/* The transaction's writes: the position, on the condition that it is the one that was
 * believed, and the document, by the collection's name. */
inline send(i) {
  if
  :: mayMove(i) && (!reader[i].write || reader[i].name == name) -> reader[i].step = open
  :: else -> printf("reader %d fails\n", i); forget(i)
  fi
}

inline commit(i) {
  if
  :: reader[i].write ->
     printf("reader %d carries %d of item %d\n", i, reader[i].content, keyOf(reader[i].shard));
     must6(!isMongoDBs(Epoch));
     must6(keyOfRecord(i).doc == LATE || reader[i].content >= keyOfRecord(i).doc);
     replace(keyOf(reader[i].shard), reader[i].content, true)
  :: reader[i].late -> printf("reader %d keeps a late write\n", i); keyOfRecord(i).late = true
  :: else
  fi;
  shard[reader[i].shard].at = reader[i].at + 1;
  k_ = keyOf(reader[i].shard);
  must2(isMongoDBs(Epoch) || !isCarried(k_) || key[k_].doc == key[k_].item || key[k_].late);
  k_ = 0;
  forget(i)
}

/* Any reader may read any shard at any time, since leases only keep them apart. It may stop
 * anywhere, which ends its transaction. */
proctype carrier(byte me) {
end:
  do
  :: atomic { reader[me].step == nothing && mayRead(0) -> reader[me].shard = 0; reader[me].at = shard[0].at; reader[me].step = read }
  :: atomic { reader[me].step == nothing && mayRead(1) -> reader[me].shard = 1; reader[me].at = shard[1].at; reader[me].step = read }
  :: atomic { reader[me].step == read -> judge(me) }
  :: atomic { reader[me].step == judged -> send(me) }
  :: atomic { reader[me].step == open -> commit(me) }
  :: atomic { reader[me].step != nothing -> forget(me) }
#ifdef SPLIT
  :: atomic { split && !shard[0].done && shard[0].at == shard[0].head -> shard[0].done = true }
#endif
  od
}

/* Nobody has read the table's stream for longer than it keeps records. (While DynamoDB is
 * the owner, the way back ends so.) */
#ifdef TRIMMED
proctype retention() {
  atomic { isMongoDBs(Epoch) && shard[0].at < shard[0].head ->
    printf("records of shard 0 are gone\n");
    shard[0].at++;
#ifndef TRIM_ENDS_NOTHING
    endVerifications()
#endif
    }
}
#endif

#ifdef NO_POSITION
#define mayFollow (isMongoDBs(Epoch) && next < head)
#else
#define mayFollow (isMongoDBs(Epoch) && followed == Epoch && next < head)
#endif
#ifdef FORWARD_WITHOUT_EPOCH
#define forwardEpoch 1
#else
#define forwardEpoch Epoch
#endif

/* The changes are followed from the row's position on, in the row's epoch. */
proctype follower() {
end:
  do
  :: atomic { mayFollow ->
       must6(!event[next].carried);
       k_ = event[next].key;
       if
       :: key[k_].epoch < Epoch || key[k_].item < event[next].content ->
          printf("the follower applies %d to item %d\n", event[next].content, k_);
          put(k_, event[next].content, forwardEpoch)
       :: else
       fi;
       k_ = 0; next++; revision++ }
  od
}

inline repair(k) {
  if
  :: key[k].item != key[k].doc -> put(k, key[k].doc, forwardEpoch)
  :: else
  fi
}

#define isApplied (followed == Epoch && next == head)

/* Verification with repair, behind a barrier. An operator looks at a late write, and
 * discards it. */
proctype verifier() {
end:
  do
  :: atomic { isMongoDBs(Epoch) && Move == 0 && !Hold && !verified && isApplied ->
       printf("repair\n");
       repair(0);
#if KEYS > 1
       repair(1);
#endif
       verified = true }
  :: atomic { isMongoDBs(Epoch) && key[0].late -> printf("the late write is discarded\n"); key[0].late = false; replicate() }
  od
}

#include "rollback.pml"

/* What the steps wait for. */
#ifdef NO_PROBE
#define isProbed(i) true
#else
#define isProbed(i) isDrained(i)
#endif
#ifdef NO_DRAIN
#define isCarriedBack(i) true
#else
#define isCarriedBack(i) isDrained(i)
#endif
#define may(i, verb_) (op[i].verb == verb_ && (op[i].step != probe || isProbed(i)) && (op[i].step != fence || mayRename) && \
  (op[i].step != drain || verb_ == forth && isApplied || verb_ == back && isCarriedBack(i)))
#define says(i) printf("operator %d, %e: %e\n", i, op[i].verb, op[i].step)

proctype operator(byte me) {
end:
  do
  :: atomic { op[me].step == nothing && (me == 0 || op[0].step != nothing) -> begin(me) }
  :: atomic { may(me, forth) -> says(me); advanceForth(me) }
  :: atomic { may(me, back) -> says(me); advanceBack(me) }
  :: atomic { may(me, undo) -> says(me); advanceUndo(me) }
  :: atomic { op[me].step != nothing -> printf("operator %d dies\n", me); leave(me) }
  od
}

init {
  atomic {
    run members(); run zombie(); run follower(); run verifier(); run operator(0); run carrier(0);
#if OPERATORS > 1
    run operator(1);
#endif
#if READERS > 1
    run carrier(1);
#endif
#ifdef SPLIT
    run splitter();
#endif
#ifdef TRIMMED
    run retention();
#endif
#if ELECTIONS
    run primaries();
#endif
  }
}
