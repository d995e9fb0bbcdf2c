/* SPDX-License-Identifier: Apache-2.0 */

/* The lead: one worker at a time, by terms that grow, whatever becomes of
 * it. */

#include "inside.h"

/* It leads, from now on or still. */
static void assert_leads(struct process *p, uint32_t term)
{
    assert_int_equal(call(p, do_stand, 0), 1);
    assert_int_equal(p->seen->leader.term, term);
    assert_int_equal(p->seen->leader.pid, p->pid);
}

/* It does not; a leader, if there is one, has this pid. */
static void assert_led_by(struct process *p, pid_t pid, uint32_t term)
{
    assert_int_equal(call(p, do_stand, 0), 0);
    assert_int_equal(p->seen->leader.pid, pid);
    assert_int_equal(p->seen->leader.term, term);
}

NODE_TEST(the_first_worker_that_asks_leads_and_stays_and_no_helper_does)
{
    struct process *a = new_worker(generation), *b = new_worker(generation);

    assert_led_by(new_helper(generation), 0, 0);
    assert_int_equal(leader_now().term, 0);
    assert_int_equal(leader_now().generation, 0);
    assert_leads(b, 1);
    assert_led_by(a, b->pid, 1);
    assert_leads(b, 1);
    assert_int_equal(leader_now().pid, b->pid);
    assert_int_equal(leader_now().generation, generation);
    assert_int_equal(leader_now().mine, 0);
}

NODE_TEST(a_worker_that_drains_leads_no_more)
{
    struct process *a = new_worker(generation), *b = new_worker(generation);

    assert_leads(a, 1);
    assert_ok(call(a, do_drain, 0));
    assert_int_equal(leader_now().generation, 0);
    assert_int_equal(leader_now().term, 1);
    assert_led_by(a, 0, 1);
    assert_leads(b, 2);
    assert_led_by(a, b->pid, 2);
    assert_ok(call(a, do_leave, 0)); /* it gives up no lead but its own */
    assert_leads(b, 2);
}

NODE_TEST(a_dead_leader_is_followed_once_it_is_found)
{
    struct process *a = new_worker(generation), *b = new_worker(generation);
    pid_t pid = a->pid;

    assert_leads(a, 1);
    process_kill(a);
    assert_led_by(b, pid, 1);
    assert_true(sweep() > 0);
    assert_leads(b, 2);
}

NODE_TEST(a_newborn_leaves_the_lead_to_those_that_have_lived_for_an_interval)
{
    struct process *b;

    new_worker(generation);
    b = new_worker(generation);
    record(0)->joined_at -= 5000;
    record(1)->joined_at += 5000;
    assert_led_by(b, 0, 0);
    record(1)->joined_at -= 10000; /* and not for ever */
    assert_leads(b, 1);
}

NODE_TEST(a_replacement_in_the_same_slot_does_not_inherit)
{
    struct process *a = new_only_worker(), *b;

    assert_leads(a, 1);
    process_kill(a);
    sweep();
    take(CRASHED);
    b = new_process();
    assert_ok(call(b, do_join, generation));
    assert_int_equal(call(b, do_stand, 0), 0); /* not live yet */
    assert_ok(call(b, do_start, 0));
    assert_leads(b, 2);
    assert_int_equal(b->seen->leader.slot, 0);
}

NODE_TEST(a_newer_generation_takes_the_lead_and_no_older_one_a_free_lead)
{
    struct process *a = new_worker(generation), *b;
    uint64_t next;

    assert_leads(a, 1);
    next = begin();
    assert_leads(a, 1); /* only begun: nobody else is live */
    b = new_worker(next);
    assert_leads(b, 2);
    assert_led_by(a, b->pid, 2);
    /* And an older one steps in where the newer has nobody left. */
    assert_ok(call(b, do_drain, 0));
    assert_leads(a, 3);
    assert_ok(call(a, do_drain, 0));
    a = new_worker(generation);
    b = new_worker(next);
    assert_led_by(a, 0, 3);
    assert_leads(b, 4);
}

NODE_TEST(a_stalled_leader_loses_the_lead_and_does_not_know_better)
{
    struct process *a = new_worker(generation), *b = new_worker(generation);

    assert_leads(a, 1);
    stall(a);
    assert_int_equal(call(a, do_stand, 0), 0);
    assert_leads(b, 2);
    assert_int_equal(call(a, do_beat, 0), WM_RECOVERED);
    assert_led_by(a, b->pid, 2);
    assert_leads(b, 2);
}
