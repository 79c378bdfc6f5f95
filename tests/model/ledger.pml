/* A shared group's ledger: lease, ack, requeue, redelivery, retire, split, merge, ack of the first n, repair, drop-oldest
 * (ledger.cpp, lease.cpp, room.cpp), and producers that sleep for room.
 *
 * Two consumers in rows 0 and 1, PRODUCERS in rows 2 and 3. Records are one unit; an aborted or abandoned one is skipped; a
 * claim is one step (claim.pml has its steps). An entry's word is one atomic: {state, deliveries, owner}. The index is derived
 * from the begins at every look, as the repair does. Consumers sleep exactly while there is nothing to do (wait.pml has how).
 * What a process reads under the group's mutex, where only a state may change meanwhile (an ack, a requeue), is one step with its use.
 *
 * Bounds: RECORDS, CAPACITY, ENTRIES (2, 3), DEATHS, REQUEUES, LARGEST messages of a new lease, WALK records a walk, MOST
 * deliveries that are told apart. NO_SKIPS: no skipped records. PRODUCERS_DIE.
 * FIRST_N: a consumer acks the first message of two. SEQUENCE: the word has its sequence. STALE: an old handle acks again.
 * WRONG_VERDICT: once a living consumer is judged dead. SITS: somebody sits on a lease until nobody else can move; no producer
 * may then sleep with room there. DROP: the group is drop-oldest.
 */
#ifndef RECORDS
#define RECORDS 3
#endif
#ifndef CAPACITY
#define CAPACITY 2
#endif
#ifndef ENTRIES
#define ENTRIES 2
#endif
#ifndef REQUEUES
#define REQUEUES 0
#endif
#ifndef LARGEST
#define LARGEST 2
#endif
#ifndef WALK
#define WALK 9
#endif
#ifndef MOST
#define MOST 2
#endif
#ifndef PRODUCERS
#define PRODUCERS 1
#endif
#define ROWS (2 + PRODUCERS)
#define PID(r) ((r) >= 2 -> PRODUCERS + 2 - (r) : (r) + 1 + PRODUCERS)
#define ON_DEATH(r) LET_GO(group, r); if :: r >= 2 -> asleep[r - 2] = 0 :: else fi
#define NO_ENTRY 9
#define FREE 0
#define LEASED 1
#define DONE 2
#define REDELIVERABLE 3

#include "life.inc"

Mutex group;
bit asleep[PRODUCERS], armed[PRODUCERS], space_bit;    /* armed: the epoch is the one that this producer saw */

typedef Entry { byte state; byte deliveries; byte row; byte inc; byte begin; byte end;
#ifdef SEQUENCE
  byte sequence;
#endif
};
Entry L[ENTRIES];
byte retired, published;
bit skipped[RECORDS];
byte to_send[PRODUCERS];
byte requeues = REQUEUES;
byte leased_to;                                        /* ghost: the lease position */
bit acked[RECORDS], dropped[RECORDS]; byte handed[RECORDS];   /* ghosts */
byte x, y, z, total;                                   /* scratch */
#ifdef SITS
byte sitting;
#endif
#ifdef WRONG_VERDICT
bit wrong_left = 1; byte misjudged[2];
#define MISJUDGED(r, i) (misjudged[r] >= (i))
#else
#define MISJUDGED(r, i) false
#endif
#ifdef SEQUENCE
#define NEXT_SEQUENCE(k) L[k].sequence = L[k].sequence + 1
#define READ_SEQUENCE(k) sequence = L[k].sequence
#define SEQUENCE_IS(k) && L[k].sequence == sequence
#define SEQUENCE_WAS(k) && L[k].sequence == sq
#define OLD_SEQUENCE && L[old].sequence == old_sequence
#else
#define NEXT_SEQUENCE(k) skip
#define READ_SEQUENCE(k) skip
#define SEQUENCE_IS(k)
#define SEQUENCE_WAS(k)
#define OLD_SEQUENCE
#endif

