/* Groups come and go, and rows are used again (groups.cpp; the repair in ledger.cpp).
 *
 * The queue has two rows for groups; each starts with a group. Two administrators (rows 0, 1 of the endpoints) remove a group
 * by force or add one at `oldest`; a member (row 2) of the first group in row 0 leases, acks and retires, and goes on after its
 * group is gone; a producer publishes, reuses room, and frees what a dead remover left. All may die but the producer. A ledger
 * has one entry. Records are one unit.
 *
 * Bounds: CAPACITY, RECORDS, CHANGES (additions and removals in all), DEATHS.
 */
#ifndef CAPACITY
#define CAPACITY 2
#endif
#ifndef RECORDS
#define RECORDS 3
#endif
#ifndef CHANGES
#define CHANGES 2
#endif
#define ROWS 3
#define PID(r) ((r) + 1)
#define MEMBER 2
#define ON_DEATH(r) LET_GO(side, r); LET_GO(mutex[0], r); LET_GO(mutex[1], r)
#include "life.inc"

#define FREE 0
#define ACTIVE 1
#define MARKED 2
#define LEASED 1
#define DONE 2

typedef Group { byte state; byte inc; byte retired; byte entry; byte holder_inc; byte begin; byte end; byte count };   /* count: of the index */
Group g[2];
Mutex side, mutex[2];
byte published; byte unit[CAPACITY];                   /* ghost of a unit: position + 1 */
byte limit = CAPACITY;                                 /* the producer's: least retired + capacity, as it last saw it */
byte changes = CHANGES;
byte ghost_retired[2];                                 /* ghost: where `retired` may be found */

#define ACTIVE_GROUPS ((g[0].state == ACTIVE) + (g[1].state == ACTIVE))
#define LEAST (g[0].state != FREE && (g[1].state == FREE || g[0].retired <= g[1].retired) -> g[0].retired : \
    (g[1].state != FREE -> g[1].retired : published))
#define IS(n, i) (g[n].state == ACTIVE && g[n].inc == (i))

inline lock_side() { d_step { side.holder == 0 -> side.holder = me + 1; side.died = 0 } }   /* nothing to repair */

/* A free entry; nobody reads the rest of it, so it is 0 in the model. */
#define ERASE(n) d_step { g[n].entry = FREE; g[n].holder_inc = 0; g[n].begin = 0; g[n].end = 0 }

/* Retire, index and all, of the ledger of row n: under its mutex. Writes for the group that the caller means: `meant`. */
inline retire(n, meant) {
  if
  :: g[n].count > 0 && g[n].entry == DONE ->
     d_step { assert(g[n].inc == meant && g[n].end >= g[n].retired); g[n].retired = g[n].end };   /* step: R:retired */
     d_step { assert(g[n].inc == meant); ERASE(n) };
     d_step { assert(g[n].inc == meant); g[n].count = 0 }
  :: else
  fi
}

/* lock_group: the repair that follows a death. */
inline lock_group(n, meant) {
  if
  :: d_step { mutex[n].holder == 0 && !mutex[n].died -> mutex[n].holder = me + 1 }
  :: d_step { mutex[n].holder == 0 && mutex[n].died -> mutex[n].holder = me + 1 };
     if
#ifndef M_REPAIR_FREE_ROW
     :: g[n].state == FREE
#endif
     :: else ->
        meant = g[n].inc;
        if :: g[n].entry != FREE && g[n].end <= g[n].retired -> d_step { assert(g[n].inc == meant); ERASE(n) } :: else fi;
        if
        :: g[n].entry != FREE -> d_step { assert(g[n].inc == meant); g[n].count = 1 }
        :: else -> d_step { assert(g[n].inc == meant); g[n].count = 0 }
        fi;
        retire(n, meant)
     fi;
     d_step { meant = 0; mutex[n].died = 0 }
  fi
}

/* The row is marked, of that incarnation: it becomes free, or, as the last one, active again. */
inline free_marked(n, i) {
  lock_side();
  if
  :: g[n].state == MARKED && g[n].inc == i ->          /* step: group.to_free */
#ifdef M_NO_RESTORE
     g[n].state = FREE
#else
     d_step { if :: ACTIVE_GROUPS == 0 -> g[n].state = ACTIVE :: else -> g[n].state = FREE fi }       /* step: group.freed, R:group */
#endif
  :: else
  fi;
  GIVE(side)
}

