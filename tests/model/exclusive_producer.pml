/* The exclusive producer, its successors, and the end of its stream (producer_side.cpp, closing.cpp).
 *
 * PRODUCERS processes (rows 0 and 1) want to be the one producer; each that dies may be followed by another in its row. A closer
 * (row 2), who may die too, closes at any time. A consumer, who does not die, walks records, and does the closer's second step
 * when it meets the flag. One unit records; the ring's heads are 0 until commit.
 *
 * Bounds: CAPACITY units, RECORDS in all, PRODUCERS, DEATHS, BIRTHS.
 */
#ifndef CAPACITY
#define CAPACITY 3
#endif
#ifndef RECORDS
#define RECORDS 3
#endif
#ifndef BIRTHS
#define BIRTHS 1
#endif
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#define ROWS 3
#define PID(r) ((r) == 2 -> PRODUCERS + 1 : (r) + 1)
#define ON_DEATH(r) LET_GO(side, r)
#include "life.inc"

#define NOWHERE 255
bit head[CAPACITY];                                    /* 0: nothing here yet; 1: committed */
byte written[CAPACITY];                                /* ghost: position + 1 of the record there */
Mutex side;
byte claim_position, retired;
byte owner_row = NOWHERE, owner_inc;                   /* one word: the exclusive owner */
bit attached[2];
bit closed; byte closed_at = NOWHERE;
byte records = RECORDS, births = BIRTHS;
byte committed, seen; bit close_began;                 /* ghosts */
bit drained;                                           /* ghost: the consumer was told */

#define HEAD(p) head[(p) % CAPACITY]
#define ABSENT_OR_DEAD(r, i) ((r) == NOWHERE || !attached[r] || incarnation[r] != (i) || !life[r])
#define CLOSE_IS_DUE (closed && closed_at == NOWHERE && (owner_row == NOWHERE || ABSENT_OR_DEAD(owner_row, owner_inc)))

inline lock_side() {
#ifdef M_REPAIR_ZEROES                                 /* as for shared producers */
  TAKE(side, me);
  if :: side.died -> HEAD(claim_position) = 0 :: else fi;
  side.died = 0
#else
  d_step { side.holder == 0 -> side.holder = me + 1; side.died = 0 }        /* the repair writes nothing */
#endif
}

/* Under the mutex: claim_position over what was published last. */
inline walk_claim_position(to) {
  to = claim_position;
#ifndef M_NO_WALK
  do :: d_step { HEAD(to) -> assert(written[to % CAPACITY] == to + 1); to++ } :: else -> break od;       /* step: A:publish */
#endif
  claim_position = to                                  /* step: takeover.claim_position, R:claim_position */
}

inline store_closed_at(p) {
  d_step { assert(closed_at == NOWHERE && p == retired + committed - seen); closed_at = p }   /* step: close.closed_at */
}

inline finish_close_as_owner() {
  if
  :: closed_at == NOWHERE ->
     lock_side();
     if
     :: owner_row == me && owner_inc == incarnation[me] && closed && closed_at == NOWHERE -> store_closed_at(claim_position)
     :: else
     fi;
     GIVE(side)
  :: else
  fi
}

inline finish_close(r, i, to) {
  if
  :: closed && closed_at == NOWHERE ->
     d_step { r = owner_row; i = owner_inc };          /* step: A:takeover */
     if
#ifdef M_CLOSE_ANYBODY
     :: true ->
#else
     :: ABSENT_OR_DEAD(r, i) ->
#endif
        lock_side();
        if
        :: closed && closed_at == NOWHERE && owner_row == r && owner_inc == i ->
#ifndef M_CLOSE_NO_WALK
           walk_claim_position(to);
#endif
           if :: closed_at == NOWHERE -> store_closed_at(claim_position) :: else fi
        :: else
        fi;
        GIVE(side)
     :: else
     fi
  :: else
  fi;
  skip;
  d_step { r = 0; i = 0; to = 0 }
}

