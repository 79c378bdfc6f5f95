/* Shared producers: claim, commit, abort; what becomes of the claims of the dead (libipcq/src/core/producer_side.cpp).
 *
 * Two producers in rows 0 and 1, a consumer in row 2 that walks records and finishes each as it meets it. Whoever waits looks
 * for the dead as core::recover does: by the open_claim of their rows. A row of the dead is taken by the next process.
 * One unit of the ring is a head and its payload (16 bytes); a claim needs one unit or two. The second unit of a claim is
 * filled with payload that looks like the head of a claim of row 0's first process.
 *
 * Bounds: CAPACITY units, CLAIMS in all, DEATHS, BIRTHS (processes that take a dead producer's row); CONSUMER_SAFE and
 * ONE_PRODUCER_DIES say who does not die. ATTACHED: both producers are attached at the beginning (a successor still attaches).
 * WRONG_VERDICT: once, a living producer is judged dead. Claims need one unit then.
 * What only its own process can tell from the step before or after is one step with it (atomic): what it keeps for itself; and
 * taking a mutex, where what follows reads what only the mutex's holder writes.
 * Mutants: the #ifdef M_… below.
 */
#ifndef CAPACITY
#define CAPACITY 3
#endif
#ifndef CLAIMS
#define CLAIMS 2
#endif
#ifndef BIRTHS
#define BIRTHS 1
#endif
#define ROWS 3
#define CONSUMER 2
#define PID(r) ((r) + 1)
#define ON_DEATH(r) LET_GO(side, r); LET_GO(table, r)
#include "life.inc"

#define NONE 0
#define CLAIMED 1
#define COMMITTED 2
#define SKIPPED 3
#define NOWHERE 255

typedef Unit { byte state; byte length; byte row; byte inc;
               byte position; bit payload };          /* ghosts: which lap's; not a head at all */
Unit ring[CAPACITY];
#define AT(p) ring[(p) % CAPACITY]

Mutex side, table;
byte claim_position, retired;
bit attached[2]; byte open_claim[2];
byte claims = CLAIMS, births = BIRTHS;
byte unseen;                                           /* ghost: messages committed, not seen */
#ifdef WRONG_VERDICT
bit wrong_left = 1; byte misjudged[2];
#define MISJUDGED(r, i) (misjudged[r] >= (i))
#else
#define MISJUDGED(r, i) false
#endif

#ifdef M_NO_INCARNATION
#define SAME(r, i) (attached[r])
#define OWNER_IS(p, r, i) (AT(p).row == (r))
#else
#define SAME(r, i) (attached[r] && incarnation[r] == (i))
#define OWNER_IS(p, r, i) (AT(p).row == (r) && AT(p).inc == (i))
#endif
#define DEAD_ROW(r) (attached[r] && !life[r])
#define SOMETHING_TO_RECOVER (side.died || DEAD_ROW(0) || DEAD_ROW(1))

#define STORE(p, s, l, r, i, b) AT(p).state = s; AT(p).length = l; AT(p).row = r; AT(p).inc = i; AT(p).position = p; AT(p).payload = b
#define ERASE(p) AT(p).state = NONE; AT(p).length = 0; AT(p).row = 0; AT(p).inc = 0; AT(p).position = 0; AT(p).payload = 0
/* ghost: recovery is about to write over the claimed head at p */
#define NEVER_FROM_THE_LIVING(p) assert(!AT(p).payload && AT(p).position == (p)); \
    assert(REALLY_DEAD(AT(p).row, AT(p).inc) || MISJUDGED(AT(p).row, AT(p).inc))

/* `me` is the row of the process that calls. */
inline lock_side() {
  if
  :: atomic { side.holder == 0 && !side.died -> side.holder = me + 1 }
  :: atomic { side.holder == 0 && side.died -> side.holder = me + 1;
#ifndef M_NO_REPAIR
       d_step { if :: AT(claim_position).state == CLAIMED -> NEVER_FROM_THE_LIVING(claim_position) :: else fi;
                ERASE(claim_position) }                /* step: repair.producer */
#endif
     };
     side.died = 0
  fi
}

