/* What an operator does: one step at a time, each with at most one look at the names, one
 * command, or one change of the ownership record. Included by names.pml. */

inline leave(i) {
  d_step {
    op[i].verb = nobody; op[i].step = connect; op[i].to = NONE; op[i].current = false;
    op[i].c.kind = nothing; op[i].c.from = 0; op[i].c.to = 0; op[i].c.uuid = 0
  }
}

#define changesOwner(i) (op[i].verb == cutover || op[i].verb == rollback)
#define sends(s) (s == fence || s == send || s == restore || s == prove)

/* The record was changed by i, on the condition that it was as i knew it. The other's
 * next change fails; what it may still do before is look and send. */
inline changed(i) {
  d_step {
    checkNamed();
    granted = (servesMongoDB && !Hold -> granted | (1 << Collection) : granted);
    op[1 - i].current = false;
    if
    :: !sends(op[1 - i].step) -> leave(1 - i)
    :: sends(op[1 - i].step) && (op[1 - i].verb == encapsulate || changesOwner(1 - i)) -> op[1 - i].verb = undo
    :: else
    fi
  }
}

inline prepare(i, kind_, from_, to_, uuid_) {
  d_step {
    op[i].c.kind = kind_; op[i].c.from = from_; op[i].c.to = to_; op[i].c.uuid = uuid_;
    op[i].step = send
  }
}

inline setAside(i, name_) {
  d_step { op[i].c.from = name_; op[i].c.uuid = at[name_]; op[i].step = aside }
}

/* listCollections: where the bound UUID is (w_), and among the names first..last the
 * lowest that leads to a stray (s_) and to nothing (e_). */
inline look(first, last) {
  d_step {
    w_ = NONE; s_ = NONE; e_ = NONE;
    for (j_ : 0 .. NAMES - 1) {
      if
      :: at[j_] == BOUND -> w_ = j_
      :: j_ >= first && j_ <= last && isStray(at[j_]) && s_ == NONE -> s_ = j_
      :: j_ >= first && j_ <= last && at[j_] == NOTHING && e_ == NONE -> e_ = j_
      :: else
      fi
    };
    j_ = 0
  }
}

#define spareP (Generation < (calm -> LASTP : PHYSICAL))
#define spareS (Strays < (calm -> STRAYS + SPARE : STRAYS))

#define isUnderWay (Phase == switching || Phase == rollingBack)

/* What the phase allows. In calm, only what leads out. */
inline choose(i) {
  look(0, NAMES - 1); /* s_: a stray under any name */
  if
  :: Phase == legacy && Move == NONE && !Hold && !calm && at[N] == BOUND && spareP ->
     op[i].verb = encapsulate; op[i].step = announce
  :: Phase == shadowing && !Hold && Move == NONE && !calm && s_ == NONE && spareP ->
     op[i].verb = cutover; op[i].step = announce
#ifdef SWITCHED
  :: Phase == switched && !Hold && Move == NONE && !calm && s_ == NONE && spareP ->
     op[i].verb = rollback; op[i].step = announce
#endif
  :: (Phase == shadowing || Phase == switched) && !Hold && Move == NONE ->
     op[i].verb = watch; op[i].step = fence; op[i].to = Collection
  :: (Phase == legacy || Phase == shadowing || isUnderWay) && !Hold && Move != NONE -> op[i].step = clear
#ifdef MOVE_AFTERWARDS
  :: (Phase == legacy || Phase == switching) && Hold && at[Collection] == BOUND -> op[i].step = clear /* nothing seems to have been sent */
  :: (Phase == legacy || Phase == switching) && Hold && at[Collection] != BOUND && spareP ->
#else
  :: (Phase == legacy || isUnderWay) && Hold && Move != NONE && spareP ->
#endif
     op[i].verb = undo; op[i].step = announce
  :: Phase == shadowing && !Hold || (Phase == legacy || Phase == switching || Phase == abandoned) && Hold ->
     op[i].verb = abandon; op[i].step = announce
  :: (Phase == switched || Phase == shadowing) && Hold -> op[i].verb = cutover; op[i].step = release; op[i].to = Collection
  :: else -> leave(i)
  fi
}

