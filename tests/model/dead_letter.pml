/* Messages past max_deliveries (libipcq/src/core/{lease,parking}.cpp, libipcq/src/api/dead_letter.cpp), of a shared group.
 *
 * MESSAGES, each in a ledger entry of its own, are leased by two processes (rows 0 and 1, used again), which finish them, give
 * them back or die. One that was handed out MOST times is leased to be moved: copied to the dead-letter queue, which has room
 * for LETTERS and a reader that takes them out, then done; or parked, and tried again. A purge may give up what is parked.
 * A copy is one step: the claim in the other queue has a model of its own.
 *
 * Bounds: MESSAGES, MOST, LETTERS, DEATHS, BIRTHS, PURGES.
 */
#ifndef MESSAGES
#define MESSAGES 2
#endif
#ifndef MOST
#define MOST 1
#endif
#ifndef LETTERS
#define LETTERS 1
#endif
#ifndef BIRTHS
#define BIRTHS 2
#endif
#ifndef PURGES
#define PURGES 0
#endif
#define ROWS 2
#define PID(r) ((r) + 2)
#define ON_DEATH(r) LET_GO(group, r)
#include "life.inc"

#define NEW 0
#define LEASED 1
#define DONE 2
#define BACK 3
#define PARKED 4
#define NOBODY 255

typedef Entry { byte state, row, inc, deliveries };    /* one word */
Entry e[MESSAGES];
Mutex group;
bit attached[2];
byte births = BIRTHS, purges = PURGES;
byte letters;                                          /* in the dead-letter queue now */
byte copies[MESSAGES];                                 /* ghost: ever there */
byte handed[MESSAGES];                                 /* ghost: handed out */
bit acked[MESSAGES], purged[MESSAGES];                 /* ghosts */
byte interrupted;                                      /* ghost: deaths between a copy and what ends it */

#define DEAD(r, i) (!attached[r] || incarnation[r] != (i) || !life[r])
#define OWN(m) (e[m].state == LEASED && e[m].row == me && e[m].inc == incarnation[me])
#define EXHAUSTED(m) (e[m].deliveries >= MOST)
#define FREE(m) (e[m].state == NEW || e[m].state == BACK)
#define ALL_DONE (e[0].state == DONE && e[MESSAGES - 1].state == DONE)

inline lock_group() { TAKE(group, me); group.died = 0 }
/* A lease past max_deliveries was no delivery: the count stays */
inline given_back(m) {
  e[m].state = BACK;
#ifdef M_MOVING_COUNTS
  e[m].deliveries++;
#else
  if :: !EXHAUSTED(m) -> e[m].deliveries++ :: else fi;
#endif
  e[m].row = NOBODY; e[m].inc = 0
}
/* leased -> done or parked: the exact word, or nothing */
inline finish(m, s) { if :: OWN(m) -> e[m].state = s; e[m].row = NOBODY; e[m].inc = 0 :: else fi }

proctype Member(byte me) MORTAL {
  byte m, r, i;
  bit moving, copied;
  do
  :: {
       d_step { running[me] = 1; attached[me] = 0; life[me] = 1 };
       d_step { incarnation[me] = incarnation[me] + 1; attached[me] = 1 };
       do
       :: ALL_DONE -> break
       :: atomic { births > 0 -> births-- }; break     /* leaves, to be followed */
       :: !ALL_DONE ->
          if :: m = 0 :: MESSAGES > 1 -> m = MESSAGES - 1 fi;
          if
          :: d_step { e[m].state == LEASED && !OWN(m) -> r = e[m].row; i = e[m].inc };     /* step: redeliver.read, A:ack */
             if
             :: DEAD(r, i) ->                          /* recovery: judged, then the exact word */
                lock_group();
                d_step {
#ifdef M_RECOVER_STORES
                  if :: true ->
#else
                  if :: e[m].state == LEASED && e[m].row == r && e[m].inc == i ->
#endif
                     given_back(m) :: else fi };       /* step: recover.redeliverable */
                GIVE(group)
             :: else
             fi;
             d_step { r = 0; i = 0 }
          :: FREE(m) || e[m].state == PARKED ->
             lock_group();
             if
             :: e[m].state == PARKED -> e[m].state = BACK       /* step: park.again */
             :: else
             fi;
             if
             :: FREE(m) ->
#ifdef M_HANDED_OUT_ALL_THE_SAME
                d_step { e[m].state = LEASED; e[m].row = me; e[m].inc = incarnation[me] }
#else
                d_step { moving = EXHAUSTED(m); e[m].state = LEASED; e[m].row = me; e[m].inc = incarnation[me] } /* step: dead.leased, lease.word */
#endif
             :: else
             fi;
             GIVE(group);
             if
             :: OWN(m) && !moving ->
                d_step { assert(handed[m] < MOST && copies[m] == 0 && !acked[m]); handed[m]++ };
                if
                :: d_step { assert(OWN(m)); finish(m, DONE); acked[m] = 1 }              /* step: ack.done */
                :: d_step { assert(OWN(m)); given_back(m) }                           /* step: requeue.done */
                fi
             :: OWN(m) && moving ->
#ifdef M_DONE_BEFORE_COPY
                d_step { finish(m, DONE) };
#endif
                if
                :: letters < LETTERS -> atomic { letters < LETTERS -> letters++; copies[m]++; copied = 1 } /* step: dead.copied */
                :: letters == LETTERS
                fi;
#ifndef M_DONE_BEFORE_COPY
                if
                :: copied -> d_step { finish(m, DONE); copied = 0 }                      /* step: dead.acked */
#ifdef M_PARK_IS_DONE
                :: else -> d_step { finish(m, DONE) }
#else
                :: else -> d_step { finish(m, PARKED) }                                  /* step: park.parked */
#endif
                fi
#endif
             :: else
             fi;
             d_step { moving = 0; copied = 0 }
          :: atomic { purges > 0 && e[m].state == PARKED -> purges-- };
             lock_group();
             d_step { if :: e[m].state == PARKED -> e[m].state = DONE; purged[m] = 1 :: else fi };  /* step: purge.done */
             GIVE(group)
          :: e[m].state == DONE || (e[m].state == LEASED && OWN(m))
          fi;
          m = 0
       od;
       skip;
       attached[me] = 0;                               /* step: detach.cleared */
       goto gone
     } unless { killed[me] };
     d_step { if :: copied -> interrupted++ :: else fi };
     goto dead;
gone: skip; d_step { killed[me] = 1; last_killed[me] = incarnation[me] };
dead: skip; d_step { m = 0; r = 0; i = 0; moving = 0; copied = 0; dying = 0 };
     if
     :: !running[me] && ALL_DONE -> break
     :: atomic { !running[me] && !ALL_DONE -> killed[me] = 0 }
     fi
  od
}

proctype Reader() MORTAL {
end:
  do
  :: letters > 0 -> letters--
  od
}

proctype Kernel() MORTAL {
end:
  do
  :: KILL(0) :: BURY(0)
  :: KILL(1) :: BURY(1)
  :: SPARE
  od
}

init {
  byte m;
  atomic { run Reader(); run Member(0); run Member(1); run Kernel() };
  timeout;
  d_step {
    assert(ALL_DONE && group.holder == 0);
    do
    :: m < MESSAGES ->
       assert(acked[m] + purged[m] + (copies[m] > 0) >= 1);              /* none is lost */
       assert(!(acked[m] && copies[m] > 0));                             /* a dead letter was never finished */
       assert(copies[m] <= 1 + interrupted);
       assert(e[m].deliveries <= MOST);
       m++
    :: else -> break
    od
  }
}