proctype Producer(byte me) MORTAL {
  byte r, i, at, to;
  do
  :: {
       d_step { running[me] = 1; attached[me] = 0; life[me] = 1 };
       d_step { incarnation[me] = incarnation[me] + 1; attached[me] = 1 };   /* step: R:row */
       /* take-over */
       do
       :: d_step { r = owner_row; i = owner_inc };
          if
          :: r != NOWHERE && !ABSENT_OR_DEAD(r, i) ->  /* in use: asks again when that may have changed, or gives up */
             if :: (owner_row != r || owner_inc != i || ABSENT_OR_DEAD(r, i)) :: (records == 0 || closed) -> goto leave fi
          :: else ->
             lock_side();
             if
#ifndef M_TAKEOVER_NO_RECHECK
             :: !(owner_row == r && owner_inc == i) -> GIVE(side)
             :: else ->
#else
             :: true ->
#endif
                walk_claim_position(to);
                at = to;
                d_step { owner_row = me; owner_inc = incarnation[me] };     /* step: takeover.owner, R:takeover */
                GIVE(side);
                break
             fi
          fi
       od;
       skip;
       d_step { r = 0; i = 0; to = 0 };
       do
       :: records > 0 && closed -> finish_close_as_owner(); break           /* the claim is refused */
       :: records > 0 && !closed ->
          if
          :: at + 2 <= retired + CAPACITY
          :: closed && at + 2 > retired + CAPACITY -> goto refused
          fi;
          if
          :: true ->                                   /* step: exclusive.claimed; commit */
#ifdef M_CLAIM_POSITION_FIRST
             claim_position = at + 1;
#endif
#ifndef M_NO_END_MARK
             HEAD(at + 1) = 0;                         /* step: exclusive.zeroed */
#endif
             d_step { assert(at >= retired && owner_row == me && owner_inc == incarnation[me]);
                      assert(closed_at == NOWHERE);    /* nothing comes behind the end of the stream */
                      HEAD(at) = 1; written[at % CAPACITY] = at + 1; committed++; records--; at++ };   /* step: exclusive.published */
#ifndef M_CLAIM_POSITION_FIRST
             claim_position = at;                      /* step: exclusive.claim_position */
#endif
          :: records--                                 /* abort: nothing was written */
          fi;
          if :: closed -> finish_close_as_owner() :: else fi
refused:  skip
       :: records == 0 -> break
       :: break                                         /* leaves, at any time */
       od;
       /* detach */
       if :: closed -> finish_close_as_owner() :: else fi;
       lock_side();
       if :: owner_row == me && owner_inc == incarnation[me] -> d_step { owner_row = NOWHERE; owner_inc = 0 } :: else fi;   /* step: leave.producer, R:takeover */
       GIVE(side);
       finish_close(r, i, to);
leave: attached[me] = 0;                               /* step: detach.cleared */
       goto gone
     } unless { killed[me] };
     goto dead;
gone: skip; d_step { killed[me] = 1; last_killed[me] = incarnation[me] };         /* not a death: the process ends */
dead: skip; d_step { r = 0; i = 0; at = 0; to = 0; dying = 0 };
     if
     :: atomic { !running[me] && births > 0 && records > 0 -> births--; killed[me] = 0 }
     :: !running[me] && (births == 0 || records == 0) -> break
     fi
  od
}

proctype Closer(byte me) MORTAL {
  byte r, i, to;
  { d_step { running[me] = 1; life[me] = 1; incarnation[me] = 1 };
    if :: true -> d_step { closed = 1; close_began = 1 } :: goto out fi;    /* step: close.flag, R:flags */
    finish_close(r, i, to);
    goto out
  } unless { killed[me] };
out:
  killed[me]; d_step { r = 0; i = 0; to = 0; dying = 0 }
}

proctype Consumer() MORTAL {
  byte me = 3, r, i, to;
end:
  do
  :: HEAD(retired) -> d_step { assert(written[retired % CAPACITY] == retired + 1);           /* step: A:publish */
       seen++; retired++; assert(closed_at == NOWHERE || retired <= closed_at) }
  :: CLOSE_IS_DUE && !HEAD(retired) -> finish_close(r, i, to)               /* waits, meets the flag */
  :: closed_at == retired && !drained -> drained = 1                        /* step: A:closed_at */
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
  atomic {
    run Producer(0);
#if PRODUCERS > 1
    run Producer(1);
#endif
    run Closer(2); run Consumer(); run Kernel() };
  timeout;
  assert(seen == committed && HEAD(retired) == 0);     /* what was published is seen, and the frontier is open */
  assert(close_began == drained);                      /* whoever waits for the end is told */
  assert(side.holder == 0)
}
