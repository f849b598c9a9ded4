/* Swap, catch-up, follow, merges, colours and gc as a model for spin; swap.sh runs it, and once more with each
 * of its bugs.
 *
 * One read model. Events are numbers 1..EVENTS; what a generation's rows have folded is their count, so
 * an event that is lost or counted twice shows as rows != checkpoint. Each step of the model is one that
 * other processes see as a whole: a transaction of LMDB, a flock, a rename. A process may be killed
 * between any two steps (kill -9: what it holds is let go of, what it committed stays). Right behind a commit
 * it may be that readers do not see it before something else is written: `unseen`.
 *
 * Steps and the code that they stand for. Where the model takes one, and at the function, stands its name in a
 * comment; lint compares the three.
 *   append    rf_appender_commit        engine/log/append_commit.c
 *   fold      rf_catch_up_fold          engine/catch_up/catch_up.c
 *   move      rf_catalog_apply_move     engine/catalog/catalog_move.c
 *   follow    advance                   engine/follow.c
 *   seal      rf_build_seal             engine/generation/build.c
 *   rounds    rf_catch_up_late_rounds   engine/catch_up/catch_up_late.c
 *   again     rf_catch_up_flip          engine/catch_up/catch_up_late.c
 *   late      catch_up                  engine/catalog/catalog_flip.c
 *   flip      apply_changes             engine/catalog/catalog_flip.c
 *   witness   rf_witness_write          engine/catalog/witness.c
 *   operator  rf_flip_run               engine/flip.c
 *   replace   replace                   engine/catalog/catalog_replace.c
 *   retire    rf_catalog_retire         engine/catalog/catalog_colour.c
 *   settle    rf_kv_settle              engine/base/kv.c
 *   sweep     sweep_entry               engine/catalog/catalog_gc.c
 *   forget    forget                    engine/catalog/catalog_gc.c
 *   remove    remove_batch              engine/catalog/catalog_gc.c
 *   pin       pin_wanted                engine/catalog/catalog_pin.c
 */
#define EVENTS 1
#define LAST 3       /* generations 1..LAST; 1 is live at the start */

byte log_position = 0;
byte live = 1, epoch = 1, witness = 1;     /* the catalog; CURRENT's epoch */
byte back = 0;                             /* what a rollback goes to; 0: nothing */
byte colour = 0;                           /* of the other version, kept current; 0: none */
byte unseen = 0;                           /* a generation whose record readers do not see yet */
byte next = 2;                             /* number of the next generation */
byte checkpoint[LAST + 1], rows[LAST + 1];
bit version[LAST + 1];
bit sealed[LAST + 1], known[LAST + 1], removed[LAST + 1]; /* MANIFEST is whole; a record; files gone */
byte readers[LAST + 1];                    /* shared locks of MANIFEST */
bit lock_store, lock_follow, lock_swap;    /* LOCK, FOLLOW, live/SWAP */
byte kills = 0;
bit built = 0;                             /* one rebuild */

/* After every step that changes them: what is live, and the colour, is whole and there, no event is lost or
 * counted twice in it, and CURRENT is not ahead of the catalog. */
#define whole(g) (sealed[g] && known[g] && !removed[g] && rows[g] == checkpoint[g] && \
                  checkpoint[g] <= log_position)
#define holds assert(whole(live) && (colour == 0 || (whole(colour) && version[colour] != version[live])) && \
                     (back == 0 || (known[back] && !removed[back])) && witness <= epoch)

/* All at once are more orders than can be gone through in a test: swap.sh leaves out one or the other. */
init { atomic { sealed[1] = 1; known[1] = 1; run writer(); run follower(); run rebuild();
#ifndef NO_MERGE
                run merger();
#endif
#ifndef NO_OPERATOR
                run operator();
#endif
#ifndef NO_GC
                run gc();
#endif
#ifndef NO_READER
                run reader();
#endif
                skip } }

/* What a killed process held is let go of at once. */
#define killed(locks) atomic { kills < 1 -> kills++; locks; goto dead }

proctype writer() {
    do :: log_position < EVENTS -> log_position++ /* append */ :: else -> break od
}

