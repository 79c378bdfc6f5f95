/* The end of the stream, shared producers (closing.cpp, lease.cpp): the flag, closed_at, and who is told that it is drained.
 *
 * Consumers in rows 0 and 1, a closer in row 2, PRODUCERS in rows 3 and 4. All may die. What happens under the
 * producer side's mutex is one step (claim.pml has its steps); a record has a ledger entry of its own (ledger.pml has merging and splitting). A
 * consumer ends when it is told that its group has drained, or behind an ack: it asks no more.
 *
 * Bounds: RECORDS, PRODUCERS, DEATHS, REQUEUES.
 */
#ifndef RECORDS
#define RECORDS 2
#endif
#ifndef REQUEUES
#define REQUEUES 0
#endif
#ifndef PRODUCERS
#define PRODUCERS 1
#endif
#define ROWS (3 + PRODUCERS)
#define CLOSER 2
#define PID(r) ((r) + 1)
#define ON_DEATH(r) LET_GO(group, r); if :: r < 2 -> asleep[r] = 0 :: else fi
#include "life.inc"

#define NOWHERE 255
#define CLAIMED 1
#define COMMITTED 2
#define SKIPPED 3
#define LEASED 1
#define DONE 2
#define REDELIVERABLE 3

typedef Record { byte head; byte claimer; byte entry; byte holder; byte holder_inc };
Record rec[RECORDS + 1];
Mutex group;
bit closed; byte closed_at = NOWHERE;
byte claim_position, retired, leased;                  /* leased: the lease position */
bit waits, armed[2], asleep[2];                        /* the data event count; armed: the epoch is the one that this consumer saw */
bit told[2], gone[2];                                  /* ghosts: was told; asks no more */
byte requeues = REQUEUES;

#define CLAIM_OF_DEAD(p) (rec[p].head == CLAIMED && !life[rec[p].claimer])
#define LEASE_OF_DEAD(p) (rec[p].entry == LEASED && (incarnation[rec[p].holder] != rec[p].holder_inc || !life[rec[p].holder]))
#if RECORDS == 1
#define ANY_REDELIVERABLE (rec[0].entry == REDELIVERABLE)
#define ANY_OF_DEAD (CLAIM_OF_DEAD(0) || LEASE_OF_DEAD(0))
#elif RECORDS == 2
#define ANY_REDELIVERABLE (rec[0].entry == REDELIVERABLE || rec[1].entry == REDELIVERABLE)
#define ANY_OF_DEAD (CLAIM_OF_DEAD(0) || LEASE_OF_DEAD(0) || CLAIM_OF_DEAD(1) || LEASE_OF_DEAD(1))
#else
#define ANY_REDELIVERABLE (rec[0].entry == REDELIVERABLE || rec[1].entry == REDELIVERABLE || rec[2].entry == REDELIVERABLE)
#define ANY_OF_DEAD (CLAIM_OF_DEAD(0) || LEASE_OF_DEAD(0) || CLAIM_OF_DEAD(1) || LEASE_OF_DEAD(1) || CLAIM_OF_DEAD(2) || LEASE_OF_DEAD(2))
#endif
#define FRONT_DONE (retired < leased && rec[retired].entry == DONE)
#define NEW_THERE (leased < claim_position && rec[leased].head >= COMMITTED)
#define IS_DRAINED (closed_at != NOWHERE && retired == closed_at)
/* What the backstop finds. */
#define SOMETHING (NEW_THERE || ANY_REDELIVERABLE || ANY_OF_DEAD || FRONT_DONE || group.died || IS_DRAINED || (closed && closed_at == NOWHERE))

inline notify() {
  if
  :: d_step { waits -> waits = 0; armed[0] = 0; armed[1] = 0 };             /* step: wake.cleared, R:wake */
     d_step { asleep[0] = 0; asleep[1] = 0 }
  :: !waits
  fi
}

#define RETIRE do :: FRONT_DONE -> retired++; moved = 1 :: else -> break od      /* step: retire.retired */
/* The mutex, its repair, and retiring: one step here (ledger.pml has them all). */
inline lock_and_retire() {
  d_step { group.holder == 0 -> group.holder = me + 1;
    if :: group.died -> group.died = 0; moved = 1 :: else fi;
    RETIRE }
}

