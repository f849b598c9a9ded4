/* Swap, catch-up, follow and gc as a model for spin; swap.sh runs it, and once more with each of its bugs.
 *
 * One read model. Events are numbers 1..EVENTS; what a generation's rows have folded is their count, so
 * an event that is lost or counted twice shows as rows != checkpoint. Each step of the model is one that
 * other processes see as a whole: a transaction of LMDB, a flock, a rename. A process may be killed
 * between any two steps (kill -9: what it holds is let go of, what it committed stays).
 *
 * Steps and the code that they stand for:
 *   append    rf_appender_commit                engine/log/append_commit.c
 *   fold      rf_catch_up_fold                  engine/catch_up.c
 *   move      rf_catalog_apply_move             engine/catalog/catalog_move.c
 *   seal      rf_build_seal                     engine/build.c
 *   flip      commit_changes, rf_witness_write  engine/catalog/catalog_flip.c, witness.c
 *   forget    forget, under live/SWAP           engine/catalog/catalog_gc.c
 *   operator  rf_rollback, then rf_swap         engine/flip.c
 *   pin       rf_catalog_pin                    engine/catalog/catalog_pin.c
 */
#define EVENTS 1
#define LAST 2       /* generations 1..LAST; 1 is live at the start */

byte log_position = 0;
byte live = 1, epoch = 1, witness = 1;     /* the catalog; CURRENT's epoch */
byte next = 2;                             /* number of the next generation */
byte checkpoint[LAST + 1], rows[LAST + 1];
bit sealed[LAST + 1], known[LAST + 1], removed[LAST + 1]; /* MANIFEST is whole; a record; files gone */
byte readers[LAST + 1];                    /* shared locks of MANIFEST */
bit lock_store, lock_follow, lock_swap;    /* LOCK, FOLLOW, live/SWAP */
byte kills = 0;

/* After every step that changes them: what is live is whole and there, no event is lost or counted twice in
 * it, and CURRENT is not ahead of the catalog. */
#define holds assert(sealed[live] && known[live] && !removed[live] && rows[live] == checkpoint[live] && \
                     checkpoint[live] <= log_position && witness <= epoch)

init { atomic { sealed[1] = 1; known[1] = 1; run writer(); run follower(); run rebuild(); run operator();
                run gc(); run reader() } }

/* What a killed process held is let go of at once. */
#define killed(locks) atomic { kills < 1 -> kills++; locks; goto dead }

proctype writer() {
    do :: log_position < EVENTS -> log_position++ :: else -> break od
}

/* A move names the checkpoint that it was folded from, and what has to be live. */
inline move(g, from, to, needs_live) {
    atomic {
#ifdef BUG_FROM
        if :: known[g] && (!needs_live || live == g) ->
#else
        if :: known[g] && checkpoint[g] == from && (!needs_live || live == g) ->
#endif
              rows[g] = rows[g] + (to - from); checkpoint[g] = to; moved = true; holds
        :: else -> moved = false
        fi
    }
}

proctype follower() {
    byte g, from, to; bool moved;
    atomic { !lock_follow -> lock_follow = 1 }
    do
    :: g = live; from = checkpoint[g];
       to = log_position;
       if
       :: to > from -> move(g, from, to, true)
       :: else -> if :: log_position == EVENTS && checkpoint[live] == EVENTS -> break :: true -> skip fi
       fi
    :: killed(lock_follow = 0)
    od;
    lock_follow = 0;
dead: skip
}

/* Builds generation 2. */
proctype rebuild() {
    byte g, from, to, tries; bool moved;
    do
    :: next <= LAST ->
       atomic { !lock_store -> lock_store = 1 }
       g = next; next++;
       atomic { checkpoint[g] = log_position; rows[g] = log_position }
#ifndef BUG_SEAL
       if :: sealed[g] = 1 :: killed(lock_store = 0) fi;
#endif
       known[g] = 1;
       /* rounds of catch-up, until it is as far as what is live */
       do
       :: checkpoint[g] < checkpoint[live] -> from = checkpoint[g]; to = checkpoint[live];
          if :: move(g, from, to, false) :: killed(lock_store = 0) fi
       :: else -> break
       od;
       atomic { !lock_swap -> lock_swap = 1 }
       if :: true :: killed(lock_store = 0; lock_swap = 0) fi;
       atomic { /* one transaction: what is missing, and the flip */
#ifndef BUG_LATE
          if :: checkpoint[g] < checkpoint[live] ->
                rows[g] = rows[g] + (checkpoint[live] - checkpoint[g]); checkpoint[g] = checkpoint[live]
          :: else fi;
#endif
          assert(checkpoint[g] >= checkpoint[live]);
#ifdef BUG_WITNESS
          witness = epoch + 1; holds
       }
       if :: true :: killed(lock_store = 0; lock_swap = 0) fi;
       atomic {
#endif
          live = g; epoch++; holds
       }
       if :: true :: killed(lock_store = 0; lock_swap = 0) fi;
       witness = epoch;
       lock_swap = 0;
       lock_store = 0
    :: else -> break
    od;
dead: skip
}

/* Back to the generation before, at once: a smaller checkpoint is allowed here. Then forward again, which
 * catches up first, as a rebuild does. */
proctype operator() {
    byte from, to; bool moved;
    if :: live == 2 :: goto dead fi;
    atomic { !lock_swap -> lock_swap = 1 }
    atomic { if :: live == 2 && known[1] -> live = 1; epoch++; holds :: else fi }
    if :: true :: killed(lock_swap = 0) fi;
    witness = epoch;
    lock_swap = 0;
    if :: live == 1 :: goto dead fi;
    atomic { !lock_store -> lock_store = 1 }
    from = checkpoint[2]; to = log_position;
    if :: to > from -> move(2, from, to, false) :: else fi;
    atomic { !lock_swap -> lock_swap = 1 }
    atomic { if :: known[2] && checkpoint[2] >= checkpoint[live] -> live = 2; epoch++; holds :: else fi }
    witness = epoch;
    atomic { lock_swap = 0; lock_store = 0 }
dead: skip
}

/* Removes what is older than the live one, and not read. */
proctype gc() {
    byte g = 1;
    do
    :: g <= LAST ->
       atomic { !lock_store -> lock_store = 1 }
       atomic { !lock_swap -> lock_swap = 1 }
       atomic { /* under live/SWAP: its lock without waiting, and the record first */
          if
#ifdef BUG_GC
          :: known[g] && g < live -> known[g] = 0
#else
          :: known[g] && g < live && readers[g] == 0 -> known[g] = 0
#endif
          :: else -> goto kept
          fi
       }
       if :: true :: killed(lock_store = 0; lock_swap = 0) fi;
       lock_swap = 0;
       atomic { removed[g] = 1; holds }
kept:  atomic { lock_swap = 0; lock_store = 0 }
       g++
    :: else -> break
    od;
dead: skip
}

proctype reader() {
    byte g, position, n = 0;
    do
    :: n < 1 ->
       g = live;
       if
       :: atomic { !removed[g] -> readers[g]++ } /* open MANIFEST and lock it */
       :: removed[g] -> goto again
       fi;
#ifndef BUG_LOOK
       if :: live != g -> readers[g]--; goto again :: else fi; /* a second look */
#endif
       assert(sealed[g]);
       atomic { position = checkpoint[g]; assert(rows[g] == position) } /* one transaction */
       assert(!removed[g]); /* while it walks the files */
       readers[g]--;
again: n++
    :: else -> break
    od
}