/* A living owner of the lease in row n's entry? The member is the only one. */
#define HELD_BY_LIVING(n) (g[n].count > 0 && g[n].entry == LEASED && g[n].holder_inc == incarnation[MEMBER] && life[MEMBER])
#define HELD_BY_DEAD(n) (g[n].entry == LEASED && !(g[n].holder_inc == incarnation[MEMBER] && life[MEMBER]))

inline remove_group(n, i) {
  i = g[n].inc;
  do
  :: !IS(n, i) -> break
  :: IS(n, i) ->
     if
     :: HELD_BY_DEAD(n) ->                             /* redeliver_dead; here it comes to: nobody's */
        lock_group(n, meant);
        d_step { if :: HELD_BY_DEAD(n) -> ERASE(n); g[n].count = 0 :: else fi };
        GIVE(mutex[n])
     :: !HELD_BY_DEAD(n)
     fi;
     lock_group(n, meant);
     if
     :: !IS(n, i) -> GIVE(mutex[n]); break
     :: IS(n, i) && g[n].entry == LEASED -> GIVE(mutex[n]); if :: HELD_BY_LIVING(n) -> break :: else fi
     :: IS(n, i) && g[n].entry != LEASED ->
#ifndef M_NO_LAST
        if :: ACTIVE_GROUPS <= 1 -> GIVE(mutex[n]); break :: else fi;
#endif
        g[n].state = MARKED;                           /* step: group.marked, R:group */
        GIVE(mutex[n]);
        free_marked(n, i);
        break
     fi
  od;
  i = 0
}

inline add_group(n, i, m) {
  if :: g[0].state == MARKED -> i = g[0].inc; free_marked(0, i) :: else fi;
  if :: g[1].state == MARKED -> i = g[1].inc; free_marked(1, i) :: else fi;
  do                                                   /* the first free row: its incarnation, then its state */
  :: d_step { n < 2 -> i = g[n].inc }; if :: g[n].state == FREE -> break :: d_step { g[n].state != FREE -> n++ } fi
  :: n == 2 -> break
  od;
  if
  :: n < 2 ->
#ifndef M_ADD_AT_ONCE                                  /* whoever is inside with what was there before leaves first */
     lock_group(n, meant);
     GIVE(mutex[n]);
#endif
     lock_side();
     if
#ifndef M_ADD_AT_ONCE
     :: g[n].state == FREE && g[n].inc == i ->
#else
     :: g[n].state == FREE ->
#endif
        g[n].inc = g[n].inc + 1;                       /* step: group.incarnation, R:group */
        ERASE(n);
        g[n].count = 0;
        m = LEAST;
        g[n].retired = m;                              /* step: group.added_retired */
#ifdef M_ADD_NOT_LEAST
        g[n].retired = 0;
#endif
        g[n].state = ACTIVE                            /* step: group.added, R:group */
     :: else
     fi;
     GIVE(side)
  :: else
  fi;
  skip;
  d_step { i = 0; m = 0; n = 0 }
}

proctype Administrator(byte me) MORTAL {
  byte n, i, m, meant;
  { d_step { running[me] = 1; life[me] = 1; incarnation[me] = 1 };
    do
    :: d_step { changes > 0 -> changes--; n = me }; remove_group(n, i); n = 0
    :: d_step { changes > 0 -> changes--; n = 1 - me }; remove_group(n, i); n = 0
    :: d_step { changes > 0 -> changes-- }; add_group(n, i, m)
    :: changes == 0 -> goto out
    od
  } unless { killed[me] };
  skip;
  d_step { n = 0; i = 0; m = 0; meant = 0; dying = 0 };
out:
  killed[me]; dying = 0
}

