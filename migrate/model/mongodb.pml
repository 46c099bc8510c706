/* A MongoDB database, the commands that are under way to it, and strangers.
 *
 * A name leads to nothing, to a collection (its UUID, a small number), or to a
 * view (VIEW + the name that it reads). The file that includes this one defines
 * NAMES, how many names there are, and the bounds UUIDS (collections that can come
 * to be), LOST (commands whose answer is lost), ELECTIONS. */
#define N       0   /* the public name */
#define NOTHING 0
#define BOUND   1   /* the UUID that the migration is bound to */
#define VIEW    32
#define NONE    31  /* no name */

#define isView(x)       ((x) >= VIEW)
#define isCollection(x) ((x) != NOTHING && (x) < VIEW)
#define isStray(x)      ((x) > BOUND && (x) < VIEW)

mtype = { rename, createView, drop }; /* commands */

byte at[NAMES];       /* what each name leads to, on the primary */
#if ELECTIONS
byte majority[NAMES]; /* the same, as of the last write that a majority has */
byte elections;
#endif
byte made = BOUND;    /* collections that came to be; each holds acknowledged writes */
byte destroyed;       /* a bit for each that a stranger dropped or replaced */
bool viewDropped;     /* a stranger dropped the view under N */
byte lost;

/* A command, and the network: commands whose sender gave up. Each may be executed
 * at any later time, more than once, or never, until its connection ends. Only where
 * the server knows collectionUUID is uuid, if not 0, a condition. */
typedef Command { mtype kind; byte from, to, uuid };
Command late[LOST];

byte i_, u_, found_; /* scratch, 0 between steps */

/* A majority has what was done so far: true of every acknowledged write. */
#if ELECTIONS
inline commit() {
  d_step {
    for (i_ : 0 .. NAMES - 1) { majority[i_] = at[i_] };
    i_ = 0
  }
}
#else
#define commit() skip
#endif

/* Every collection is somewhere, unless a stranger threw it away. */
inline checkKept() {
  d_step {
    for (u_ : BOUND .. made) {
      found_ = (destroyed >> u_) & 1;
      for (i_ : 0 .. NAMES - 1) {
        if
        :: at[i_] == u_ -> found_ = 1
        :: else
        fi
      };
      must2(found_)
    };
    i_ = 0; u_ = 0; found_ = 0
  }
}

#ifdef UUID_CONDITIONS
#define meant(cmd) (cmd.uuid == 0 || cmd.uuid == at[cmd.from])
#else
#define meant(cmd) true
#endif

/* The server executes a command. A rename takes a collection to a free name, a view
 * needs a free name, a drop takes what it finds. */
inline execute(cmd) {
  d_step {
    if
    :: cmd.kind == rename && isCollection(at[cmd.from]) && at[cmd.to] == NOTHING && meant(cmd) ->
       at[cmd.to] = at[cmd.from]; at[cmd.from] = NOTHING
    :: cmd.kind == createView && at[cmd.from] == NOTHING -> at[cmd.from] = VIEW + cmd.to
    :: cmd.kind == drop && isStray(at[cmd.from]) && viewDropped -> /* the risk that README names */
       destroyed = destroyed | (1 << at[cmd.from]); at[cmd.from] = NOTHING
    :: cmd.kind == drop && !(isStray(at[cmd.from]) && viewDropped) -> at[cmd.from] = NOTHING
    :: else
    fi
  }
}

/* A collection comes to be under a name by somebody's acknowledged write. */
inline create(name) {
  made++; at[name] = made; commit()
}

/* What strangers do to the public name. A view refuses writes, and to be renamed onto.
 * UUIDS and viewDropped bound how often. */
#define canUpsert  (at[N] == NOTHING && made < UUIDS)
#define canReplace (isCollection(at[N]) && made < UUIDS)
#define canDrop    (isCollection(at[N]) || isView(at[N]) && !viewDropped)

inline strangerReplaces() { /* renameCollection tmp -> N, dropTarget; $out; mongorestore --drop */
  destroyed = destroyed | (1 << at[N]); create(N)
}

inline strangerDrops() {
  if
  :: isCollection(at[N]) -> destroyed = destroyed | (1 << at[N])
  :: else -> viewDropped = true
  fi;
  at[N] = NOTHING; commit()
}