inline chooseName(i) {
#if defined(ADOPT_IN_PLACE)
  look(1, 0);
  if
  :: op[i].verb == undo && w_ != N && w_ != NONE -> op[i].to = w_; Move = w_
  :: else -> Generation++; op[i].to = Generation; Move = Generation
  fi
#elif defined(REUSE_NAMES)
  if
  :: op[i].verb == undo && Collection != N -> op[i].to = Collection; Move = Collection
  :: else -> Generation++; op[i].to = Generation; Move = Generation
  fi
#elif defined(MOVE_AFTERWARDS)
  op[i].to = Generation + 1
#else
  Generation++; op[i].to = Generation; Move = Generation
#endif
}

inline announceIt(i) {
  if
  :: !op[i].current -> leave(i)
#if defined(OTHER_TABLE) && !defined(NO_CLAIM)
  :: op[i].current && op[i].verb == encapsulate && claim == 2 -> leave(i)
  :: op[i].current && op[i].verb == encapsulate && claim == 0 -> claim = 1
#endif
  :: op[i].current && op[i].verb == abandon ->
     Phase = abandoned; Hold = true; Move = N; op[i].to = N; op[i].step = prove; changed(i)
#if defined(OTHER_TABLE) && !defined(NO_CLAIM)
  :: op[i].current && op[i].verb != abandon && (op[i].verb != encapsulate || claim == 1) ->
#else
  :: op[i].current && op[i].verb != abandon ->
#endif
     chooseName(i);
     if
     :: op[i].verb == cutover -> Phase = switching; op[i].step = hold
     :: op[i].verb == rollback -> Phase = rollingBack; op[i].step = hold
     :: op[i].verb == encapsulate -> op[i].step = hold
     :: op[i].verb == undo -> op[i].step = fence
     fi;
     changed(i)
  fi
}

inline holdIt(i) {
  if
  :: op[i].current ->
     Hold = true; op[i].step = (op[i].verb == rollback -> drain : fence);
#ifdef NO_FENCE
     if
     :: op[i].verb == cutover -> op[i].step = drain
     :: else
     fi;
#endif
     changed(i)
  :: else -> leave(i)
  fi
}

inline fenced(i) {
  if
  :: op[i].verb == watch || !op[i].current -> leave(i)
  :: else -> op[i].step = (op[i].verb == rollback -> tail : drain)
  fi
}

/* One look at the names, and what follows from it: move the collection, set a stray
 * aside, occupy an empty name; until nothing is left to do. */
inline fenceIt(i) {
  look(0, op[i].to - 1);
#ifdef NO_OCCUPY
  s_ = NONE; e_ = NONE;
#endif
#ifdef BY_NAME
  if /* whatever collection stands there is taken for it */
  :: isCollection(at[op[i].to]) -> w_ = op[i].to
  :: !isCollection(at[op[i].to]) && isCollection(at[Collection]) -> w_ = Collection
  :: else
  fi;
#endif
  if
  :: w_ == NONE && (op[i].verb == watch || !op[i].current) -> leave(i)
#ifdef LOOK_FOREVER
  :: w_ == NONE && op[i].verb != watch && op[i].current -> skip
#else
  :: w_ == NONE && op[i].verb != watch && op[i].current -> op[i].verb = abandon; op[i].step = announce
#endif
  :: w_ != NONE && w_ != op[i].to && op[i].verb == watch -> leave(i)
  :: w_ != NONE && w_ != op[i].to && op[i].verb != watch && at[op[i].to] == NOTHING ->
     prepare(i, rename, w_, op[i].to, BOUND)
#ifdef REUSE_NAMES
  :: w_ != NONE && w_ != op[i].to && op[i].verb != watch && isView(at[op[i].to]) ->
     prepare(i, drop, op[i].to, 0, 0)
#else
  :: w_ != NONE && w_ != op[i].to && op[i].verb != watch && at[op[i].to] != NOTHING -> /* not free: a further name */
     if
#ifdef CLEAR_TARGET
     :: op[i].current && isStray(at[op[i].to]) -> setAside(i, op[i].to)
#else
     :: spareP && op[i].current -> op[i].verb = undo; op[i].step = announce
#endif
     :: else -> leave(i)
     fi
#endif
  :: w_ == op[i].to && s_ != NONE && op[i].current -> setAside(i, s_)
  :: w_ == op[i].to && s_ != NONE && !op[i].current -> leave(i)
  :: w_ == op[i].to && s_ == NONE && e_ != NONE -> prepare(i, createView, e_, op[i].to, 0)
  :: w_ == op[i].to && s_ == NONE && e_ == NONE -> fenced(i)
  fi
}