/* A member of the first group of row 0; a dead one is followed by another, which may come too late. */
proctype Member(byte me) MORTAL {
  byte n, meant, to; bit gone;
  do
  :: {
       d_step { running[me] = 1; life[me] = 1; incarnation[me] = incarnation[me] + 1 };
end:   do
       :: !gone && (IS(0, 1) -> (g[0].retired < published || g[0].entry == DONE) : 1) ->
          lock_group(0, meant);
          if
          :: !IS(0, 1) -> gone = 1; GIVE(mutex[0])
          :: else ->
             retire(0, 1);
             if
             :: g[0].count == 0 && g[0].retired < published ->
                d_step { assert(unit[g[0].retired % CAPACITY] == g[0].retired + 1);  /* not overwritten */
                         g[0].begin = g[0].retired; g[0].end = g[0].retired + 1 };
                d_step { g[0].entry = LEASED; g[0].holder_inc = incarnation[me] };
                d_step { g[0].count = 1; to = g[0].end };
                GIVE(mutex[0]);
                d_step { assert(unit[(to - 1) % CAPACITY] == to);          /* read in place */
                         assert(g[0].inc == 1 && g[0].entry == LEASED && g[0].holder_inc == incarnation[me]);   /* no living lease is taken */
                         g[0].entry = DONE; g[0].holder_inc = 0; to = 0 };                        /* step: ack.done, R:ack */
                lock_group(0, meant);                                        /* retire_and_publish */
#ifndef M_STALE_RETIRE
                if :: IS(0, 1) -> retire(0, 1) :: else fi;
#else
                retire(0, 1);
#endif
                GIVE(mutex[0])
             :: g[0].count > 0 && HELD_BY_DEAD(0) ->                        /* redelivered; here it comes to: nobody's */
                ERASE(0);
                g[0].count = 0; GIVE(mutex[0])
             :: else -> GIVE(mutex[0])
             fi
          fi
       :: gone && IS(0, 1) -> gone = 0       /* told "removed" between mark and restore: it attaches again */
       od
     } unless { killed[me] };
     skip;
     d_step { n = 0; meant = 0; to = 0; dying = 0 };
     d_step { !running[me] -> killed[me] = 0 }
  od
}

/* Members of other groups finish what is there, at any time. */
#define OTHERS(n) d_step { IS(n, g[n].inc) && !(n == 0 && g[n].inc == 1) && g[n].retired < published && mutex[n].holder == 0 -> \
    assert(unit[g[n].retired % CAPACITY] == g[n].retired + 1); assert(g[n].count == 0 && g[n].entry == FREE); \
    mutex[n].died = 0; g[n].retired = g[n].retired + 1 }

proctype Others() MORTAL {
end:
  do
  :: OTHERS(0)
  :: OTHERS(1)
  od
}


#define SHORT (published < RECORDS && published + 1 > limit)

proctype Producer() MORTAL {
  byte me = 3, i;
end:
  do
  :: SHORT && LEAST + CAPACITY > limit ->              /* the least retired, under the side's mutex */
     d_step { side.holder == 0 -> limit = LEAST + CAPACITY; side.died = 0 }
  :: d_step { SHORT && LEAST + CAPACITY <= limit && g[0].state == MARKED -> i = g[0].inc }; free_marked(0, i); i = 0   /* free_room finishes removals */
  :: d_step { SHORT && LEAST + CAPACITY <= limit && g[1].state == MARKED -> i = g[1].inc }; free_marked(1, i); i = 0
  :: d_step { published < RECORDS && published + 1 <= limit ->
       assert(g[0].state == FREE || published < g[0].retired + CAPACITY);        /* what a group is entitled to is not overwritten */
       assert(g[1].state == FREE || published < g[1].retired + CAPACITY);
       unit[published % CAPACITY] = published + 1; published++ }
  od
}

proctype Kernel() MORTAL {
end:
  do
  :: KILL(0) :: BURY(0)
  :: KILL(1) :: BURY(1)
  :: KILL(2) :: BURY(2)
  :: SPARE
  od
}

init {
  atomic { g[0].state = ACTIVE; g[0].inc = 1; g[1].state = ACTIVE; g[1].inc = 1;
    run Administrator(0); run Administrator(1); run Member(MEMBER); run Others(); run Producer(); run Kernel() };
  timeout;
  assert(ACTIVE_GROUPS >= 1 || g[0].state == MARKED || g[1].state == MARKED);   /* never the last one */
  assert(published == RECORDS)
}