/* Row attached with that incarnation? byte free? Each is one look. */
inline judge(r, i, verdict) {
#ifdef M_NO_VERDICT
  verdict = 1;
#else
  if
  :: atomic { !SAME(r, i) -> verdict = 1 }
  :: SAME(r, i) -> verdict = !life[r]
  fi;
#endif
#ifdef WRONG_VERDICT
  if :: atomic { !verdict && wrong_left -> wrong_left = 0; misjudged[r] = i; verdict = 1 } :: true fi
#endif
}

/* The caller has judged (r, i) dead and holds nothing. */
inline abandon(p, r, i) {
#ifdef M_ABANDON_OUTSIDE
  if
  :: d_step { AT(p).state == CLAIMED && OWNER_IS(p, r, i) -> NEVER_FROM_THE_LIVING(p); STORE(p, SKIPPED, AT(p).length, 0, 0, 0) }
  :: !(AT(p).state == CLAIMED && OWNER_IS(p, r, i))
  fi
#else
  lock_side();
  if
# ifndef M_NO_RANGE
  :: retired <= p && p < claim_position ->
# else
  :: true ->
# endif
     d_step { length = 0;
# ifndef M_WORD_FIRST
              if :: AT(p).state == CLAIMED && OWNER_IS(p, r, i) -> length = AT(p).length :: else fi };
# else
              length = word_length };
# endif
     if
# ifdef M_ABANDON_STORES
     :: d_step { length != 0 -> if :: AT(p).state == CLAIMED -> NEVER_FROM_THE_LIVING(p) :: else -> assert(AT(p).state != COMMITTED || AT(p).position != p) fi;
                 STORE(p, SKIPPED, length, 0, 0, 0) }
# else
     :: d_step { length != 0 ->                        /* the exchange from the head that was read */
          if :: AT(p).state == CLAIMED && OWNER_IS(p, r, i) && AT(p).length == length ->
                NEVER_FROM_THE_LIVING(p); STORE(p, SKIPPED, length, 0, 0, 0)   /* step: abandon.skipped */
             :: else fi }
# endif
     :: length == 0
     fi;
     length = 0
  :: else
  fi;
  GIVE(side)
#endif
}

#define FIRST_ROW(r) r = (me == 0 -> 1 : 0)
#define NEXT_ROW(r) r = (r + 1 == me -> r + 2 : r + 1)

/* Frees a row whose owner (r, i) was judged dead: one store under the table's mutex. */
inline free_row_of_dead(r, i) {
  atomic { table.holder == 0 ->                        /* step: recover.claim_skipped */
    if :: incarnation[r] == i -> attached[r] = 0 :: else fi;       /* step: recover.row_freed, R:row */
    d_step { NEXT_ROW(r); i = 0; at = 0; verdict = 0 } }
}

inline abandon_claim_of(r, i, at) {
  if                                                   /* step: A:open_claim */
  :: atomic { open_claim[r] != NOWHERE -> at = open_claim[r] }; abandon(at, r, i)
  :: open_claim[r] == NOWHERE
  fi
}


/* core::recover, the part of producers */
inline recover(r, i, at, verdict) {
  if
  :: side.died -> lock_side(); d_step { GIVE(side); FIRST_ROW(r) }
  :: d_step { !side.died -> FIRST_ROW(r) }
  fi;
  do                                                   /* step: A:row; the name first, then whether it is attached */
#ifdef M_STATE_FIRST
  :: r < 2 ->
     if
     :: attached[r] -> i = incarnation[r];
#else
  :: atomic { r < 2 -> i = incarnation[r] };
     if
     :: attached[r] ->
#endif
        judge(r, i, verdict);
        if
        :: verdict -> abandon_claim_of(r, i, at); free_row_of_dead(r, i)
        :: d_step { !verdict -> NEXT_ROW(r); i = 0 }
        fi
     :: d_step { !attached[r] -> NEXT_ROW(r); i = 0 }
     fi
  :: d_step { r >= 2 -> r = 0 }; break
  od
}

