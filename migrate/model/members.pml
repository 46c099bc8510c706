/* Members with leases: who is admitted to which store, while a switch is made. README.md
 * says what is left out and how to read a trail. */
#include "steps.pml"
#include "invariants.pml"

#define MEMBERS 2
#ifndef WRITES
#define WRITES 3              /* acknowledged writes, in either store */
#endif

/* The ownership record. The revision grows with every change. */
byte Epoch = 1, Revision = 1;
bool Hold;

/* The stores: how many writes each has. */
byte mongodb, dynamodb, acknowledged;
bool fenced;

/* A member: the record as it read it, whether it has a lease, its row (acknowledged
 * revision; gone when it was removed), and one operation in flight with the epoch and
 * the revision that it was admitted under. For a read: how many writes were acknowledged
 * before it began, and what it found. */
mtype = { read, write, found };
typedef Member {
  byte revision, epoch; bool held, leased;
  bool row; byte acked;
  mtype op; byte under, at, before, saw
};
Member m[MEMBERS];

inline readRecord(i) {
  m[i].revision = Revision; m[i].epoch = Epoch; m[i].held = Hold
}

inline begin(i, kind) {
  m[i].op = kind; m[i].under = m[i].epoch; m[i].at = m[i].revision; m[i].before = acknowledged
}

inline finish(i) {
  m[i].op = nothing; m[i].under = 0; m[i].at = 0; m[i].before = 0; m[i].saw = 0
}

#ifdef NO_LEASE
#define admits(i) true
#else
#define admits(i) (m[i].leased)
#endif

/* Nothing is in flight that was admitted under an older revision (a write) or an older
 * epoch (a read). */
#define mayAck(i) (m[i].acked < m[i].revision && \
  (m[i].op != write || m[i].at == m[i].revision) && \
  (m[i].op == nothing || m[i].op == write || m[i].under == m[i].epoch))

proctype member(byte i) {
end:
  do
  :: atomic { m[i].op == nothing && admits(i) -> begin(i, read) }
  :: atomic { m[i].op == nothing && admits(i) && !m[i].held && acknowledged < WRITES -> begin(i, write) }

  /* the operation reaches the store, at any later time */
  :: atomic { m[i].op == read ->
       m[i].saw = (m[i].under == 1 -> mongodb : dynamodb); m[i].op = found }
  :: atomic { m[i].op == write && acknowledged < WRITES ->
       if
       :: m[i].under == 1 && fenced -> /* ErrFenced */
          printf("member %d: its write is refused\n", i);
          readRecord(i)
       :: m[i].under == 1 && !fenced ->
          printf("member %d writes to MongoDB\n", i);
          must5(Epoch == 1);
          mongodb++; acknowledged++
       :: m[i].under == 2 ->
          printf("member %d writes to DynamoDB\n", i);
          dynamodb++; acknowledged++
       fi;
       finish(i) }

  /* (the code also runs a read again that slept meanwhile; this property does not need it) */
  :: atomic { m[i].op == found ->
       printf("member %d answers a read\n", i);
       must2(m[i].saw >= m[i].before);
       finish(i) }

  /* it looks at the record, acknowledges, renews; or it sleeps for longer than its lease */
  :: atomic { m[i].leased && m[i].revision != Revision -> readRecord(i) }
  :: atomic { m[i].leased && m[i].row && mayAck(i) -> m[i].acked = m[i].revision }
  :: atomic { m[i].leased -> printf("member %d sleeps\n", i); m[i].leased = false }
  :: atomic { !m[i].leased ->
       printf("member %d wakes\n", i);
       readRecord(i); m[i].leased = true;
       if
       :: !m[i].row -> m[i].row = true; m[i].acked = 0
       :: else
       fi }
  od
}

#define isAwaited(i) (m[i].row && m[i].acked < Revision)

/* The row of a member that did not renew for as long as its lease is removed. */
inline awaitAck() {
  do
  :: atomic { m[0].row && !m[0].leased && m[0].acked < Revision -> m[0].row = false }
  :: atomic { m[1].row && !m[1].leased && m[1].acked < Revision -> m[1].row = false }
  :: !isAwaited(0) && !isAwaited(1) -> break
  od
}

proctype coordinator() {
  mtype step = announce;
  atomic { step = hold; printf("hold\n"); Revision++; Hold = true };
  awaitAck();
  atomic { step = fence;
#ifndef NO_FENCE
    printf("fence\n"); fenced = true
#endif
  };
  atomic { step = drain; dynamodb = mongodb };
  step = tail;
  step = confirm;
  atomic { step = switch; printf("switch\n"); Epoch = 2; Revision++;
#ifdef RELEASE_AT_SWITCH
    Hold = false
#endif
  };
#ifndef NO_ACK
  awaitAck();
#endif
  atomic { step = release; printf("release\n"); Revision++; Hold = false }
}

init {
  atomic {
    m[0].revision = 1; m[0].epoch = 1; m[0].leased = true; m[0].row = true; m[0].acked = 1;
    m[1].revision = 1; m[1].epoch = 1; m[1].leased = true; m[1].row = true; m[1].acked = 1;
    run member(0); run member(1); run coordinator()
  }
}
