/* A shared group's ledger: lease, ack, requeue, redelivery, retire, split, merge, ack of the first n, repair, drop-oldest
 * (ledger.cpp, lease.cpp, room.cpp), and producers that sleep for room.
 *
 * Two consumers in rows 0 and 1, PRODUCERS in rows 2 and 3. Records are one unit; an aborted or abandoned one is skipped; a
 * claim is one step (claim.pml has its steps). An entry's word is one atomic: {state, deliveries, owner}. The index is derived
 * from the begins at every look, as the repair does. Consumers sleep exactly while there is nothing to do (wait.pml has how).
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
bit acked[RECORDS], handled[RECORDS], dropped[RECORDS]; byte handed[RECORDS];   /* ghosts */
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
#define ANY_REDELIVERABLE (L[0].state == REDELIVERABLE || L[1].state == REDELIVERABLE)
#else
#define ANY_OF_THE_DEAD (OF_THE_DEAD(0) || OF_THE_DEAD(1) || OF_THE_DEAD(2))
#define EMPTY (L[0].state == FREE && L[1].state == FREE && L[2].state == FREE)
#define ANY_FREE (L[0].state == FREE || L[1].state == FREE || L[2].state == FREE)
#define FRONT_IS(s) ((L[0].state == s && BEFORE(0, 1) && BEFORE(0, 2)) || (L[1].state == s && BEFORE(1, 0) && BEFORE(1, 2)) || (L[2].state == s && BEFORE(2, 0) && BEFORE(2, 1)))
#define MERGEABLE (NEIGHBOURS(0, 1) || NEIGHBOURS(1, 0) || NEIGHBOURS(0, 2) || NEIGHBOURS(2, 0) || NEIGHBOURS(1, 2) || NEIGHBOURS(2, 1))
#define ANY_REDELIVERABLE (L[0].state == REDELIVERABLE || L[1].state == REDELIVERABLE || L[2].state == REDELIVERABLE)
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
#define REDELIVERABLE_WORK (ANY_REDELIVERABLE && ENTRY_TO_BE_HAD)
#else
#define REDELIVERABLE_WORK ANY_REDELIVERABLE
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
     assert(skipped[x] || handled[x] || dropped[x]);
     acked[x] = 1; skipped[x] = 0; handled[x] = 0; handed[x] = 0; x++
  :: else -> break
  od;
  x = 0
}

/* Ledger::retire, the mutex held. Sets `moved`. */
inline retire(k) {
  do
  :: d_step { first_of(0, k);
#ifdef M_RETIRE_ANY
       first_of(DONE, k);
#endif
       if :: k != NO_ENTRY && L[k].state != DONE -> k = NO_ENTRY :: else fi };
     if :: k == NO_ENTRY -> break :: else fi;
#ifdef M_FREE_FIRST
     y = L[k].end; WRITE_FREE(k);
     d_step { check_retired(y); retired = y; y = 0; moved = 1 }
#else
     d_step { check_retired(L[k].end); moved = 1; retired = L[k].end };    /* step: retire.retired, R:retired */
     d_step { WRITE_FREE(k) }                                               /* step: retire.freed */
#endif
  od;
  skip;
  d_step { k = 0 }
}