#define DEAD(r, i) (incarnation[r] != (i) || !life[r] || MISJUDGED(r, i))
#define OF_THE_DEAD(k) (L[k].state == LEASED && DEAD(L[k].row, L[k].inc))
#define BEFORE(k, l) (L[l].state == FREE || L[k].begin <= L[l].begin)
#define NEIGHBOURS(k, l) (L[k].state == DONE && L[l].state == DONE && L[k].end == L[l].begin)
#if ENTRIES == 2
#define ANY_OF_THE_DEAD (OF_THE_DEAD(0) || OF_THE_DEAD(1))
#define EMPTY (L[0].state == FREE && L[1].state == FREE)
#define ANY_FREE (L[0].state == FREE || L[1].state == FREE)
#define FRONT_IS(s) ((L[0].state == s && BEFORE(0, 1)) || (L[1].state == s && BEFORE(1, 0)))
#define MERGEABLE (NEIGHBOURS(0, 1) || NEIGHBOURS(1, 0))
#define ANY_IS(s) (L[0].state == s || L[1].state == s)
#else
#define ANY_OF_THE_DEAD (OF_THE_DEAD(0) || OF_THE_DEAD(1) || OF_THE_DEAD(2))
#define EMPTY (L[0].state == FREE && L[1].state == FREE && L[2].state == FREE)
#define ANY_FREE (L[0].state == FREE || L[1].state == FREE || L[2].state == FREE)
#define FRONT_IS(s) ((L[0].state == s && BEFORE(0, 1) && BEFORE(0, 2)) || (L[1].state == s && BEFORE(1, 0) && BEFORE(1, 2)) || (L[2].state == s && BEFORE(2, 0) && BEFORE(2, 1)))
#define MERGEABLE (NEIGHBOURS(0, 1) || NEIGHBOURS(1, 0) || NEIGHBOURS(0, 2) || NEIGHBOURS(2, 0) || NEIGHBOURS(1, 2) || NEIGHBOURS(2, 1))
#define ANY_IS(s) (L[0].state == s || L[1].state == s || L[2].state == s)
#endif
#define NEW(p) ((p) >= leased_to && (p) < published && !skipped[p])
#if RECORDS == 2
#define ANY_NEW (NEW(0) || NEW(1))
#elif RECORDS == 3
#define ANY_NEW (NEW(0) || NEW(1) || NEW(2))
#else
#define ANY_NEW (NEW(0) || NEW(1) || NEW(2) || NEW(3))
#endif
#define ENTRY_TO_BE_HAD (ANY_FREE || FRONT_IS(DONE) || MERGEABLE)
#ifdef M_SPLIT_REFUSES
#define REDELIVERABLE_WORK (ANY_IS(REDELIVERABLE) && ENTRY_TO_BE_HAD)
#else
#define REDELIVERABLE_WORK ANY_IS(REDELIVERABLE)
#endif
#define WORK ((ANY_NEW && ENTRY_TO_BE_HAD) || (published > leased_to && (EMPTY || FRONT_IS(DONE))) || REDELIVERABLE_WORK || ANY_OF_THE_DEAD || group.died)
#define ROOM (published < retired + CAPACITY)
#define BACKSTOP (somebody_died && (ROOM || FRONT_IS(DONE) || group.died || (EMPTY && published > retired && skipped[retired])))
#define MINE(k) (L[k].state == LEASED && L[k].row == me && L[k].inc == incarnation[me] && L[k].deliveries == deliveries SEQUENCE_IS(k))

#define WRITE_FREE(k) L[k].state = FREE; L[k].begin = 0; L[k].end = 0; L[k].row = 0; L[k].inc = 0; L[k].deliveries = 0
#define WRITE_DONE(k) L[k].state = DONE; L[k].row = 0; L[k].inc = 0; L[k].deliveries = 0
#define GIVE_BACK(k) L[k].state = REDELIVERABLE; L[k].row = 0; L[k].inc = 0; if :: L[k].deliveries < MOST -> L[k].deliveries++ :: else fi

/* The entry in use of that state (0: any) with the least begin. In d_step. */
inline first_of(want, k) {
  k = NO_ENTRY; z = 255; x = 0;
  do
  :: x < ENTRIES -> if :: L[x].state != FREE && (want == 0 || L[x].state == want) && L[x].begin < z -> z = L[x].begin; k = x :: else fi; x++
  :: else -> break
  od;
  x = 0; z = 0
}
inline free_entry_of(k) {
  k = NO_ENTRY; x = 0;
  do :: x < ENTRIES -> if :: L[x].state == FREE -> k = x :: else fi; x++ :: else -> break od;
  x = 0
}

