/* Sleeping and waking on x86-TSO: the event counts of both directions (event_count.hpp, and the callers in api/).
 *
 * Two producers publish RECORDS records into a ring of CAPACITY; two consumers lease and ack. A store goes into its process's
 * store buffer and reaches memory later; a locked instruction (a seq_cst read-modify-write, a mutex) waits until its own buffer
 * is empty. FUTEX_WAIT's compare and its queueing are one step, the wake another. Mutexes are one step each here.
 *
 * Bounds: RECORDS, CAPACITY, SPURIOUS wake-ups. ABORTS: a record may be aborted. LEAST_TWO: consumers want two messages at a
 * time. WAITER_DIES: one consumer dies while it waits. WAKER_DIES: one process dies between clearing the bit and the wake; only
 * then is there a backstop.
 * ONE_GROUP_EACH: each consumer is a group of its own and wants every record (acks are left out).
 */
#ifndef RECORDS
#define RECORDS 2
#endif
#ifndef CAPACITY
#define CAPACITY 1
#endif
#ifndef SPURIOUS
#define SPURIOUS 0
#endif
#define CLAIMED 1
#define COMMITTED 2
#define SKIPPED 3
/* what a store buffer holds */
#define PUT_COMMITTED 1
#define PUT_RETIRED 2
#define PUT_DATA_BIT 3
#define PUT_SPACE_BIT 4

typedef Event { byte epoch; bit waits };
Event data, space;
byte head[RECORDS + 1];
bit done[RECORDS + 1];
byte claim_position, retired, leased;
byte to_send = RECORDS;
chan buffer[4] = [2] of { byte, byte };                /* producers 0, 1; consumers 2, 3 */
bit asleep[4], dying[4];
byte spurious = SPURIOUS;
bit waiter_may_die, waker_may_die, backstop;
#ifdef ONE_GROUP_EACH
byte seen[4];
#define NEXT seen[me]
#define NEXT_OF(c) seen[c]
#else
#define NEXT leased
#define NEXT_OF(c) leased
#endif
#define FRONTIER(c) (NEXT_OF(c) < RECORDS && head[NEXT_OF(c)] >= COMMITTED)
#define SECOND(c) (NEXT_OF(c) + 1 >= RECORDS || head[NEXT_OF(c) + 1] >= COMMITTED)
#define LOCKED empty(buffer[me])                       /* a locked instruction */
#ifdef M_NO_FENCE
#define FENCED true
#else
#define FENCED LOCKED
#endif
#define ROOM (claim_position < retired + CAPACITY)
#define FRONT_DONE (retired < leased && done[retired])

proctype Memory() {
  byte what, value;
end:
  do
#define DRAIN(p) atomic { buffer[p]?what,value -> \
      if \
      :: what == PUT_COMMITTED -> head[value] = COMMITTED \
      :: what == PUT_RETIRED -> retired = value \
      :: what == PUT_DATA_BIT -> data.waits = 1 \
      :: what == PUT_SPACE_BIT -> space.waits = 1 \
      fi; what = 0; value = 0 }
  :: DRAIN(0)
  :: DRAIN(1)
  :: DRAIN(2)
  :: DRAIN(3)
  od
}

/* The processes of that direction are woken, but for those that died in the queue. */
inline wake_all(first) {
#ifdef M_WAKE_ONE
  atomic { bits -> bits = 0;
    if :: asleep[first] -> asleep[first] = 0 :: asleep[first + 1] -> asleep[first + 1] = 0 :: !asleep[first] && !asleep[first + 1] fi }
#else
  d_step { bits -> bits = 0; asleep[first] = 0; asleep[first + 1] = 0 }
#endif
}