inline asideIt(i) {
  if
  :: op[i].current && spareS ->
     Strays++;
     prepare(i, rename, op[i].c.from, LASTP + Strays, op[i].c.uuid);
     changed(i)
  :: else -> leave(i)
  fi
}

inline sendIt(i) {
  printf("  %e(%d, %d)\n", op[i].c.kind, op[i].c.from, op[i].c.to);
  if
  :: execute(op[i].c); commit(); checkKept(); checkNamed();
     op[i].step = (op[i].verb == abandon -> restore : fence)
  :: !calm && lost < LOST ->
     printf("  is under way: no answer\n");
     d_step {
       late[lost].kind = op[i].c.kind; late[lost].from = op[i].c.from;
       late[lost].to = op[i].c.to; late[lost].uuid = op[i].c.uuid
     };
     lost++; op[i].step = reconnect
  fi;
  d_step { op[i].c.kind = nothing; op[i].c.from = 0; op[i].c.to = 0; op[i].c.uuid = 0 }
}

/* The answer did not come: a new client, then the record, then another look. */
inline reconnectIt(i) {
  if
  :: !op[i].current -> leave(i)
  :: op[i].current && op[i].verb == abandon -> op[i].step = prove
  :: op[i].current && op[i].verb != abandon -> op[i].step = fence
  fi
}

/* The barrier is written with w: majority: what was seen before it stays. A rollback's is
 * that of the tail, since it has drained before. */
inline awaitBarrier(i) {
#ifndef NO_MAJORITY
  commit();
#endif
  op[i].step = (op[i].step == drain && op[i].verb == cutover -> tail : confirm)
}

/* Everything is read again: the UUID under its new name, all vacated names occupied;
 * before a switch, no stray under any name. */
inline confirmIt(i) {
  look(0, NAMES - 1);
  found_ = (changesOwner(i) && s_ != NONE);
  if
  :: op[i].to == N -> look(1, Generation)
  :: else -> look(0, op[i].to - 1)
  fi;
#ifdef NO_OCCUPY
  s_ = NONE; e_ = NONE; found_ = false;
#endif
#ifdef SETTLE_BY_UUID
  s_ = (changesOwner(i) -> s_ : NONE); e_ = (changesOwner(i) -> e_ : NONE);
#endif
#ifdef BY_NAME
  w_ = op[i].to;
#endif
  found_ = !found_ && s_ == NONE && e_ == NONE && (w_ == op[i].to || op[i].verb == abandon && w_ == NONE && !isView(at[N]));
#if defined(NO_FENCE) || defined(LEAVE_VACANT)
  found_ = true;
#endif
  if
  :: found_ && op[i].verb == cutover -> op[i].step = switch
  :: found_ && op[i].verb == rollback -> op[i].step = position
  :: found_ && op[i].verb == abandon -> op[i].step = handOver
  :: found_ && (op[i].verb == encapsulate || op[i].verb == undo) -> op[i].step = adopt
  :: !found_ && op[i].verb == abandon -> op[i].step = prove
  :: !found_ && (op[i].verb == encapsulate || op[i].verb == undo) -> op[i].step = fence
  :: !found_ && changesOwner(i) && spareP -> op[i].verb = undo; op[i].step = announce
  :: !found_ && changesOwner(i) && !spareP -> leave(i)
  fi;
  found_ = 0
}

inline switchIt(i) {
  look(0, NAMES - 1);
#ifdef NO_FENCE
  op[i].to = Collection;
#endif
  must8(w_ == op[i].to);
#ifdef OTHER_TABLE
  must5(!otherSwitched);
#endif
  must2(s_ == NONE || viewDropped); /* a stray is shown, and refuses the switch */
  Phase = (op[i].verb == cutover -> switched : shadowing); Collection = op[i].to; Move = NONE; op[i].step = release; changed(i)
}