/* move: it names the checkpoint that it was folded from, and what has to serve. To write makes all seen. */
inline move(g, from, to, needs_live) {
    atomic {
        unseen = 0;
#ifdef BUG_FROM
        if :: known[g] && (!needs_live || live == g || colour == g) ->
#else
        if :: known[g] && checkpoint[g] == from && (!needs_live || live == g || colour == g) ->
#endif
              rows[g] = rows[g] + (to - from); checkpoint[g] = to; moved = true; holds
        :: else -> moved = false
        fi
    }
}

/* Follows what is live and the colour. */
proctype follower() {
    byte g, from, to; bool moved;
    atomic { !lock_follow -> lock_follow = 1 }
    do
    :: if :: g = live :: atomic { colour != 0 -> g = colour } fi;
       from = checkpoint[g];
       to = log_position; /* fold */
       if
       :: to > from -> move(g, from, to, true) /* follow */
       :: else -> if :: log_position == EVENTS && checkpoint[live] == EVENTS -> break :: true -> skip fi
       fi
    :: killed(lock_follow = 0)
    od;
    lock_follow = 0;
dead: skip
}

/* Beside who follows: base and delta of one become the base of another one, which has the same definition and
 * rows. It is brought to where the old one is by then and takes its place in one transaction. */
proctype merger() {
    byte g, n;
    if
    :: goto dead
    :: atomic { next <= LAST && !lock_store -> lock_store = 1; unseen = 0;
                if :: g = live :: colour != 0 -> g = colour fi;
                n = next; next++ }
    fi;
    atomic { checkpoint[n] = checkpoint[g]; rows[n] = rows[g]; version[n] = version[g]; sealed[n] = 1 }
    if :: true :: killed(lock_store = 0) fi;
    atomic { !lock_swap -> lock_swap = 1 }
    atomic { /* replace: one transaction */
       unseen = 0;
       if :: live == g || colour == g ->
#ifndef BUG_REPLACE
             rows[n] = rows[n] + (checkpoint[g] - checkpoint[n]); checkpoint[n] = checkpoint[g];
#endif
             assert(checkpoint[n] == checkpoint[g]);
             known[n] = 1; epoch++;
             if :: colour == g -> colour = n
             :: else -> assert(version[live] == version[n]); live = n /* a merge is no flip */
             fi;
             if :: back == g -> back = n :: else fi;
             holds
       :: else
       fi
    }
    if :: true :: killed(lock_store = 0; lock_swap = 0) fi;
    atomic { /* witness */ witness = epoch; lock_swap = 0; lock_store = 0 }
dead: skip
}

/* Builds one of the other version. */
proctype rebuild() {
    byte g, from, to; bool moved;
    if :: next <= LAST && !built -> built = 1 :: else -> goto dead fi;
    atomic { !lock_store -> lock_store = 1; unseen = 0 /* settle */ }
    if :: next > LAST -> lock_store = 0; goto dead :: else fi;
    atomic { g = next; next++; version[g] = 1; checkpoint[g] = log_position; rows[g] = log_position }
#ifndef BUG_SEAL
    /* seal */
    if :: sealed[g] = 1 :: killed(lock_store = 0) fi;
#endif
    if
    :: known[g] = 1
    :: atomic { kills < 1 -> kills++; known[g] = 1; unseen = g; lock_store = 0; goto dead }
    fi;
rounds: /* rounds: of catch-up, until it is as far as what is live */
    do
    :: checkpoint[g] < checkpoint[live] -> from = checkpoint[g];
       if :: to = checkpoint[live] :: to = log_position /* where that one is about to be */ fi;
       if :: move(g, from, to, false) :: killed(lock_store = 0) fi
    :: else -> break
    od;
    atomic { !lock_swap -> lock_swap = 1 }
    atomic { /* flip: one transaction with what is missing (late); what it leaves is a colour */
#ifndef BUG_LATE
       /* late */
       if :: checkpoint[g] < checkpoint[live] ->
             rows[g] = rows[g] + (checkpoint[live] - checkpoint[g]); checkpoint[g] = checkpoint[live]
       :: checkpoint[g] < checkpoint[live] -> /* again: it is too much to wait for */
#ifndef BUG_AGAIN
             lock_swap = 0;
#endif
             goto rounds
       :: else fi;
#endif
       assert(checkpoint[g] >= checkpoint[live]);
#ifdef BUG_WITNESS
       witness = epoch + 1; holds
    }
    if :: true :: killed(lock_store = 0; lock_swap = 0) fi;
    atomic {
#endif
       back = live; colour = live; live = g; epoch++; holds
    }
    if :: true :: killed(lock_store = 0; lock_swap = 0) fi;
    atomic { /* witness */ witness = epoch; lock_swap = 0; lock_store = 0 }
dead: skip
}

