/* The names: encapsulate, the fence of a switch and of a rollback, undo and abandon, by two operators,
 * with late commands, strangers, zombies, crashes and elections. README.md says what
 * is left out, what the bounds are, and how to read a trail. */
#include "steps.pml"
#include "invariants.pml"

#ifndef PHYSICAL
#define PHYSICAL 3            /* generations of P(g) */
#endif
#ifndef UUIDS
#define UUIDS 2               /* the bound collection, and UUIDS - 1 others */
#endif
#ifndef LOST
#define LOST 1                /* commands whose answer does not come */
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef ELECTIONS
#define ELECTIONS 0
#endif
#define STRAYS UUIDS          /* generations of S(g); the code takes both from one counter */
#ifdef EXITS
#define SPARE 1               /* generations left for the way out */
#else
#define SPARE 0
#endif
#define LASTP (PHYSICAL + SPARE)
#define NAMES (LASTP + STRAYS + SPARE + 1)
#include "mongodb.pml"

/* The ownership record. Phases of the copy are one here: shadowing. */
mtype = { legacy, shadowing, switching, switched, rollingBack, abandoned };
mtype Phase = legacy;
byte Collection = N;
byte Generation, Strays;
byte Move = NONE;             /* Move.To; where it moves from is looked up by UUID */
bool Hold;

/* An operator runs one verb at a time. It is connected unless its step is connect,
 * and shown by the server then. current: the record is as it last read or wrote it. */
mtype = { nobody, encapsulate, cutover, rollback, undo, abandon, watch };
mtype = { connect, clear, send, reconnect, aside, adopt, prove, restore, handOver };
typedef Operator { mtype verb, step; byte to; bool current; Command c };
Operator op[2];

byte granted = 1;             /* a bit for each name that a member may have been told */
byte crashes;
bool calm;                    /* no more faults: the way out is taken */
byte steps;                   /* of the way out */

#ifdef OTHER_TABLE
byte claim;                   /* the document in banyan_claims: 0 none, 1 ours, 2 another control table's */
bool otherSwitched;           /* the other's migration has made its table the owner */
#endif

byte w_, s_, e_, j_;          /* scratch: where the bound UUID is, a stray, an empty name */

#define servesMongoDB (Phase != switched && Phase != rollingBack)

/* While members or the way back may write, the record names the collection (unless a
 * stranger destroyed it while it had its public name). */
inline checkNamed() {
  must11(Hold || at[Collection] == BOUND || ((destroyed >> BOUND) & 1))
}

#include "operator.pml"

#ifdef NO_PROOF
#define may(i) (true)
#else
#define may(i) (op[i].step != prove || proven(i))
#endif
/* The two operators are the same program: while both are idle, it is the first that begins. */
#define begins(i) (op[i].step != connect || i == 0 || op[0].step != connect)

proctype operator(byte me) {
end:
  do
  :: atomic { !calm && may(me) && begins(me) ->
       printf("operator %d, %e: %e\n", me, op[me].verb, op[me].step);
       advance(me) }
  :: atomic { !calm && crashes < CRASHES && op[me].step != connect ->
       printf("operator %d dies\n", me);
       crashes++; leave(me) }
  od
}

/* Members that were admitted under any record so far, and slept since, insert. (An
 * update or a find that meets an empty name says nothing: the member looks again.) */
inline memberInserts(name) {
  printf("a member inserts into name %d\n", name);
  if
  :: at[name] == BOUND ->
     must5(servesMongoDB);
     commit()
  :: else -> /* nobody looks for strays when a migration was abandoned */
     must2(!(Phase == abandoned && Move == NONE && name != N));
     create(name)
  fi
}
#ifdef UUID_CONDITIONS
#define canInsert(name) ((granted >> name) & 1 && at[name] == BOUND)
#else
#define canInsert(name) ((granted >> name) & 1 && (at[name] == BOUND || at[name] == NOTHING && made < UUIDS))
#endif

proctype member() {
end:
  do
  :: atomic { !calm && canInsert(0) -> memberInserts(0) }
  :: atomic { !calm && canInsert(1) -> memberInserts(1) }
  :: atomic { !calm && canInsert(2) -> memberInserts(2) }
  :: atomic { !calm && canInsert(3) -> memberInserts(3) }
#if LASTP > 3
  :: atomic { !calm && canInsert(4) -> memberInserts(4) }
#endif
#ifdef BELIEVES_EMPTY
  :: atomic { !calm && at[1] == NOTHING && (granted >> 1) & 1 && !((destroyed >> BOUND) & 1) ->
       printf("a member's find under name 1 says: not found\n"); must2(false) }
#endif
  od
}