/* ghost: `retired` may become p. In d_step. */
inline check_retired(p) {
  assert(p >= retired);
  x = 0;
  do :: x < ENTRIES -> assert(!(L[x].state == LEASED && L[x].begin < p)); x++ :: else -> break od;
  x = retired;
  do
  :: x < p -> assert(acked[x] || skipped[x] || dropped[x]);
     acked[x] = 1; skipped[x] = 0; handed[x] = 0; x++
  :: else -> break
  od;
  x = 0
}

/* Ledger::retire, the mutex held. Sets `moved`. */
#ifdef M_RETIRE_ANY
#define TO_RETIRE ANY_IS(DONE)
#define FIRST_TO_RETIRE DONE
#else
#define TO_RETIRE FRONT_IS(DONE)
#define FIRST_TO_RETIRE 0
#endif
inline retire(k) {
  do
#ifdef M_FREE_FIRST
  :: d_step { TO_RETIRE -> first_of(FIRST_TO_RETIRE, k); y = L[k].end; WRITE_FREE(k) };
     d_step { check_retired(y); retired = y; y = 0; k = 0; moved = 1 }
#else
  :: d_step { TO_RETIRE -> first_of(FIRST_TO_RETIRE, k);
       check_retired(L[k].end); moved = 1; retired = L[k].end };            /* step: retire.retired, R:retired */
     d_step { WRITE_FREE(k); k = 0 }                                        /* step: retire.freed */
#endif
  :: !TO_RETIRE -> break
  od
}

/* An empty ledger passes `retired` over skipped records, a turn of WALK. */
inline pass_skipped() {
  atomic {
    if
    :: EMPTY ->
       y = retired;
       do :: y < published && skipped[y] && y < retired + WALK -> y++ :: else -> break od;
       if :: y > retired -> check_retired(y); retired = y; leased_to = y; moved = 1 :: else fi;      /* step: skipped.retired, R:retired */
       y = 0
    :: else
    fi
  }
}

/* Ledger::repair: each store may be the last one of this process too. */
inline repair(k) {
  do
  :: d_step { k < ENTRIES ->
       if
       :: L[k].state != FREE && L[k].end <= retired -> assert(L[k].state == DONE || L[k].state == REDELIVERABLE); WRITE_FREE(k)   /* step: repair.freed */
       :: L[k].state != FREE && L[k].end > retired && L[k].begin < retired -> assert(L[k].state == REDELIVERABLE); L[k].begin = retired                  /* step: repair.begin */
       :: else
       fi;
       k++ }
  :: d_step { k == ENTRIES -> k = 0 }; break
  od;
#ifndef M_NO_CUT
  do
  :: d_step { k < ENTRIES ->                           /* step: repair.cut; the later begin wins */
       x = 0;
       do
       :: x < ENTRIES -> if :: x != k && L[k].state != FREE && L[x].state != FREE && L[k].begin < L[x].begin && L[k].end > L[x].begin -> L[k].end = L[x].begin :: else fi; x++
       :: else -> break
       od;
       x = 0;
       k++ }
  :: d_step { k == ENTRIES -> k = 0 }; break
  od;
#endif
  retire(k)                                            /* step: repair.group */
}

inline lock_group(k) {
  if
  :: atomic { group.holder == 0 && !group.died -> group.holder = me + 1 }
  :: atomic { group.holder == 0 && group.died -> group.holder = me + 1; k = 0 };
#ifndef M_NO_REPAIR
     repair(k);
#endif
     atomic { group.died = 0; moved = 1 }
  fi
}

/* Invariant T, then the mutex is free. */
inline unlock_group() {
  atomic {
    total = 0; x = 0;
    do
    :: x < ENTRIES -> if :: L[x].state != FREE -> assert(L[x].end > L[x].begin && L[x].begin >= retired); total = total + L[x].end - L[x].begin :: else fi; x++
    :: else -> break
    od;
    x = 0;
    assert(total == leased_to - retired); total = 0;
    GIVE(group) }
}