/* operator: back to the generation before, at once: a smaller checkpoint is allowed here. Then the colour that is left is
 * retired, or it goes forward again, which catches up first, as a rebuild does. */
proctype operator() {
    byte g, from, to; bool moved;
    if :: version[live] == 1 :: goto dead fi;
    atomic { !lock_swap -> lock_swap = 1 }
    atomic { unseen = 0;
             if :: version[live] == 1 && back != 0 -> g = live; live = back; colour = g; back = 0; epoch++; holds
             :: else -> g = 0 fi }
    if :: true :: killed(lock_swap = 0) fi;
    atomic { witness = epoch; lock_swap = 0 }
    if :: g == 0 -> goto dead :: else fi;
    if :: atomic { /* retire */ unseen = 0; colour = 0; holds }; goto dead :: true fi;
    atomic { !lock_store -> lock_store = 1; unseen = 0 }
    g = colour; from = checkpoint[g]; to = log_position;
    if :: to > from -> move(g, from, to, false) :: else fi;
    atomic { !lock_swap -> lock_swap = 1 }
    atomic { if :: known[g] && colour == g && checkpoint[g] >= checkpoint[live] ->
                   back = live; colour = live; live = g; epoch++; holds
             :: else fi }
    atomic { witness = epoch; lock_swap = 0; lock_store = 0 }
dead: skip
}

/* Removes one that the catalog does not know, or that neither serves nor is gone back to and is not read. */
proctype gc() {
    byte g;
    if :: g = 1 :: g = 2 :: g = 3 fi;
    atomic { !lock_store -> lock_store = 1;
#ifndef BUG_SETTLE
             unseen = 0; /* settle */
#endif
             if /* sweep */
             :: g < next && (!known[g] || unseen == g) -> removed[g] = 1; assert(!known[g])
             :: else
             fi }
    atomic { !lock_swap -> lock_swap = 1 }
    atomic { /* forget: under live/SWAP, its lock without waiting, and the record first */
       unseen = 0;
       if
#ifdef BUG_GC
       :: known[g] && g != live && g != colour -> known[g] = 0; back = (back == g -> 0 : back)
#else
#ifdef BUG_COLOUR
       :: known[g] && g != live && readers[g] == 0 -> known[g] = 0; back = (back == g -> 0 : back)
#else
       :: known[g] && g != live && g != colour && readers[g] == 0 ->
          known[g] = 0; back = (back == g -> 0 : back)
#endif
#endif
       :: else -> lock_swap = 0; lock_store = 0; goto dead
       fi
    }
    if :: lock_swap = 0 :: killed(lock_store = 0; lock_swap = 0) fi;
    atomic { /* remove */ removed[g] = 1; holds; lock_store = 0 }
dead: skip
}

/* Of what is live, or of the version that is a colour. */
proctype reader() {
    byte g, position; bit of_colour;
    if
    :: g = live
    :: atomic { colour != 0 -> g = colour; of_colour = 1 }
    fi;
    if
    :: atomic { !removed[g] -> readers[g]++ } /* pin: open MANIFEST and lock it */
    :: removed[g] -> goto done
    fi;
#ifndef BUG_LOOK
    /* a second look */
    if :: (of_colour && colour != g) || (!of_colour && live != g) -> readers[g]--; goto done :: else fi;
#endif
    assert(sealed[g]);
    atomic { position = checkpoint[g]; assert(rows[g] == position) } /* one transaction */
    assert(!removed[g]); /* while it walks the files */
    readers[g]--;
done: skip
}