inline notify(event, first) {
  if                                                   /* step: R:wake */
  :: FENCED && event.waits ->
     atomic { LOCKED -> if :: event.waits -> event.waits = 0; event.epoch++; bits = 1 :: else fi };      /* step: wake.cleared */
     if
     :: atomic { bits && waker_may_die -> waker_may_die = 0; backstop = 1; dying[me] = 1 }
     :: wake_all(first)
     :: !bits
     fi
  :: FENCED && !event.waits
  fi
}

/* Under the group's mutex: `retired` over what is done; a producer short of room passes it over what is skipped, too, once
 * nothing is leased. A plain store; the unlock is a locked instruction. */
inline retire(passes) {
  atomic { LOCKED && !group -> group = 1; was = retired;
    do
    :: was < leased && done[was] -> was++
    :: passes && was == leased && was < claim_position && head[was] == SKIPPED -> leased++; was++
    :: else -> break
    od };
  if
  :: atomic { was > retired -> buffer[me]!PUT_RETIRED,was; was = 0 };       /* step: R:retired */
     atomic { FENCED -> group = 0 };
#ifndef M_FREER_SILENT
     notify(space, 0)
#endif
  :: atomic { was == retired -> group = 0; was = 0 }
  fi
}
bit group;

proctype Producer(byte me) {
  byte at, epoch, was; bit bits;
  {
    do
    :: atomic { to_send > 0 && ROOM && LOCKED -> at = claim_position; claim_position++; to_send--; head[at] = CLAIMED };
       if
       ::
#ifdef M_NO_FENCE
          atomic { buffer[me]!PUT_COMMITTED,at; at = 0 };
#else
          atomic { LOCKED -> head[at] = COMMITTED; at = 0 };   /* step: commit.published, R:publish */
#endif
          notify(data, 2)
#ifdef ABORTS
       :: atomic { LOCKED -> head[at] = SKIPPED; at = 0 };     /* step: abort.skipped, R:publish */
# ifndef M_ABORT_SILENT
          notify(data, 2);
# endif
          notify(space, 0)
#endif
       fi
    :: atomic { to_send > 0 && !ROOM };
#ifdef M_PLAIN_ARM
       buffer[me]!PUT_SPACE_BIT,0; epoch = space.epoch;
#else
       atomic { LOCKED -> space.waits = 1; epoch = space.epoch };           /* step: wait.armed, A:wake */
#endif
#ifdef LEAST_TWO
# ifndef M_NO_ANNOUNCE
       notify(data, 2);                                /* who wants more than there is room for takes what is there */
# endif
#endif
#ifndef M_NO_RETIRE
       retire(true);
#endif
       if
       :: atomic { ROOM || to_send == 0 -> epoch = 0 }
       :: !ROOM && to_send > 0 ->
          atomic { LOCKED -> if :: space.waits && space.epoch == epoch -> asleep[me] = 1 :: else fi; epoch = 0 };
          !asleep[me]
       fi
    :: to_send == 0 -> break
    od
  } unless { dying[me] }
}

#ifdef LEAST_TWO
#define MAY_TAKE (SECOND(me) || (space.waits))
#else
#define MAY_TAKE true
#endif

/* One attempt, under the group's mutex. Skipped records are passed with it; if nothing is leased, `retired` is, which is told. */
inline attempt_if(wanted) {
  atomic { (wanted) && LOCKED && !group -> got = 0;
    do
    :: NEXT < RECORDS && head[NEXT] == SKIPPED -> if :: retired == NEXT -> retired++; was = 1 :: else -> done[NEXT] = 1 fi; NEXT++
    :: else -> break
    od;
    if :: FRONTIER(me) && MAY_TAKE -> at = NEXT; NEXT++; got = 1 :: else fi };
#if defined(ABORTS) && !defined(ONE_GROUP_EACH)
  if
  :: d_step { was -> was = 0 }; notify(space, 0)
  :: !was
  fi
#endif
}

#define attempt() attempt_if(true)

#ifdef M_PLAIN_ARM
/* An exclusive consumer's look takes no mutex: nothing empties its store buffer. */
inline attempt_unlocked() {
  atomic { got = 0; if :: FRONTIER(me) -> at = NEXT; NEXT++; got = 1 :: else fi }
}
#endif