inline adoptIt(i) {
  must8(at[op[i].to] == BOUND);
#ifdef MOVE_AFTERWARDS
  Generation = op[i].to;
#endif
  Phase = (Phase == rollingBack -> switched : shadowing); Collection = op[i].to; Move = NONE; Hold = false; changed(i);
  leave(i)
}

#ifdef READ_FIRST /* the client dials when it has something to send */
bool dialled[2];
#define connected(i) (dialled[i] && op[i].step != connect)
#else
#define connected(i) (op[i].step != connect)
#endif

#if LOST > 1
#define nothingLate (late[0].kind == nothing && late[1].kind == nothing)
#else
#define nothingLate (late[0].kind == nothing)
#endif

/* What $currentOp, with idle connections, must show before N is given back. */
#define proven(i) (!connected(1 - i) && nothingLate)

/* Gives N back: the only way back to a name. A collection that a rename of ours took
 * along because it had replaced the bound one goes back, too. */
inline restoreIt(i) {
  look(1, Generation);
  if
  :: w_ == NONE && isCollection(at[N]) -> w_ = N
  :: w_ == NONE && !isCollection(at[N]) && s_ != NONE -> w_ = s_
  :: w_ == NONE && at[N] == NOTHING && s_ == NONE -> w_ = N /* a stranger threw it away */
  :: else
  fi;
  if
  :: w_ != N && isView(at[N]) -> prepare(i, drop, N, 0, 0)
  :: w_ != N && isCollection(at[N]) -> setAside(i, N)
  :: w_ != N && w_ != NONE && at[N] == NOTHING -> prepare(i, rename, w_, N, at[w_])
  :: w_ == N && s_ != NONE -> setAside(i, s_)
#ifdef LEAVE_VACANT
  :: w_ == N && s_ == NONE -> op[i].step = drain
#else
  :: w_ == N && s_ == NONE && e_ != NONE -> prepare(i, createView, e_, N, 0)
  :: w_ == N && s_ == NONE && e_ == NONE -> op[i].step = drain
#endif
  fi;
  if
  :: op[i].step == aside && !op[i].current -> leave(i)
  :: op[i].step == drain && !op[i].current -> leave(i)
  :: else
  fi
}

/* One step of an operator. A step that changes the record is taken only while it is
 * as the operator knows it; otherwise changed() has sent it away. */
inline advance(i) {
  if
#ifdef READ_FIRST
  :: op[i].step == connect -> dialled[i] = false; op[i].current = true; choose(i)
  :: op[i].step == send -> dialled[i] = true; sendIt(i)
  :: op[i].step == reconnect -> op[i].step = (op[i].verb == abandon -> prove : fence)
#else
  :: op[i].step == connect -> op[i].current = true; choose(i) /* connected first, the record is read then */
  :: op[i].step == send -> sendIt(i)
  :: op[i].step == reconnect -> reconnectIt(i)
#endif
  :: op[i].step == clear ->
     Move = NONE; Hold = false; Phase = (Phase == switching -> shadowing : (Phase == rollingBack -> switched : Phase)); changed(i); leave(i)
  :: op[i].step == announce -> announceIt(i)
  :: op[i].step == hold -> holdIt(i)
  :: op[i].step == fence -> fenceIt(i)
  :: op[i].step == aside -> asideIt(i)
  :: op[i].step == drain && op[i].verb == rollback -> op[i].step = fence /* see back.pml */
  :: op[i].step == drain && op[i].verb != rollback -> awaitBarrier(i)
  :: op[i].step == tail && op[i].verb == cutover -> op[i].step = confirm /* see data.pml */
  :: op[i].step == tail && op[i].verb == rollback -> awaitBarrier(i)
  :: op[i].step == confirm -> confirmIt(i)
  :: op[i].step == position -> op[i].step = switch /* see back.pml */
  :: op[i].step == switch -> switchIt(i)
  :: op[i].step == release -> Hold = false; changed(i); leave(i)
  :: op[i].step == adopt -> adoptIt(i)
  :: op[i].step == prove -> op[i].step = restore
  :: op[i].step == restore -> restoreIt(i)
  :: op[i].step == handOver ->
#ifdef OTHER_TABLE
     claim = 0;
#endif
     Collection = N; Move = NONE; Hold = false; changed(i); leave(i)
  fi;
  w_ = 0; s_ = 0; e_ = 0
}