/* Passing `retired` on tells those who wait for the end. */
inline publish_retired() {
  if
#ifndef M_RETIRER_SILENT
  :: d_step { moved && closed_at != NOWHERE -> moved = 0 }; notify()        /* step: A:closed_at */
  :: d_step { !(moved && closed_at != NOWHERE) -> moved = 0 }
#else
  :: moved = 0
#endif
  fi
}

inline finish_close() {
  if
  :: closed && closed_at == NOWHERE ->                 /* a look; and again under the mutex */
     if
     :: d_step { closed_at == NOWHERE -> closed_at = claim_position }; notify()       /* step: close.closed_at, R:closed_at */
     :: closed_at != NOWHERE
     fi
  :: !(closed && closed_at == NOWHERE)
  fi
}

/* One attempt: retire, redeliverable first, new ones, drained? got: 1 leased, 2 drained. */
inline attempt() {
#ifndef M_DRAINED_NO_RETIRE
  lock_and_retire();
#else
  d_step { group.holder == 0 -> group.holder = me + 1; group.died = 0 };
#endif
  d_step {
    x = 0; got = 0;
    do :: x < RECORDS && rec[x].entry != REDELIVERABLE -> x++ :: else -> break od;
    if
    :: x < RECORDS -> at = x; got = 1
    :: else ->
       /* skipped ones: passed with nothing open; else part of the next lease, here an entry of their own that is done */
       do :: leased < claim_position && rec[leased].head == SKIPPED -> rec[leased].entry = DONE; leased++; if :: retired == leased - 1 -> retired++; moved = 1 :: else fi :: else -> break od;
       if :: NEW_THERE -> at = leased; got = 1; leased++ :: else fi
    fi;
    x = 0;
    if :: got == 1 -> rec[at].entry = LEASED; rec[at].holder = me; rec[at].holder_inc = incarnation[me] :: else fi };         /* step: lease.leased, R:ack */
  d_step {
    if
#ifdef M_DRAINED_AT_LEASED
    :: got == 0 && closed_at != NOWHERE && leased == closed_at -> got = 2
#elif defined(M_DRAINED_BY_FLAG)
    :: got == 0 && closed && retired == claim_position -> got = 2
#else
    :: got == 0 && closed_at != NOWHERE && retired == closed_at -> got = 2  /* step: A:closed_at */
#endif
    :: else
    fi;
    GIVE(group) };
  publish_retired()
}
byte x;

/* The backstop, and what a lease finds in its way. */
inline recover() {
  if
  :: group.died -> lock_and_retire(); d_step { GIVE(group); moved = 0 }; notify()
  :: !group.died
  fi;
  do
  :: at < RECORDS && CLAIM_OF_DEAD(at) ->
     if
     :: d_step { CLAIM_OF_DEAD(at) -> rec[at].head = SKIPPED }; notify()   /* step: abandon.skipped */
     :: !CLAIM_OF_DEAD(at)
     fi
  :: at < RECORDS && LEASE_OF_DEAD(at) ->
     lock_and_retire();
     d_step { if :: LEASE_OF_DEAD(at) -> rec[at].entry = REDELIVERABLE; done = 1 :: else fi; GIVE(group) };     /* step: recover.redeliverable */
     publish_retired();
     if
     :: d_step { done -> done = 0 }; notify()
     :: !done
     fi
  :: d_step { at < RECORDS && !CLAIM_OF_DEAD(at) && !LEASE_OF_DEAD(at) -> at++ }
  :: d_step { at == RECORDS -> at = 0 }; break
  od;
  finish_close()
}

#define START(r) running[r] = 1; life[r] = 1; incarnation[r] = incarnation[r] + 1