/* publish_retired: the bit is cleared and the epoch raised by one exchange, then all are woken. */
inline publish_space() {
  if
  :: d_step { moved && space_bit -> moved = 0; space_bit = 0; x = 0; do :: x < PRODUCERS -> armed[x] = 0; x++ :: else -> break od; x = 0 };    /* step: wake.cleared, R:wake */
     d_step { x = 0; do :: x < PRODUCERS -> asleep[x] = 0; x++ :: else -> break od; x = 0 }
  :: d_step { !moved || !space_bit -> moved = 0 }
  fi
}

/* ghost: entry k is handed out. In d_step. */
inline note_handed(k) {
  x = L[k].begin;
  do
  :: x < L[k].end -> assert(!acked[x] && !dropped[x]);
     if
     :: !skipped[x] && L[k].deliveries < MOST -> assert(handed[x] == L[k].deliveries); handed[x]++
     :: else
     fi;
     x++
  :: else -> break
  od;
  x = 0
}

/* No entry is free: two neighbours that are done become one. t: the one that is free then. */
inline merge(k, t) {
  d_step { k = NO_ENTRY; t = NO_ENTRY; x = 0;
    do
    :: x < ENTRIES -> y = 0; do :: y < ENTRIES -> if :: NEIGHBOURS(x, y) -> k = x; t = y :: else fi; y++ :: else -> break od; x++
    :: else -> break
    od;
    x = 0; y = 0
#ifdef M_MERGE_LEASED
    ; if :: k == NO_ENTRY -> x = 0; do :: x < ENTRIES -> y = 0; do :: y < ENTRIES -> if :: L[x].state == LEASED && L[y].state == DONE && L[x].end == L[y].begin -> k = x; t = y :: else fi; y++ :: else -> break od; x++ :: else -> break od; x = 0; y = 0 :: else fi
#endif
    ;
    if
#ifdef M_MERGE_FREES_FIRST
    :: k != NO_ENTRY -> end = L[t].end; WRITE_FREE(t)
#else
    :: k != NO_ENTRY -> L[k].end = L[t].end            /* step: merge.extended */
#endif
    :: else
    fi };
  if
#ifdef M_MERGE_FREES_FIRST
  :: d_step { k != NO_ENTRY -> L[k].end = end; end = 0 }
#else
  :: d_step { k != NO_ENTRY -> WRITE_FREE(t) }         /* step: merge.freed */
#endif
  :: k == NO_ENTRY
  fi
}

#ifdef DROP
/* drop-oldest's turn, the mutex held: the front record, if nobody leases it. */
inline drop_oldest(k) {
  do
  :: !ROOM ->
     d_step { first_of(0, k) };
     if
     :: k != NO_ENTRY && L[k].state != REDELIVERABLE -> break
     :: k == NO_ENTRY && retired == published -> break
     :: else
     fi;
     d_step { if :: !skipped[retired] -> dropped[retired] = 1 :: else fi;
       y = retired + 1; check_retired(y); retired = y; y = 0; moved = 1;
       if :: retired > leased_to -> leased_to = retired :: else fi };       /* step: drop.retired, R:retired */
     if
     :: k != NO_ENTRY && L[k].end == retired -> d_step { WRITE_FREE(k) }    /* step: drop.freed */
     :: k != NO_ENTRY && L[k].end > retired -> L[k].begin = retired         /* step: drop.begin */
     :: else
     fi
  :: else -> break
  od;
  skip;
  d_step { k = 0 }
}
#endif

#define START(r) running[r] = 1; life[r] = 1; incarnation[r] = incarnation[r] + 1

proctype Producer(byte me) MORTAL {
  byte k; bit moved;
  do
  :: {
end:   do
       :: to_send[me - 2] == 0 -> goto done
       :: atomic { to_send[me - 2] > 0 && ROOM -> to_send[me - 2]--;
#ifndef NO_SKIPS
            if :: skipped[published] = 1 :: skipped[published] = 0 fi;
#endif
            published++ }
       :: to_send[me - 2] > 0 && !ROOM ->
#ifdef M_RETIRE_BEFORE_ARM
             lock_group(k); retire(k); pass_skipped(); unlock_group(); publish_space();
             d_step { space_bit = 1; armed[me - 2] = 1 };
#else
             d_step { space_bit = 1; armed[me - 2] = 1 };                   /* step: A:wake */
# ifndef M_NO_RETIRE_AFTER_ARM
             lock_group(k); retire(k); pass_skipped();
#  ifdef DROP
             drop_oldest(k);
#  endif
             unlock_group();
#  ifdef M_FREER_SILENT
             moved = 0;
#  endif
             publish_space();
# endif
#endif
             if
             :: ROOM
             :: else ->
                d_step { if :: armed[me - 2] -> asleep[me - 2] = 1 :: else fi };
end2:           if :: !asleep[me - 2] :: d_step { BACKSTOP -> asleep[me - 2] = 0 } fi
             fi
       od
     } unless { killed[me] };
     d_step { k = 0; moved = 0; dying = 0 };
     d_step { !running[me] -> killed[me] = 0; START(me) }
  od;
done:
  killed[me]; dying = 0
}

