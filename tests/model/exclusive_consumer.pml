/* An exclusive group's consumers, one after the other (libipcq/src/core/exclusive_consumer.cpp, room.cpp).
 *
 * Two processes (rows 0 and 1, used again) join, lease, ack in order, give back, leave or die. No mutex and no ledger on the
 * way. A producer that does not die publishes RECORDS records of one unit, some of them skipped; short of room it passes
 * skipped records for a group whose consumer is dead or absent.
 *
 * What `deliveries` promises here: not 0 exactly for what was handed out before, and 1 at most behind the front; with one
 * lease open at a time no less for the front than it was handed out, and no more but for deaths between a count and what ends
 * it. Whoever dies before his lease is handed out, with `leased_to` stored, counts as well.
 *
 * Bounds: CAPACITY, RECORDS, DEATHS, BIRTHS, REQUEUES; OPEN leases at once.
 */
#ifndef CAPACITY
#define CAPACITY 3
#endif
#ifndef RECORDS
#define RECORDS 3
#endif
#ifndef BIRTHS
#define BIRTHS 2
#endif
#ifndef REQUEUES
#define REQUEUES 0
#endif
#ifndef OPEN
#define OPEN 1
#endif
#define ROWS 2
#define PID(r) ((r) + 2)
#define ON_DEATH(r) LET_GO(group, r)
#include "life.inc"

#define NOBODY 255
Mutex group;
bit attached[2];
byte retired, published;
byte owner_row = NOBODY, owner_inc;                    /* one word: the group's owner */
byte leased_to, again_to, takeover_retired = NOBODY, takeover_count;
byte births = BIRTHS, requeues = REQUEUES;
bit skipped[RECORDS];
byte handed[RECORDS];                                  /* ghost: how often handed out */
byte doubt;                                            /* ghost: deaths that count a delivery which was none */
bit finished[RECORDS];                                 /* ghost: acked */

#define ABSENT_OR_DEAD(r, i) ((r) == NOBODY || !attached[r] || incarnation[r] != (i) || !life[r])
#define MINE (owner_row == me && owner_inc == incarnation[me])
#define COMMITTED(p) ((p) < published && !skipped[(p) % RECORDS])
#define ROOM (published < retired + CAPACITY)

byte x;                                                /* scratch */

/* `retired` becomes p: everything before is finished, and it goes forward only */
inline set_retired(p) {
  d_step { assert(p >= retired && p <= published);
    x = retired;
    do :: x < p -> assert(skipped[x] || finished[x]); handed[x] = 0; finished[x] = 0; skipped[x] = 0; x++ :: else -> break od;
    x = 0;
    retired = p }                                      /* step: R:retired */
}
/* The count of the record at p, the front. Until `leased_to` says that nothing is open, a death counts once more. */
inline count_front(p, n) {
#ifndef M_POSITION_BEFORE_COUNT
  if :: takeover_retired != p -> takeover_count = 0 :: else fi;              /* step: xcount.none */
#endif
  takeover_retired = p;                                /* step: xcount.position */
  d_step { takeover_count = n; counting = 1; doubt++ } /* step: xcount.count */
}
inline nothing_open(p) { d_step { leased_to = p; if :: counting -> counting = 0; doubt-- :: else fi } }
inline lock_group() {
  TAKE(group, me);
  group.died = 0                                       /* an exclusive group has nothing to mend */
}

proctype Producer() MORTAL {
  byte r, i, at;
end:
  do
  :: published < RECORDS && ROOM -> atomic { if :: skipped[published] = 1 :: skipped[published] = 0 fi; published++ }
  :: published < RECORDS && !ROOM && published > retired && skipped[retired] && ABSENT_OR_DEAD(owner_row, owner_inc) && group.holder == 0 ->
     d_step { r = owner_row; i = owner_inc };          /* step: A:takeover; room.cpp: a turn */
     if
     :: ABSENT_OR_DEAD(r, i) ->
        atomic { group.holder == 0 -> group.holder = 9; group.died = 0 };
        if
#ifdef M_PASS_NO_RECHECK
        :: true ->
#else
        :: owner_row == r && owner_inc == i ->
#endif
           d_step { at = retired; do :: at < published && skipped[at] -> at++ :: else -> break od };
           set_retired(at)
        :: else
        fi;
        GIVE(group)
     :: else
     fi;
     d_step { r = 0; i = 0; at = 0 }
  od
}

