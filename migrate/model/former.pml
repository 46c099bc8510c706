/* The fence as it was before: the collection is renamed to a fenced name that an epoch
 * determines, a view takes its place, an undo drops the view and renames back; strays
 * are merged. README.md tells the two stories that Spin finds here. */
#include "steps.pml"
#include "invariants.pml"

#define FENCED    1           /* users__banyan_e1 */
#define RECREATED 2           /* where a stray is set aside to be merged */
#define NAMES 3
#define UUIDS 2
#define LOST  1
#define ELECTIONS 0
#include "mongodb.pml"

byte holds[UUIDS + 1];        /* the acknowledged writes that a collection holds, a bit each */
byte acknowledged = 1;        /* all that were acknowledged: the documents there are */
bool Hold, raised;
Command c;

inline check() {
  must11(Hold || at[N] == BOUND);
  d_step {
    found_ = 0;
    for (i_ : 0 .. NAMES - 1) {
      if
      :: isCollection(at[i_]) -> found_ = found_ | holds[at[i_]]
      :: else
      fi
    };
    i_ = 0;
    must2((found_ & acknowledged) == acknowledged);
    found_ = 0
  }
}

inline send(kind_, from_, to_) {
  c.kind = kind_; c.from = from_; c.to = to_;
  if
  :: printf("%e(%d, %d)\n", c.kind, c.from, c.to);
     execute(c); check()
#ifdef LATE_COMMANDS
  :: lost < LOST ->
     printf("%e(%d, %d) is under way: the client's time is up, the next process looks\n", c.kind, c.from, c.to);
     late[0].kind = c.kind; late[0].from = c.from; late[0].to = c.to; lost++
#endif
  fi;
  c.kind = nothing; c.from = 0; c.to = 0
}

/* Raises the fence, fails for whatever reason, and lowers it. */
proctype migrate() {
  atomic { Hold = true; printf("hold\n") };
  do
  :: atomic { !(at[FENCED] != NOTHING && isView(at[N])) ->
       if
       :: at[FENCED] == NOTHING -> send(rename, N, FENCED)
       :: at[FENCED] != NOTHING && isCollection(at[N]) -> send(rename, N, RECREATED)
       :: at[FENCED] != NOTHING && at[N] == NOTHING -> send(createView, N, FENCED)
       fi }
  :: at[FENCED] != NOTHING && isView(at[N]) -> break
  od;
  printf("undo\n");
  do
  :: atomic { at[FENCED] != NOTHING ->
       if
       :: isCollection(at[N]) -> send(rename, N, RECREATED)
       :: !isCollection(at[N]) && at[RECREATED] != NOTHING ->
          printf("merge: the stray's documents replace those of the collection\n");
          holds[at[FENCED]] = holds[at[RECREATED]];
          at[RECREATED] = NOTHING; check()
       :: isView(at[N]) && at[RECREATED] == NOTHING -> send(drop, N, 0)
       :: at[N] == NOTHING && at[RECREATED] == NOTHING -> send(rename, FENCED, N)
       fi }
  :: at[FENCED] == NOTHING -> break
  od;
  atomic { Hold = false; printf("release\n"); check() }
}

/* A stranger counts something in a document: updateOne(_id, $inc, upsert). */
proctype stranger() {
#ifdef STRANGERS
  atomic { at[N] == NOTHING ->
    printf("a stranger upserts into the vacant name\n");
    create(N); holds[made] = 2; acknowledged = acknowledged | 2 }
#else
  skip
#endif
}

proctype network() {
end:
  do
  :: atomic { late[0].kind != nothing ->
       printf("%e(%d, %d) arrives late\n", late[0].kind, late[0].from, late[0].to);
       execute(late[0]); late[0].kind = nothing; check() }
  od
}

init {
  atomic {
    at[N] = BOUND; holds[BOUND] = 1;
    run migrate(); run stranger(); run network()
  }
}