proctype Producer(byte me) MORTAL {
  byte at;
  { do
#ifdef M_CLAIM_LOOKS_NOT
    :: d_step { claim_position < RECORDS ->
#else
    :: d_step { !closed && claim_position < RECORDS ->                      /* step: A:flags */
#endif
         assert(closed_at == NOWHERE);              /* nothing comes behind the end */
         at = claim_position; rec[at].head = CLAIMED; rec[at].claimer = me; claim_position++ };         /* step: claim.3 */
       if
       :: d_step { assert(rec[at].head == CLAIMED); rec[at].head = COMMITTED; at = 0 }      /* step: commit.published */
       :: d_step { assert(rec[at].head == CLAIMED); rec[at].head = SKIPPED; at = 0 }        /* step: abort.skipped */
       fi;
       notify()
    :: goto out
    od
  } unless { killed[me] };
  d_step { at = 0; dying = 0 };
out:
  killed[me]; dying = 0
}

proctype Closer(byte me) MORTAL {
  { if
    :: closed = 1;                                     /* step: close.flag, R:flags */
       notify();
       finish_close()
    :: true
    fi;
    goto out
  } unless { killed[me] };
out:
  killed[me]; dying = 0
}

proctype Consumer(byte me) MORTAL {
  byte at, got; bit moved, done;
  do
  :: {
       do
       :: attempt();
          if
          :: d_step { got == 0 -> waits = 1; armed[me] = 1 };               /* step: A:wake */
             finish_close();
             attempt();
             if
             :: d_step { got == 0 -> if :: armed[me] -> asleep[me] = 1 :: else fi };
end:            if
                :: !asleep[me]
                :: d_step { somebody_died && SOMETHING -> asleep[me] = 0 }; recover()
                fi
             :: got != 0
             fi
          :: got != 0
          fi;
          if
          :: got == 1 ->
             if
             :: d_step { assert(rec[at].entry == LEASED && rec[at].holder == me && rec[at].holder_inc == incarnation[me] && rec[at].head == COMMITTED);
                  rec[at].entry = DONE; got = 0; at = 0 };                  /* step: ack.done, R:ack */
#ifndef M_ACK_LOOKS_NOT
                if
                :: closed_at != NOWHERE -> lock_and_retire(); GIVE(group); publish_retired()      /* step: A:closed_at */
                :: closed_at == NOWHERE
                fi;
#endif
                if :: true :: gone[me] = 1; goto out fi
             :: atomic { requeues > 0 -> requeues--; rec[at].entry = REDELIVERABLE; got = 0; at = 0 };      /* step: requeue.done */
                notify()
             fi
          :: d_step { got == 2 -> told[me] = 1; got = 0; x = 0;
               do
               :: x < closed_at && closed_at != NOWHERE -> assert(rec[x].head == SKIPPED || (rec[x].head == COMMITTED && rec[x].entry == DONE)); x++
               :: else -> break
               od;
               assert(closed_at == claim_position); x = 0 };                /* drained means: all of it is finished */
             goto out
          :: got == 0
          fi
       od
     } unless { killed[me] };
     d_step { at = 0; got = 0; moved = 0; done = 0; dying = 0 };
     d_step { !running[me] -> killed[me] = 0; START(me) }                   /* there is always another consumer */
  od;
out:
  killed[me]; dying = 0
}

proctype Kernel() MORTAL {
end:
  do
  :: KILL(0) :: BURY(0)
  :: KILL(1) :: BURY(1)
  :: KILL(2) :: BURY(2)
  :: KILL(3) :: BURY(3)
#if PRODUCERS > 1
  :: KILL(4) :: BURY(4)
#endif
  :: SPARE
  od
}

init {
  atomic {
    START(0); START(1); START(CLOSER); START(3);
    run Consumer(0); run Consumer(1); run Closer(CLOSER); run Producer(3);
#if PRODUCERS > 1
    START(4); run Producer(4);
#endif
    run Kernel() };
  timeout;
  assert(!closed || ((told[0] || gone[0]) && (told[1] || gone[1])));          /* whoever waits for the end is told */
  assert((gone[0] && gone[1]) || !(NEW_THERE || ANY_REDELIVERABLE || ANY_OF_DEAD));   /* nobody sleeps with work there */
  assert(group.holder == 0)
}