proctype Consumer(byte me) {
  byte at, epoch, was; bit got, bits;
  {
    do
    :: NEXT == RECORDS -> break
    :: attempt_if(NEXT < RECORDS);
       if
       :: !got ->
#ifdef M_EPOCH_LATE
          atomic { LOCKED -> data.waits = 1 };
          attempt();
          epoch = data.epoch;
#elif defined(M_PLAIN_ARM)
          epoch = data.epoch;
          buffer[me]!PUT_DATA_BIT,0;
          attempt_unlocked();
#elif defined(M_NO_SECOND_LOOK)
          atomic { LOCKED -> data.waits = 1; epoch = data.epoch };
#else
          atomic { LOCKED -> data.waits = 1; epoch = data.epoch };          /* step: wait.armed, A:wake */
          attempt();
#endif
          if
          :: got || NEXT == RECORDS
          :: atomic { !got && NEXT < RECORDS && LOCKED ->
#ifdef M_FLAG_WORD
               if :: data.waits -> asleep[me] = 1 :: else fi
#elif defined(M_NO_COMPARE)
               asleep[me] = 1
#else
               if :: data.waits && data.epoch == epoch -> asleep[me] = 1 :: else fi
#endif
             };
             !asleep[me]
          fi
       :: got
       fi;
       if
#ifndef ONE_GROUP_EACH
       :: atomic { got && LOCKED -> done[at] = 1; epoch = 0; got = 0; at = 0 };        /* step: ack.done, R:ack */
          if                                           /* step: R:wake */
          :: atomic { LOCKED && space.waits }; retire(false)
          :: atomic { LOCKED && !space.waits }
          fi
#else
       :: d_step { got -> epoch = 0; got = 0; at = 0 }
#endif
       :: d_step { !got -> epoch = 0; at = 0 }
       fi
    od
  } unless { dying[me] }
}

proctype Environment() {
end:
  do
  :: atomic { spurious > 0 && asleep[0] -> spurious--; asleep[0] = 0 }
  :: atomic { spurious > 0 && asleep[2] -> spurious--; asleep[2] = 0 }
  :: atomic { spurious > 0 && asleep[3] -> spurious--; asleep[3] = 0 }
  :: atomic { waiter_may_die && asleep[2] -> waiter_may_die = 0; dying[2] = 1 }        /* queued still, for a while */
  :: atomic { dying[2] && asleep[2] -> asleep[2] = 0 }
  :: atomic { backstop && asleep[0] && !dying[0] && (ROOM || FRONT_DONE) -> asleep[0] = 0 }
  :: atomic { backstop && asleep[1] && !dying[1] && (ROOM || FRONT_DONE) -> asleep[1] = 0 }
  :: atomic { backstop && asleep[2] && !dying[2] && FRONTIER(2) -> asleep[2] = 0 }
  :: atomic { backstop && asleep[3] && !dying[3] && FRONTIER(3) -> asleep[3] = 0 }
  od
}

init {
  atomic {
#ifdef WAITER_DIES
    waiter_may_die = 1;
#endif
#ifdef WAKER_DIES
    waker_may_die = 1;
#endif
    run Memory(); run Producer(0); run Producer(1); run Consumer(2); run Consumer(3); run Environment() };
  timeout;
  assert(!(asleep[2] && !dying[2] && FRONTIER(2)));    /* nobody sleeps with a record there */
  assert(!(asleep[3] && !dying[3] && FRONTIER(3)));
  assert(!(asleep[0] && !dying[0] && (ROOM || FRONT_DONE)));       /* or with room there, or to be had */
  assert(!(asleep[1] && !dying[1] && (ROOM || FRONT_DONE)));
  assert(to_send == 0 || dying[0] || dying[1] || dying[2] || dying[3])
}