inline attach(i, at) {
#ifndef M_ATTACH_KEEPS_CLAIM
  if                                                   /* a row of the dead: its claim is dealt with first */
  :: atomic { attached[me] -> i = incarnation[me] }; abandon_claim_of(me, i, at)
  :: !attached[me]
  fi;
#endif
  atomic { table.holder == 0 -> table.holder = me + 1; i = 0; at = 0 };     /* step: attach.chosen */
  life[me] = 1;                                        /* step: attach.locked */
  attached[me] = 0;                                    /* step: attach.freed, R:row */
  open_claim[me] = NOWHERE;                            /* step: attach.identified */
  incarnation[me] = incarnation[me] + 1;               /* step: attach.incarnation */
  attached[me] = 1;                                    /* step: attach.state */
  d_step { GIVE(table); table.died = 0 }
}

#define SHORT (claim_position + need + ROOM_BEHIND > retired + CAPACITY)
#ifdef M_NO_ROOM_BEHIND
#define ROOM_BEHIND 0
#else
#define ROOM_BEHIND 1
#endif

proctype Producer(byte me) MORTAL {
  byte at, need, first, length, r, i, where; bit verdict;
#ifdef M_WORD_FIRST
  byte word_length;
#endif
  do
  :: {
       if
       :: running[me] -> goto work                     /* attached at the beginning */
       :: !running[me] -> running[me] = 1
       fi;
again: attach(i, where);
work:  do
       :: atomic { claims > 0 -> claims--;
#ifdef WRONG_VERDICT
            need = 1
#else
            if :: need = 1 :: need = 2 fi
#endif
          };
retry:    lock_side();
          if
          :: d_step { SHORT -> GIVE(side) };
             recover(r, i, where, verdict);
             (!SHORT || SOMETHING_TO_RECOVER);         /* sleeps for room; the backstop looks for the dead */
             goto retry
          :: d_step { !SHORT -> at = claim_position; open_claim[me] = at }   /* step: claim.0, R:open_claim */
          fi;
#ifdef M_POSITION_FIRST
          claim_position = at + need;
#endif
#if !defined(M_NO_END_MARK) && !defined(M_END_MARK_LATE)
          d_step { ERASE(at + need) };                 /* step: claim.1 */
#endif
          d_step { STORE(at, CLAIMED, need, me, incarnation[me], 0) };   /* step: claim.2, R:publish */
#ifndef M_POSITION_FIRST
          claim_position = at + need;                  /* step: claim.3 */
#endif
#ifdef M_END_MARK_LATE
          GIVE(side);
          d_step { ERASE(at + need) };
#endif
          d_step { if :: side.holder == me + 1 -> GIVE(side) :: else fi; first = need; if :: need == 2 -> STORE(at + 1, CLAIMED, 1, 0, 1, 1) :: else fi };   /* the user fills */
          if
          :: if                                        /* commit: one message, two, or one and a skip for room left over */
             :: true
             :: d_step { need == 2 -> first = 1;
#ifndef M_INNER_LATE
                  STORE(at + 1, COMMITTED, 1, 0, 0, 0)                   /* step: commit.inner */
#endif
                }
             :: d_step { need == 2 -> first = 1; STORE(at + 1, SKIPPED, 1, 0, 0, 0) }
             fi;
             d_step {                                  /* step: commit.published */
               if
               :: AT(at).state == CLAIMED && AT(at).row == me && AT(at).inc == incarnation[me] && AT(at).length == need ->
                  assert(AT(at).position == at && at >= retired);
                  STORE(at, COMMITTED, first, 0, 0, 0);
                  unseen++;
                  if :: first < need && (AT(at + 1).state == COMMITTED || AT(at + 1).payload) -> unseen++ :: else fi
               :: else -> assert(MISJUDGED(me, incarnation[me])); first = 0       /* disowned */
               fi };
#ifdef M_INNER_LATE
             if :: first == 1 && need == 2 && AT(at + 1).payload -> d_step { STORE(at + 1, COMMITTED, 1, 0, 0, 0) } :: else fi
#endif
          :: d_step {                                  /* step: abort.skipped */
               if
               :: AT(at).state == CLAIMED && AT(at).row == me && AT(at).inc == incarnation[me] && AT(at).length == need ->
                  assert(AT(at).position == at && at >= retired);
                  STORE(at, SKIPPED, need, 0, 0, 0)
               :: else -> assert(MISJUDGED(me, incarnation[me])); first = 0
               fi }
          fi;
          if
          :: d_step { first == 0 -> at = 0; need = 0 }; goto again       /* disowned: attaches anew */
          :: d_step { first != 0 -> open_claim[me] = NOWHERE; at = 0; need = 0; first = 0 }
          fi
       :: claims == 0 -> goto done
       od
     } unless { killed[me] };
     d_step { at = 0; need = 0; first = 0; length = 0; r = 0; i = 0; where = 0; verdict = 0; dying = 0 };
     atomic { !running[me] && births > 0 -> births--; killed[me] = 0 }   /* the next process in this row */
  od;
done:
  killed[me]; dying = 0
}

