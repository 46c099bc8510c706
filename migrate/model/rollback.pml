/* What an operator does who rolls back, cuts over again, or undoes that: one step at a time.
 * Included by back.pml. */

inline leave(i) {
  d_step {
    op[i].verb = nothing; op[i].step = nothing; op[i].from = 0; op[i].to = 0; op[i].seen = 0; op[i].revision = 0;
    op[i].mark[0] = 0; op[i].mark[1] = 0; op[i].current = false; op[i].verified = false; op[i].known = false; op[i].kept = false
  }
}

/* The record was changed by i. What the other operator may still do is send a rename and save
 * a position: what it was about to. */
inline changed(i) {
  d_step {
    checkNamed();
#if OPERATORS > 1
    op[1 - i].current = false;
    if
    :: op[1 - i].step != fence && op[1 - i].step != save -> leave(1 - i)
    :: else
    fi
#endif
  }
}

inline moveOn(i) {
  Generation++; Move = Generation; op[i].from = name; op[i].to = Generation
}

/* A barrier is written to each shard. */
inline writeBarriers(i) {
  d_step { op[i].mark[0] = shard[0].head; op[i].mark[1] = shard[1].head }
}

inline forgetBarriers(i) {
  d_step { op[i].mark[0] = 0; op[i].mark[1] = 0 }
}

#ifdef ONE_SHARD
#define isDrained(i) (carriedTo(0) >= op[i].mark[0])
#else
#define isDrained(i) (carriedTo(0) >= op[i].mark[0] && carriedTo(1) >= op[i].mark[1])
#endif

#ifdef NO_REFUSAL
#define mayCutOver verified
#else
#define mayCutOver (verified && !key[0].late)
#endif

/* What the record allows: at each of the owners once. */
inline begin(i) {
  op[i].current = true;
  if
  :: Epoch == 2 && Move == 0 && !Hold && Generation < GENERATIONS -> op[i].verb = back; op[i].step = announce
  :: Epoch == 3 && Move == 0 && !Hold && Generation < GENERATIONS && mayCutOver ->
     op[i].verb = forth; op[i].step = probe; writeBarriers(i);
     op[i].verified = true;
     op[i].known = (key[0].item == LATE && key[0].right != LATE); op[i].kept = key[0].late
  :: Move != 0 && !Hold -> Move = 0; changed(i); leave(i)
  :: Move != 0 && Hold && Generation < GENERATIONS -> op[i].verb = undo; op[i].step = fence; moveOn(i); changed(i)
  :: Move == 0 && Hold -> op[i].verb = undo; op[i].step = release
  :: else -> leave(i)
  fi
}

/* A rename waits for transactions that have written to the collection. */
#ifdef RENAME_DOES_NOT_WAIT
#define mayRename true
#elif READERS > 1
#define mayRename (!(reader[0].step == open && reader[0].write) && !(reader[1].step == open && reader[1].write))
#else
#define mayRename (!(reader[0].step == open && reader[0].write))
#endif

/* The rename is sent. What becomes of one that is late is in names.pml. */
inline sendRename(i, then) {
  printf("  rename(%d, %d)\n", op[i].from, op[i].to);
  name = (name == op[i].from -> op[i].to : name); replicate();
  checkNamed();
  if
  :: op[i].current -> op[i].step = then
  :: else -> leave(i)
  fi
}

/* The position is saved, on the condition that nobody has saved it since it was loaded. */
inline savePosition(i) {
  if
#ifdef POSITION_UNCONDITIONAL
  :: true ->
#else
  :: revision == op[i].revision ->
#endif
#ifndef NO_POSITION
     followed = Epoch + 1; next = op[i].seen;
#endif
     revision++;
     if
     :: op[i].current -> op[i].step = switch
     :: else -> leave(i)
     fi
  :: else -> leave(i)
  fi
}

/* The new owner has what the former one had acknowledged. What a late instance has written
 * to the table since the cut-over began is the owner's from now on. */
inline switchOwner(i) {
  for (k_ : 0 .. KEYS - 1) {
    if
    :: isMongoDBs(Epoch) ->
       must2(key[k_].item == key[k_].right || key[k_].item == LATE && !op[i].known);
       key[k_].right = key[k_].item
    :: else ->
       must2(key[k_].doc == key[k_].right || key[k_].doc == LATE && key[k_].item == LATE);
       key[k_].right = key[k_].doc; key[k_].before = key[k_].writes
    fi
  };
  k_ = 0;
  must2(!op[i].kept); /* somebody has looked at the late writes */
  Epoch++; Collection = Move; Move = 0; verified = false; changed(i); op[i].step = release
}

inline advanceForth(i) {
  if
  :: op[i].step == probe -> forgetBarriers(i); op[i].step = announce
  :: op[i].step == announce -> moveOn(i); changed(i); op[i].step = hold
  :: op[i].step == hold -> Hold = true; changed(i); op[i].step = fence
  :: op[i].step == fence -> sendRename(i, drain)
  :: op[i].step == drain -> op[i].step = tail
  :: op[i].step == tail -> op[i].step = confirm /* see data.pml */
  :: op[i].step == confirm ->
     if
#ifdef BELIEVES_THE_BEGINNING
     :: name == op[i].to -> op[i].step = switch
#else
     :: name == op[i].to && op[i].verified -> op[i].step = switch
#endif
     :: else -> leave(i)
     fi
  :: op[i].step == switch -> switchOwner(i)
  :: op[i].step == release -> Hold = false; changed(i); leave(i)
  fi
}

inline advanceBack(i) {
  if
  :: op[i].step == announce -> moveOn(i); changed(i); op[i].step = hold;
#ifdef DRAIN_BEFORE_HOLD
     writeBarriers(i)
#endif
  :: op[i].step == hold -> Hold = true; changed(i); op[i].step = drain;
#ifndef DRAIN_BEFORE_HOLD
     writeBarriers(i);
#endif
#ifdef POSITION_BEFORE_FENCE
     op[i].seen = head
#endif
  :: op[i].step == drain -> forgetBarriers(i); op[i].step = fence
#ifdef NO_FENCE
  :: op[i].step == fence -> op[i].to = name; Move = name; op[i].step = tail
#else
  :: op[i].step == fence -> sendRename(i, tail)
#endif
  :: op[i].step == tail -> op[i].step = confirm /* it could only undo what is wrong already */
  :: op[i].step == confirm ->
     if
     :: name == op[i].to -> op[i].step = position
     :: else -> leave(i)
     fi
  :: op[i].step == position ->
#ifndef POSITION_BEFORE_FENCE
     op[i].seen = head;
#endif
     op[i].revision = revision; op[i].step = save
  :: op[i].step == save -> savePosition(i)
  :: op[i].step == switch -> switchOwner(i)
  :: op[i].step == release -> Hold = false; changed(i); leave(i)
  fi
}

/* The collection moves on, from wherever it is; then the record says so. */
inline advanceUndo(i) {
  if
  :: op[i].step == fence -> sendRename(i, adopt)
  :: op[i].step == adopt && name != op[i].to -> op[i].from = name; op[i].step = fence
  :: op[i].step == adopt && name == op[i].to -> Collection = name; Move = 0; Hold = false; changed(i); leave(i)
  :: op[i].step == release -> Hold = false; changed(i); leave(i)
  fi
}