#ifdef OTHER_TABLE
/* A second control table (another region, a copied plan) migrates the same collection. */
proctype otherTable() {
end:
#ifdef NO_CLAIM
  skip;
#else
  atomic { claim == 0 -> claim = 2 };
#endif
  atomic { printf("the other control table's migration switches\n");
    otherSwitched = true; must5(Phase != switched) }
}
#endif

proctype stranger() {
end:
  do
  :: atomic { !calm && canUpsert  -> printf("a stranger upserts\n");     create(N); checkNamed() }
  :: atomic { !calm && canReplace -> printf("a stranger replaces N\n");  strangerReplaces(); checkNamed() }
  :: atomic { !calm && canDrop    -> printf("a stranger drops N\n");     strangerDrops(); checkNamed() }
  od
}

inline forget(l) {
  d_step { late[l].kind = nothing; late[l].from = 0; late[l].to = 0; late[l].uuid = 0 }
}

inline arrive(l) {
  printf("%e(%d, %d) arrives late\n", late[l].kind, late[l].from, late[l].to);
  execute(late[l]); checkKept(); checkNamed();
  if
#ifndef DROP_TWICE
  :: late[l].kind == drop -> forget(l) /* README: the one command that must not come twice */
#endif
  :: else
  fi
}

proctype network() {
end:
  do
  :: atomic { !calm && late[0].kind != nothing -> arrive(0) }
  :: atomic { !calm && late[0].kind != nothing -> forget(0) }
#if LOST > 1
  :: atomic { !calm && late[1].kind != nothing -> arrive(1) }
  :: atomic { !calm && late[1].kind != nothing -> forget(1) }
#endif
  od
}

#if ELECTIONS
proctype primaries() {
end:
  do
  :: atomic { !calm && elections < ELECTIONS -> printf("an election\n");
       elections++;
       d_step { for (i_ : 0 .. NAMES - 1) { at[i_] = majority[i_] }; i_ = 0 };
       checkKept(); checkNamed() }
  od
}
#endif

#ifdef EXITS
/* found_: the phase is one in which the migration may stay, and every name that the
 * collection has left leads to it by way of views. */
inline lookAtEnd() {
  d_step {
    found_ = (!Hold && Move == NONE && Phase != switching && Phase != rollingBack);
    for (i_ : 0 .. LASTP) {
      j_ = i_;
      for (u_ : 1 .. LASTP) {
        j_ = (isView(at[j_]) -> at[j_] - VIEW : j_)
      };
      if
      :: (Phase == shadowing || Phase == switched) && i_ <= Collection && j_ != Collection -> found_ = false
      :: Phase == abandoned && i_ <= Generation && j_ != N -> found_ = false
      :: else
      fi
    };
    i_ = 0; j_ = 0; u_ = 0
  }
}

/* From any state at all: the faults stop, the other process is gone (the message of
 * prove names it), what is under way has come or will not, and one operator runs
 * whatever verb the phase allows. It must come to an end. */
proctype wayOut() {
  atomic {
    !calm ->
    printf("the faults end\n");
    calm = true; leave(0); leave(1);
    d_step {
      for (i_ : 0 .. LOST - 1) {
        late[i_].kind = nothing; late[i_].from = 0; late[i_].to = 0; late[i_].uuid = 0
      };
      i_ = 0
    };
    do
    :: true ->
       must7(steps < 99);
       steps++;
       lookAtEnd();
       if
       :: op[0].step == connect && found_ -> break
       :: else ->
          found_ = 0;
          printf("operator 0, %e: %e\n", op[0].verb, op[0].step);
          advance(0)
       fi
    od;
    found_ = 0; steps = 0
  }
}
#endif

init {
  atomic {
    at[N] = BOUND; commit(); leave(0); leave(1);
#ifdef ENCAPSULATED /* begin behind encapsulate */
    at[N] = VIEW + 1; at[1] = BOUND; commit();
    Phase = shadowing; Collection = 1; Generation = 1; granted = 3;
#endif
#ifdef SWITCHED /* begin behind a cut-over */
    at[N] = VIEW + 1; at[1] = VIEW + 2; at[2] = BOUND; commit();
    Phase = switched; Collection = 2; Generation = 2; granted = 3;
#endif
    run operator(0); run operator(1); run member(); run stranger(); run network();
#if ELECTIONS
    run primaries();
#endif
#ifdef OTHER_TABLE
    run otherTable();
#endif
#ifdef EXITS
    run wayOut();
#endif
  }
}