/* After the ack: a look at who waits, and only then the mutex. */
inline retire_if_waited_for() {
  if
  :: space_bit -> lock_group(t); retire(t); unlock_group(); publish_space()
  :: !space_bit
  fi
}

proctype Consumer(byte me) MORTAL {
  byte k, t, begin, end, n, deliveries, r, i, d; bit moved, disowned;
#ifdef SEQUENCE
  byte sequence, sq;
#endif
#ifdef STALE
  byte old = NO_ENTRY, old_deliveries, old_sequence;
#endif
  do
  :: {
end3:  do
       :: WORK ->
          lock_group(t);
          retire(t);
          if
          :: d_step { ANY_IS(REDELIVERABLE) ->         /* lease_again: one message of it */
               first_of(REDELIVERABLE, k);
               begin = L[k].begin; end = begin; n = 0;
               do :: end < L[k].end && n == 0 -> if :: !skipped[end] -> n++ :: else fi; end++ :: else -> break od;
               n = 0; free_entry_of(t) };
             if
             :: end == L[k].end
             :: end < L[k].end ->
                if
                :: d_step { t == NO_ENTRY -> n = end; r = k }; merge(k, t); d_step { k = r; end = n; n = 0; r = 0 }
                :: t != NO_ENTRY
                fi;
                if
#ifdef M_SPLIT_CUTS_FIRST
                :: d_step { t != NO_ENTRY -> n = L[k].end; L[k].end = end };
                   d_step { L[t].begin = end; L[t].end = n; L[t].deliveries = L[k].deliveries; L[t].state = REDELIVERABLE; n = 0 }
#else
                :: d_step { t != NO_ENTRY -> L[t].begin = end; L[t].end = L[k].end };                    /* step: lease.written */
                   d_step { L[t].deliveries = L[k].deliveries; L[t].state = REDELIVERABLE };         /* step: lease.word, split.rest */
                   L[k].end = end                                                                      /* step: split.cut */
#endif
#ifdef M_SPLIT_REFUSES
                :: t == NO_ENTRY -> unlock_group(); publish_space(); goto next
#else
                :: t == NO_ENTRY
#endif
                fi
             fi;
             d_step { L[k].row = me; L[k].inc = incarnation[me]; L[k].state = LEASED; NEXT_SEQUENCE(k); note_handed(k) }   /* step: lease.leased, R:ack */
          :: atomic { !ANY_IS(REDELIVERABLE) ->        /* lease_new */
               if :: d = 1 :: LARGEST > 1 -> d = LARGEST fi;
               d_step {
                 begin = retired; x = 0;
                 do :: x < ENTRIES -> if :: L[x].state != FREE && L[x].end > begin -> begin = L[x].end :: else fi; x++ :: else -> break od;
                 x = begin; end = begin; n = 0;
                 do :: x < published && n < d && x < begin + WALK -> if :: !skipped[x] -> n++; end = x + 1 :: else fi; x++ :: else -> break od;
                 r = x; d = 0; x = 0;
                 free_entry_of(t) } };
             if
             :: atomic { n == 0 && r > begin && EMPTY -> r = 0; pass_skipped() }; unlock_group(); publish_space(); goto next
             :: d_step { n == 0 && r == begin + WALK && !EMPTY -> d = r; r = 0 };       /* a whole turn of skipped ones: done */
                if :: t == NO_ENTRY -> merge(k, t) :: t != NO_ENTRY fi;
                if
                :: d_step { t != NO_ENTRY -> L[t].begin = begin; L[t].end = d };
                   d_step { WRITE_DONE(t); leased_to = d; d = 0 }
                :: d_step { t == NO_ENTRY -> d = 0 }
                fi;
                unlock_group(); publish_space(); goto next
             :: n > 0 ->
                if
                :: d_step { t == NO_ENTRY -> r = 0; d = end }; merge(k, t); d_step { end = d; d = 0; k = t }
                :: d_step { t != NO_ENTRY -> r = 0; k = t }
                fi;
                if
                :: k == NO_ENTRY -> unlock_group(); publish_space(); goto recover       /* too_many_leases */
                :: d_step { k != NO_ENTRY -> assert(begin == leased_to); L[k].begin = begin; L[k].end = end }
                fi;
                d_step { L[k].row = me; L[k].inc = incarnation[me]; L[k].deliveries = 0; L[k].state = LEASED; NEXT_SEQUENCE(k); leased_to = end; note_handed(k) }
             :: d_step { n == 0 && !(r > begin && EMPTY) && !(r == begin + WALK && !EMPTY) -> r = 0 }; unlock_group(); publish_space(); goto recover
             fi
          fi;
          d_step { begin = L[k].begin; end = L[k].end; deliveries = L[k].deliveries; READ_SEQUENCE(k); t = 0; n = 0 };
          unlock_group();
#ifdef M_LEASER_SILENT
          moved = 0;
#endif
          publish_space();
#ifdef STALE                                           /* the handle of the lease before is used again */
          if
          :: old != NO_ENTRY ->
             d_step { assert(!(L[old].state == LEASED && L[old].row == me && L[old].inc == incarnation[me] && L[old].deliveries == old_deliveries OLD_SEQUENCE)); old = NO_ENTRY; old_deliveries = 0; old_sequence = 0 }
          :: true
          fi;
#endif
#ifdef SITS
          if
          :: atomic { sitting == 0 -> sitting = 1 }; atomic { timeout -> sitting = 0; assert(!(ROOM && (asleep[0] || asleep[PRODUCERS - 1]))) }
          :: true
          fi;
#endif
#ifdef FIRST_N
          if
          :: end - begin > 1 ->
             lock_group(t); retire(t);
             atomic { free_entry_of(t) };
             if :: t == NO_ENTRY -> r = k; merge(k, t); d_step { k = r; r = 0 } :: else fi;
             if
             :: t != NO_ENTRY && MINE(k) ->
# ifdef M_FIRST_N_DONE_FIRST
                d_step { WRITE_DONE(k); acked[begin] = 1 };
                d_step { L[t].begin = begin + 1; L[t].end = end };
                d_step { L[t].row = me; L[t].inc = incarnation[me]; L[t].deliveries = deliveries; L[t].state = LEASED; NEXT_SEQUENCE(t) };
                L[k].end = begin + 1;
# else
                d_step { L[t].begin = begin + 1; L[t].end = end };
                d_step { L[t].row = me; L[t].inc = incarnation[me]; L[t].deliveries = deliveries; L[t].state = LEASED; NEXT_SEQUENCE(t) };   /* step: ackn.rest */
                L[k].end = begin + 1;                                       /* step: ackn.cut */
                d_step { assert(MINE(k)); WRITE_DONE(k); acked[begin] = 1 };      /* step: ackn.done */
# endif
                d_step { k = t; begin = begin + 1; READ_SEQUENCE(k) };
                retire(t)
             :: else
             fi;
             unlock_group(); publish_space(); t = 0
          :: true
          fi;
#endif
#ifdef STALE
          d_step { old = k; old_deliveries = deliveries;
# ifdef SEQUENCE
            old_sequence = sequence
# endif
          };
#endif
          if
          ::
#ifdef M_LOOK_BEFORE_ACK
             n = space_bit;
#endif
             d_step {
#ifdef M_ACK_STORES
               if :: true ->
#else
               if :: MINE(k) ->
#endif
                  assert(L[k].begin == begin && L[k].end == end);
                  WRITE_DONE(k); x = begin; do :: x < end -> acked[x] = 1; x++ :: else -> break od; x = 0      /* step: ack.done, R:ack */
               :: else -> disowned = 1; assert(MISJUDGED(me, incarnation[me]))
               fi };
#ifdef M_LOOK_BEFORE_ACK
             if :: n -> lock_group(t); retire(t); unlock_group(); publish_space() :: else fi
#elif defined(M_ACK_LOOKS_NOT)
             skip
#else
             retire_if_waited_for()
#endif
          :: atomic { requeues > 0 -> requeues-- };
             d_step { if :: MINE(k) -> GIVE_BACK(k) :: else -> disowned = 1; assert(MISJUDGED(me, incarnation[me])) fi }      /* step: requeue.done */
          fi;
          goto next;
recover:  k = 0;                                       /* redeliver_dead */
          do
          :: d_step { k < ENTRIES && L[k].state == LEASED && !(L[k].row == me && L[k].inc == incarnation[me]) ->
               r = L[k].row; i = L[k].inc; d = L[k].deliveries; t = 0;
#ifdef SEQUENCE
               sq = L[k].sequence
#endif
             };
             if
             :: DEAD(r, i) ->
#ifndef M_RECOVER_UNLOCKED
                lock_group(t);
#endif
                d_step {
#ifdef M_RECOVER_STORES
                  assert(L[k].state != DONE); GIVE_BACK(k)
#elif defined(M_RECOVER_ANY)
                  if :: L[k].state == LEASED -> assert(REALLY_DEAD(L[k].row, L[k].inc)); GIVE_BACK(k) :: else fi
#else
                  if
                  :: L[k].state == LEASED && L[k].row == r && L[k].inc == i && L[k].deliveries == d SEQUENCE_WAS(k) -> assert(REALLY_DEAD(r, i) || MISJUDGED(r, i)); GIVE_BACK(k)              /* step: recover.redeliverable */
                  :: else
                  fi
#endif
                };
#ifndef M_RECOVER_UNLOCKED
                unlock_group();
#endif
                publish_space();
                d_step { r = 0; i = 0; d = 0; k++ }
             :: d_step { !DEAD(r, i) -> r = 0; i = 0; d = 0; k++ }
             fi
          :: d_step { k < ENTRIES && !(L[k].state == LEASED && !(L[k].row == me && L[k].inc == incarnation[me])) -> k++ }
          :: k == ENTRIES -> break
          od;
next:     atomic { k = 0; t = 0; begin = 0; end = 0; n = 0; deliveries = 0; r = 0; d = 0; moved = 0;
#ifdef SEQUENCE
            sequence = 0; sq = 0;
#endif
            if :: disowned -> incarnation[me] = incarnation[me] + 1; disowned = 0 :: else fi }     /* attaches anew */
       od
     } unless { killed[me] };
     d_step { k = 0; t = 0; begin = 0; end = 0; n = 0; deliveries = 0; r = 0; i = 0; d = 0; moved = 0; disowned = 0; dying = 0;
#ifdef SEQUENCE
       sequence = 0; sq = 0;
#endif
#ifdef STALE
       old = NO_ENTRY; old_deliveries = 0; old_sequence = 0;
#endif
     };
     d_step { !running[me] -> killed[me] = 0; START(me) }      /* there is always another consumer */
  od
}

proctype Kernel() MORTAL {
end:
  do
  :: KILL(0) :: BURY(0)
  :: KILL(1) :: BURY(1)
#ifdef PRODUCERS_DIE
  :: KILL(2) :: BURY(2)
# if PRODUCERS > 1
  :: KILL(3) :: BURY(3)
# endif
#endif
  :: SPARE
#ifdef WRONG_VERDICT
  :: d_step { wrong_left && life[0] -> wrong_left = 0; misjudged[0] = incarnation[0] }
#endif
  od
}

init {
  atomic {
#if PRODUCERS > 1
    to_send[0] = RECORDS - RECORDS / 2; to_send[1] = RECORDS / 2; START(3); run Producer(3);
#else
    to_send[0] = RECORDS;
#endif
    START(0); START(1); START(2);
    run Producer(2); run Consumer(0); run Consumer(1); run Kernel() };
#ifdef SITS
  (timeout && sitting == 0);
#else
  timeout;
#endif
  assert(published == RECORDS && group.holder == 0);   /* no producer sleeps for ever */
  d_step { x = retired; do :: x < RECORDS -> assert(acked[x] || skipped[x] || dropped[x]); x++ :: else -> break od; x = 0 }
}