/* An empty ledger passes `retired` over skipped records, a turn of WALK. */
inline pass_skipped() {
  d_step {
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
  k = 0;
  do
  :: k < ENTRIES ->
     d_step {
       if
       :: L[k].state != FREE && L[k].end <= retired -> assert(L[k].state == DONE || L[k].state == REDELIVERABLE); WRITE_FREE(k)   /* step: repair.freed */
       :: L[k].state != FREE && L[k].end > retired && L[k].begin < retired -> assert(L[k].state == REDELIVERABLE); L[k].begin = retired                  /* step: repair.begin */
       :: else
       fi };
     k++
  :: else -> break
  od;
#ifndef M_NO_CUT
  k = 0;
  do
  :: k < ENTRIES ->
     d_step {                                          /* step: repair.cut; the later begin wins */
       x = 0;
       do
       :: x < ENTRIES -> if :: x != k && L[k].state != FREE && L[x].state != FREE && L[k].begin < L[x].begin && L[k].end > L[x].begin -> L[k].end = L[x].begin :: else fi; x++
       :: else -> break
       od;
       x = 0 };
     k++
  :: else -> break
  od;
#endif
  retire(k);                                           /* step: repair.group */
  moved = 1
}

inline lock_group(k) {
  TAKE(group, me);
#ifndef M_NO_REPAIR
  if :: group.died -> repair(k); group.died = 0 :: else fi
#else
  group.died = 0
#endif
}

/* Invariant T, then the mutex is free. */
inline unlock_group() {
  d_step {
    total = 0; x = 0;
    do
    :: x < ENTRIES -> if :: L[x].state != FREE -> assert(L[x].end > L[x].begin && L[x].begin >= retired); total = total + L[x].end - L[x].begin :: else fi; x++
    :: else -> break
    od;
    x = 0;
    assert(total == leased_to - retired); total = 0 };
  GIVE(group)
}

/* publish_retired: the bit is cleared and the epoch raised by one exchange, then all are woken. */
inline publish_space() {
  if
  :: moved ->
     d_step { moved = 0;
       if :: space_bit -> space_bit = 0; x = 0; do :: x < PRODUCERS -> armed[x] = 0; x++ :: else -> break od; x = 0; moved = 1 :: else fi };   /* step: wake.cleared, R:wake */
     if
     :: moved -> d_step { x = 0; do :: x < PRODUCERS -> asleep[x] = 0; x++ :: else -> break od; x = 0; moved = 0 }
     :: else
     fi
  :: else
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
  };
  if
  :: k != NO_ENTRY ->
#ifdef M_MERGE_FREES_FIRST
     end = L[t].end; d_step { WRITE_FREE(t) }; L[k].end = end; end = 0
#else
     L[k].end = L[t].end;                              /* step: merge.extended */
     d_step { WRITE_FREE(t) }                          /* step: merge.freed */
#endif
  :: else
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

proctype Producer(byte me) {
  byte k; bit moved;
  do
  :: {
       d_step { running[me] = 1; life[me] = 1 };
end:   do
       :: to_send[me - 2] == 0 -> break
       :: to_send[me - 2] > 0 ->
          if
          :: atomic { ROOM -> to_send[me - 2]--;
#ifndef NO_SKIPS
               if :: skipped[published] = 1 :: skipped[published] = 0 fi;
#endif
               published++ }
          :: !ROOM ->
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
end2:           if :: !asleep[me - 2] :: BACKSTOP -> asleep[me - 2] = 0 fi
             fi
          fi
       od;
       goto done
     } unless { killed[me] };
     d_step { k = 0; moved = 0 };
     !running[me]; killed[me] = 0
  od;
done:
  skip
}

/* After the ack: a look at who waits, and only then the mutex. */
inline retire_if_waited_for() {
  if
  :: space_bit -> lock_group(t); retire(t); unlock_group(); publish_space()
  :: !space_bit
  fi
}

proctype Consumer(byte me) {
  byte k, t, begin, end, n, deliveries, r, i, d; bit moved, disowned;
#ifdef SEQUENCE
  byte sequence, sq;
#endif
#ifdef STALE
  byte old = NO_ENTRY, old_deliveries, old_sequence;
#endif
  do
  :: {
       d_step { running[me] = 1; life[me] = 1; incarnation[me] = incarnation[me] + 1 };
end3:  do
       :: WORK ->
          lock_group(t);
          retire(t);
          d_step { first_of(REDELIVERABLE, k) };
          if
          :: k != NO_ENTRY ->                          /* lease_again: one message of it */
             d_step { begin = L[k].begin; end = begin; n = 0;
               do :: end < L[k].end && n == 0 -> if :: !skipped[end] -> n++ :: else fi; end++ :: else -> break od;
               n = 0; free_entry_of(t) };
             if
             :: end < L[k].end && t == NO_ENTRY -> n = end; r = k; merge(k, t); d_step { k = r; end = n; n = 0; r = 0 }
             :: else
             fi;
             if
             :: end < L[k].end && t != NO_ENTRY ->
#ifdef M_SPLIT_CUTS_FIRST
                n = L[k].end; L[k].end = end;
                d_step { L[t].begin = end; L[t].end = n; L[t].deliveries = L[k].deliveries; L[t].state = REDELIVERABLE }; n = 0
#else
                d_step { L[t].begin = end; L[t].end = L[k].end };                                   /* step: lease.written */
                d_step { L[t].deliveries = L[k].deliveries; L[t].state = REDELIVERABLE };         /* step: lease.word, split.rest */
                L[k].end = end                                                                      /* step: split.cut */
#endif
#ifdef M_SPLIT_REFUSES
             :: end < L[k].end && t == NO_ENTRY -> unlock_group(); publish_space(); goto next
#endif
             :: else
             fi;
             d_step { L[k].row = me; L[k].inc = incarnation[me]; L[k].state = LEASED; NEXT_SEQUENCE(k); note_handed(k) }   /* step: lease.leased, R:ack */
          :: else ->                                   /* lease_new */
             atomic { if :: d = 1 :: LARGEST > 1 -> d = LARGEST fi };
             d_step {
               begin = retired; x = 0;
               do :: x < ENTRIES -> if :: L[x].state != FREE && L[x].end > begin -> begin = L[x].end :: else fi; x++ :: else -> break od;
               x = begin; end = begin; n = 0;
               do :: x < published && n < d && x < begin + WALK -> if :: !skipped[x] -> n++; end = x + 1 :: else fi; x++ :: else -> break od;
               r = x; d = 0; x = 0;
               free_entry_of(t) };
             if
             :: n == 0 && r > begin && EMPTY -> r = 0; pass_skipped(); unlock_group(); publish_space(); goto next
             :: n == 0 && r > begin && !EMPTY && r == begin + WALK ->       /* a whole turn of skipped ones: done */
                d = r; r = 0;
                if :: t == NO_ENTRY -> merge(k, t) :: else fi;
                if
                :: t != NO_ENTRY ->
                   d_step { L[t].begin = begin; L[t].end = d };
                   d_step { WRITE_DONE(t); leased_to = d }
                :: else
                fi;
                d = 0;
                unlock_group(); publish_space(); goto next
             :: n > 0 ->
                r = 0; d = end;
                if :: t == NO_ENTRY -> merge(k, t) :: else fi;
                d_step { end = d; d = 0; k = t };
                if :: k == NO_ENTRY -> unlock_group(); publish_space(); goto recover :: else fi;     /* too_many_leases */
                d_step { assert(begin == leased_to); L[k].begin = begin; L[k].end = end };
                d_step { L[k].row = me; L[k].inc = incarnation[me]; L[k].deliveries = 0; L[k].state = LEASED; NEXT_SEQUENCE(k); leased_to = end; note_handed(k) }
             :: else -> r = 0; unlock_group(); publish_space(); goto recover
             fi
          fi;
          unlock_group();
          d_step { begin = L[k].begin; end = L[k].end; deliveries = L[k].deliveries; READ_SEQUENCE(k); t = 0; n = 0 };
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
          d_step { x = begin; do :: x < end -> handled[x] = 1; x++ :: else -> break od; x = 0 };
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
             d_step { free_entry_of(t) };
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
recover:  skip;                                        /* redeliver_dead */
          d_step { k = 0; t = 0 };
          do
          :: k < ENTRIES ->
             if
             :: d_step { L[k].state == LEASED && !(L[k].row == me && L[k].inc == incarnation[me]) -> r = L[k].row; i = L[k].inc; d = L[k].deliveries;
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
                   publish_space()
                :: else
                fi;
                d_step { r = 0; i = 0; d = 0; t = 0 }
             :: else
             fi;
             k++
          :: else -> break
          od;
next:     skip;
          d_step { k = 0; t = 0; begin = 0; end = 0; n = 0; deliveries = 0; r = 0; d = 0; moved = 0;
#ifdef SEQUENCE
            sequence = 0; sq = 0;
#endif
            if :: disowned -> incarnation[me] = incarnation[me] + 1; disowned = 0 :: else fi }     /* attaches anew */
       od
     } unless { killed[me] };
     d_step { k = 0; t = 0; begin = 0; end = 0; n = 0; deliveries = 0; r = 0; i = 0; d = 0; moved = 0; disowned = 0;
#ifdef SEQUENCE
       sequence = 0; sq = 0;
#endif
#ifdef STALE
       old = NO_ENTRY; old_deliveries = 0; old_sequence = 0;
#endif
     };
     !running[me]; killed[me] = 0                      /* there is always another consumer */
  od
}

proctype Kernel() {
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
    to_send[0] = RECORDS - RECORDS / 2; to_send[1] = RECORDS / 2; run Producer(3);
#else
    to_send[0] = RECORDS;
#endif
    run Producer(2); run Consumer(0); run Consumer(1); run Kernel() };
#ifdef SITS
  (timeout && sitting == 0);
#else
  timeout;
#endif
  assert(published == RECORDS && group.holder == 0);   /* no producer sleeps for ever */
  d_step { x = retired; do :: x < RECORDS -> assert(acked[x] || skipped[x] || dropped[x]); x++ :: else -> break od; x = 0 }
}