proctype Consumer(byte me) MORTAL {
  byte r, i, position, one_by_one_to, counted_at, deliveries, to, first, middle, open, was, told, told_next;
  bit counting;
  do
  :: {
       d_step { running[me] = 1; attached[me] = 0; life[me] = 1 };
       d_step { incarnation[me] = incarnation[me] + 1; attached[me] = 1 };
       do                                              /* join */
       :: d_step { r = owner_row; i = owner_inc };     /* step: A:takeover */
          if
          :: !ABSENT_OR_DEAD(r, i) -> (owner_row != r || owner_inc != i || ABSENT_OR_DEAD(r, i))
          :: else ->
             lock_group();
             if
#ifdef M_JOIN_NO_RECHECK
             :: false -> skip
#else
             :: !(owner_row == r && owner_inc == i) -> GIVE(group)
#endif
             :: else -> break
             fi
          fi
       od;
       skip;
       d_step { position = retired; to = (r != NOBODY && leased_to > retired -> leased_to : retired);   /* step: A:leased_to */
         was = (takeover_count != 0 && takeover_retired == retired -> takeover_count : (again_to > retired -> 1 : 0));
         deliveries = (to > retired -> was + 1 : was); was = 0;
         one_by_one_to = (again_to > to -> again_to : to); to = 0;
         counted_at = position };
       if :: deliveries > 0 -> count_front(position, deliveries) :: else fi;
#ifdef M_AGAIN_TO_LATE
       nothing_open(position);
#endif
       again_to = one_by_one_to;                       /* step: xjoin.again_to */
#ifndef M_AGAIN_TO_LATE
       nothing_open(position);                         /* step: xjoin.leased_to, R:leased_to */
#endif
       d_step { owner_row = me; owner_inc = incarnation[me] };      /* step: xjoin.owner, R:takeover */
       GIVE(group);
       d_step { r = 0; i = 0; to = 0; was = 0 };
       do
       :: open == 0 && position < published && skipped[position] ->  /* nothing open: skipped records are finished */
          to = position;
          do :: to < published && skipped[to] -> to++ :: else -> break od;
          assert(MINE);
          set_retired(to);                             /* step: xconsumer.skipped */
          d_step { position = to; to = 0 }
#ifdef M_PASS_WITH_OPEN
       :: open == 1 && position < published && skipped[position] -> to = position + 1; set_retired(to); d_step { position = to; to = 0 }
#endif
       :: open < OPEN && (COMMITTED(position) || (open > 0 && position < published && skipped[position] && COMMITTED(position + 1))) ->
          to = position;
          do :: skipped[to] -> to++ :: else -> break od;
          to++;                                        /* one message, or two */
          if :: position >= one_by_one_to && COMMITTED(to) -> to++ :: true fi;
#ifndef M_LEASED_TO_LATE
          if :: to > leased_to -> d_step { leased_to = to; counting = 1; doubt++ } :: else fi;        /* step: xconsumer.leased_to, R:leased_to */
#endif
          d_step {                                     /* handed out, with the deliveries that are told */
            x = position;
            was = (position >= one_by_one_to -> 0 : (position == counted_at -> deliveries : 1));
            if :: counting -> counting = 0; doubt-- :: else fi;
            do
            :: x < to && !skipped[x] ->
               assert(was > 0 || handed[x] == 0);
               if
               :: x == retired -> assert(was <= handed[x] + doubt && (OPEN > 1 || was >= handed[x]))
               :: else -> assert(was <= 1)
               fi;
               assert(was == 0 || handed[x] + doubt > 0);
               handed[x]++; x++
            :: x < to && skipped[x] -> x++
            :: x == to -> break
            od;
            if :: open == 0 -> told = was :: else -> told_next = was fi;
            if :: open == 0 -> first = position; middle = to :: else fi;
            x = 0; was = 0; position = to; open++; to = 0 };
#ifdef M_LEASED_TO_LATE
          if :: position > leased_to -> leased_to = position :: else fi
#endif
       :: open > 0 ->                                  /* the oldest open lease is acked */
          assert(MINE);
          d_step { x = first; do :: x < middle -> finished[x] = 1; x++ :: else -> break od; x = 0; to = middle };
          set_retired(to);                             /* step: xconsumer.retired */
          d_step { open--; to = 0; if :: open == 0 -> first = 0; middle = 0 :: else -> first = middle; middle = position fi; told = told_next; told_next = 0 }
       :: open > 0 && requeues > 0 ->                  /* the oldest is given back, and so all: one at a time from now on */
          d_step { requeues--; position = (position > one_by_one_to -> position : one_by_one_to);
            one_by_one_to = position; counted_at = retired; deliveries = told + 1; told = 0; told_next = 0;
            open = 0; first = 0; middle = 0; position = retired };
          count_front(counted_at, deliveries);
#ifdef M_REQUEUE_AGAIN_LATE
          nothing_open(counted_at);
#endif
          again_to = one_by_one_to;                    /* step: xrequeue.again_to */
#ifndef M_REQUEUE_AGAIN_LATE
          nothing_open(counted_at)                     /* step: xrequeue.done */
#endif
       :: open == 0 && retired == RECORDS -> break
       :: open == 0 && births > 0 -> births--; break   /* leaves, to be followed */
       od;
       skip;
       lock_group();
       if :: MINE -> d_step { owner_row = NOBODY; owner_inc = 0 } :: else fi;   /* step: leave.xconsumer, R:takeover */
       GIVE(group);
       attached[me] = 0;                               /* step: detach.cleared */
       goto gone
     } unless { killed[me] };
     goto dead;
gone: skip; d_step { killed[me] = 1; last_killed[me] = incarnation[me] };
dead: skip; d_step { r = 0; i = 0; position = 0; one_by_one_to = 0; counted_at = 0; deliveries = 0; to = 0; first = 0; middle = 0; open = 0; was = 0; told = 0; told_next = 0; counting = 0; dying = 0 };
     if
     :: !running[me] && retired == RECORDS -> break
     :: atomic { !running[me] && retired < RECORDS -> killed[me] = 0 }
     fi
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
  atomic { run Producer(); run Consumer(0); run Consumer(1); run Kernel() };
  timeout;
  assert(published == RECORDS && retired == RECORDS && group.holder == 0)
}