proctype Consumer(byte me) MORTAL {
  byte at, length, r, i, where; bit verdict;
#ifdef M_WORD_FIRST
  byte word_length;
#endif
  do
  :: {
end:   do
       :: d_step { AT(retired).state == COMMITTED || AT(retired).state == SKIPPED ->     /* step: A:publish */
            assert(!AT(retired).payload && AT(retired).position == retired);
            if :: AT(retired).state == COMMITTED -> assert(unseen > 0); unseen-- :: else fi;
            retired = retired + AT(retired).length }                                      /* step: R:retired */
       :: d_step { AT(retired).state == CLAIMED ->
            assert(!AT(retired).payload && AT(retired).position == retired);
#ifdef M_WORD_FIRST
            word_length = AT(retired).length;
#endif
            at = retired; r = AT(at).row; i = AT(at).inc };
          judge(r, i, verdict);
          if
          :: verdict -> abandon(at, r, i)
          :: else -> (AT(at).state != CLAIMED || !OWNER_IS(at, r, i) || !SAME(r, i) || !life[r] || SOMETHING_TO_RECOVER)
          fi;
          d_step { at = 0; r = 0; i = 0; verdict = 0 }
       :: SOMETHING_TO_RECOVER -> recover(r, i, where, verdict)                      /* the backstop */
       od
     } unless { killed[me] };
     d_step { at = 0; length = 0; r = 0; i = 0; where = 0; verdict = 0; dying = 0 };
     d_step { !running[me] -> killed[me] = 0; running[me] = 1 }     /* there is always another consumer */
  od
}

proctype Kernel() MORTAL {
end:
  do
  :: KILL(0) :: BURY(0)
#ifndef ONE_PRODUCER_DIES
  :: KILL(1)
#endif
  :: BURY(1)
#ifndef CONSUMER_SAFE
  :: KILL(2)
#endif
  :: BURY(2)
  :: SPARE
  od
}

proctype Z() {                                         /* the invariant of that name, for anyone who looks */
end:
  do
  :: side.holder == 0 && !side.died && AT(claim_position).state != NONE -> assert(false)
  od
}

#define START_ATTACHED(r) running[r] = 1; life[r] = 1; attached[r] = 1; incarnation[r] = 1

init {
  atomic { open_claim[0] = NOWHERE; open_claim[1] = NOWHERE; running[CONSUMER] = 1;
#ifdef ATTACHED
    START_ATTACHED(0); START_ATTACHED(1);
#endif
    run Producer(0); run Producer(1); run Consumer(CONSUMER); run Kernel(); run Z() };
  timeout;                                             /* nothing can move any more */
  assert(unseen == 0);                               /* every committed message was seen, once */
  assert(retired == claim_position && AT(claim_position).state == NONE);   /* the dead block nobody */
  assert(side.holder == 0 && !side.died)
}
