/* SPDX-License-Identifier: Apache-2.0 */

/* Runs the checks of a program.
 *
 *   PROGRAM                    each, with the sites that its threads have met
 *   PROGRAM CHECK SITE ORDER   this one, with the site weakened: FUNCTION FIELD
 *                              OPERATION, in one argument
 *
 * A check searches all interleavings, or those with so many switches away from
 * a thread that could go on, in which a load may be stale by one store; then
 * random ones, in which a load may be stale by two. WM_RELACY_LONG=1: with one
 * switch more, and a hundred times as many. */

#include "world.hpp"

site met[100], weakened;
size_t met_count;
bool is_playing;

static const check *current;

/* One suite for all checks, since each costs the compiler seconds. */
template <int THREADS>
struct stage : rl::test_suite<stage<THREADS>, THREADS> {
    alignas(16) char room[ROOM];
    world *scene;

    stage() : scene(current->make(room)) {}
    ~stage() { scene->~world(); }
    void before() { scene->before(); }
    void after()
    {
        is_playing = false;
        scene->after();
    }
    void thread(unsigned i)
    {
        is_playing = true;
        scene->thread(i);
    }
};

/* How many interleavings, or 0 and what relacy says against it. */
static rl::iteration_t search(rl::scheduler_type_e type, unsigned switches,
                              bool is_long, const char **said)
{
    std::ostream nowhere(nullptr);
    rl::test_params p;

    p.search_type = type;
    p.context_bound = switches;
    p.iteration_count = is_long ? 2000000 : 20000; /* random ones */
    p.execution_depth_limit = 4000;
    p.output_stream = p.progress_stream = &nowhere;
    if (current->threads == 2 ? rl::simulate<stage<2>>(p)
                              : rl::simulate<stage<3>>(p)) {
        return p.stop_iteration;
    }
    *said = rl::test_result_str(p.test_result);
    return 0;
}

static void run_check()
{
    const bool all = current->switches == ALL;
    const bool is_long = getenv("WM_RELACY_LONG") != nullptr;
    const int switches = all ? ALL : current->switches + is_long;
    const char *said = "green";
    rl::iteration_t searched = search(all ? rl::sched_full : rl::sched_bound,
                                      (unsigned)switches, is_long, &said);

    if (searched != 0) {
        search(rl::sched_random, 0, is_long, &said);
    }
    printf("check\t%s\t%s\t%u threads, %s switches: %llu\n", current->name,
           said, current->threads,
           all ? "any" : std::to_string(switches).c_str(),
           (unsigned long long)searched);
}

static check *first, **last = &first;

int add_check(check *c)
{
    *last = c;
    last = &c->next;
    return 0;
}

int main(int argc, char **argv)
{
    int what = LOAD, order = rl::mo_relaxed;

    setvbuf(stdout, nullptr, _IOLBF, 0);
    if (argc == 4) {
        sscanf(argv[2], "%63s %31s %d", weakened.function, weakened.field,
               &what);
        while (strcmp(rl::format((rl::memory_order)order), argv[3]) != 0) {
            order++;
        }
        weakened.what = (operation)what;
        weakened.order = (rl::memory_order)order;
    }
    for (current = first; current != nullptr; current = current->next) {
        if (argc > 1 && strcmp(current->name, argv[1]) != 0) {
            continue;
        }
        met_count = 0;
        run_check();
        for (site *s = met; s < met + met_count; s++) {
            printf("site\t%s\t%s %s %d\t%s\n", current->name, s->function,
                   s->field, s->what, rl::format(s->order));
        }
    }
    return 0;
}
