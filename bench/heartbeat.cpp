// SPDX-License-Identifier: Apache-2.0

// The heartbeat beside its floor, the bare instructions, and beside what people
// use today. Each row is the cost for one process to say once that it is alive;
// `/processes:2` is the same while another process does it as well, in the same
// table.
//
// There are two kinds of beat, and each has a floor of its own. A beat in a
// millisecond that has its beat already reads the clock and one word: `beat`,
// over `floor_clock`. A beat in a new millisecond also swaps the word:
// `beat_swap`, over `floor_cas_clock`, and `beat_at`, which is handed the time,
// over `floor_cas`.

#include "node.hpp"
#include "signals.hpp"

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <optional>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

namespace
{

using bench::coarse_ms;

// A row of a table, for two processes.
struct alignas(bench::line) padded {
    std::atomic<std::uint64_t> word{0};
};
struct unpadded {
    std::atomic<std::uint64_t> word{0};
};

template <class Row>
struct rows {
    std::array<Row, 2> of{};
};

// A row of one process, and one of two.
class alone_and_together
{
public:
    alone_and_together(const char *name, void (*run)(benchmark::State &, int))
    {
        const std::string together = name + std::string("/processes:2");

        benchmark::RegisterBenchmark(name, run, 1);
        benchmark::RegisterBenchmark(together.c_str(), run, 2);
    }
};

// Measures act(0), alone or with another process doing act(1).
template <class Act>
void measure(benchmark::State &state, int processes, Act act)
{
    std::optional<bench::companion> other;

    if (processes == 2) {
        other.emplace([&] { act(1); });
    }
    for (auto _ : state) {
        act(0);
    }
}

// --------------------------------------------------------------- the floor

void floor_store(benchmark::State &state, int processes)
{
    auto &table = bench::shared<rows<padded>>();

    measure(state, processes, [&](int i) {
        table.of[i].word.store(1, std::memory_order_relaxed);
        benchmark::ClobberMemory();
    });
}
const alone_and_together floor_store_rows("floor_store", floor_store);

template <class Row>
void swap(Row &row, std::uint64_t next)
{
    std::uint64_t seen = row.word.load(std::memory_order_relaxed);

    benchmark::DoNotOptimize(row.word.compare_exchange_strong(
        seen, next, std::memory_order_relaxed));
}

// A swap of a word on a line of its own, to another value each time.
void floor_cas(benchmark::State &state, int processes)
{
    auto &table = bench::shared<rows<padded>>();
    std::uint64_t next = 0;

    measure(state, processes, [&](int i) { swap(table.of[i], ++next); });
}
const alone_and_together floor_cas_rows("floor_cas", floor_cas);

// The same on a line on which another process has a row, too.
void floor_cas_unpadded(benchmark::State &state, int processes)
{
    auto &table = bench::shared<rows<unpadded>>();
    std::uint64_t next = 0;

    measure(state, processes, [&](int i) { swap(table.of[i], ++next); });
}
const alone_and_together floor_cas_unpadded_rows("floor_cas_unpadded",
                                                 floor_cas_unpadded);

// The clock and a load, as in a beat in a millisecond that has its beat.
void floor_clock(benchmark::State &state, int processes)
{
    auto &table = bench::shared<rows<padded>>();

    measure(state, processes, [&](int i) {
        benchmark::DoNotOptimize(
            table.of[i].word.load(std::memory_order_relaxed) == coarse_ms());
    });
}
const alone_and_together floor_clock_rows("floor_clock", floor_clock);

// The clock and a swap, as in a beat in a millisecond of its own: to another
// value each time.
void floor_cas_clock(benchmark::State &state, int processes)
{
    auto &table = bench::shared<rows<padded>>();
    std::uint64_t ahead = 0;

    measure(state, processes,
            [&](int i) { swap(table.of[i], coarse_ms() + ++ahead); });
}
const alone_and_together floor_cas_clock_rows("floor_cas_clock",
                                              floor_cas_clock);

// ------------------------------------------------------------- the library

// Beats that run ahead of the clock, so that each is a swap, have nodes of
// their own: a beat with an earlier time would have to bring the record back.
constexpr int of_beat_at = 3, of_beat_swap = 4;

// Measures act(worker), alone or with another worker of the node doing it.
template <class Act>
void measure_worker(benchmark::State &state, int processes, Act act,
                    int workers = 2)
{
    const bench::node &node = bench::node::of(workers);
    std::optional<bench::companion> other;
    wm_worker *theirs = nullptr;

    if (processes == 2) {
        other.emplace([&] { act(theirs); }, [&] { theirs = node.join(); },
                      [&] { wm_worker_leave(theirs); });
    }
    for (auto _ : state) {
        act(node.worker());
    }
}

// A new time at each call, so that each is a swap.
void beat_at(benchmark::State &state, int processes)
{
    static std::uint64_t now = coarse_ms();

    measure_worker(
        state, processes, [](wm_worker *w) { wm_beat_at(w, ++now); },
        of_beat_at);
}
const alone_and_together beat_at_rows("beat_at", beat_at);

// As a server calls it: most calls find that they have beaten in this
// millisecond.
void beat(benchmark::State &state, int processes)
{
    measure_worker(state, processes, [](wm_worker *w) { wm_beat(w); });
}
const alone_and_together beat_rows("beat", beat);

// The same if each call is a swap, as it is if there is less than one call in a
// tick of the coarse clock: a worker that beats once a second swaps each time.
void beat_swap(benchmark::State &state, int processes)
{
    static std::uint64_t ahead = 0;

    measure_worker(
        state, processes,
        [](wm_worker *w) { wm_beat_at(w, coarse_ms() + ++ahead); },
        of_beat_swap);
}
const alone_and_together beat_swap_rows("beat_swap", beat_swap);

// A note of 40 bytes; its floors are a copy of them to a line of one's own, and
// all that a note has to do: the clock, a swap, the copy, and a store.
constexpr char text[] = "GET /some/path/of/forty/letters?and=more";

struct alignas(bench::line) noted {
    std::atomic<std::uint64_t> word{0};
    char text[WM_NOTE_MAX]{};
};

void floor_copy(benchmark::State &state, int processes)
{
    auto &table = bench::shared<rows<noted>>();

    measure(state, processes, [&](int i) {
        std::memcpy(table.of[i].text, text, sizeof(text) - 1);
        benchmark::ClobberMemory();
    });
}
const alone_and_together floor_copy_rows("floor_copy", floor_copy);

void floor_note(benchmark::State &state, int processes)
{
    auto &table = bench::shared<rows<noted>>();
    std::uint64_t next = 0;

    measure(state, processes, [&](int i) {
        benchmark::DoNotOptimize(coarse_ms());
        swap(table.of[i], ++next);
        std::strncpy(table.of[i].text, text, sizeof(table.of[i].text));
        benchmark::ClobberMemory();
        table.of[i].word.store(++next, std::memory_order_release);
    });
}
const alone_and_together floor_note_rows("floor_note", floor_note);

void note(benchmark::State &state, int processes)
{
    measure_worker(state, processes, [](wm_worker *w) { wm_note(w, text); });
}
const alone_and_together note_rows("note", note);

// The cost of a beat does not grow with the table.
void beat_of(benchmark::State &state)
{
    wm_worker *const worker =
        bench::node::of(static_cast<int>(state.range(0))).worker();

    for (auto _ : state) {
        wm_beat(worker);
    }
}
BENCHMARK(beat_of)->Apply(bench::sizes);

// --------------------------------------------------------------- the peers

// A table under one lock, as people keep it in shared memory.
template <class Lock>
struct locked_rows {
    Lock lock;
    rows<padded> table;
};

template <class Lock>
void beat_under_lock(benchmark::State &state, int processes)
{
    auto &shared = bench::shared<locked_rows<Lock>>();

    measure(state, processes, [&](int i) {
        shared.lock.lock();
        shared.table.of[i].word.store(coarse_ms(), std::memory_order_relaxed);
        shared.lock.unlock();
    });
}

template <int Robust>
class shared_mutex
{
public:
    shared_mutex()
    {
        pthread_mutexattr_t a;

        pthread_mutexattr_init(&a);
        pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&a, Robust);
        pthread_mutex_init(&mutex_, &a);
    }

    void lock() { pthread_mutex_lock(&mutex_); }
    void unlock() { pthread_mutex_unlock(&mutex_); }

private:
    pthread_mutex_t mutex_;
};

class shared_rwlock
{
public:
    shared_rwlock()
    {
        pthread_rwlockattr_t a;

        pthread_rwlockattr_init(&a);
        pthread_rwlockattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
        pthread_rwlock_init(&lock_, &a);
    }

    void lock() { pthread_rwlock_wrlock(&lock_); }
    void unlock() { pthread_rwlock_unlock(&lock_); }

private:
    pthread_rwlock_t lock_;
};

// A lock as in php-fpm, and as in nginx if that has atomics.
class spinlock
{
public:
    void lock()
    {
        for (int spins = 0; flag_.exchange(1, std::memory_order_acquire);) {
            if (++spins == 2048) {
                spins = 0;
                sched_yield();
            }
        }
    }
    void unlock() { flag_.store(0, std::memory_order_release); }

private:
    alignas(bench::line) std::atomic<int> flag_{0};
};

const alone_and_together
    mutex_rows("peer_mutex",
               beat_under_lock<shared_mutex<PTHREAD_MUTEX_STALLED>>);
const alone_and_together
    robust_rows("peer_robust_mutex",
                beat_under_lock<shared_mutex<PTHREAD_MUTEX_ROBUST>>);
const alone_and_together rwlock_rows("peer_rwlock",
                                     beat_under_lock<shared_rwlock>);
const alone_and_together spinlock_rows("peer_spinlock_table",
                                       beat_under_lock<spinlock>);

// As gunicorn does it: sets the time of a file in memory.
void peer_futimens(benchmark::State &state)
{
    const std::string path =
        bench::node::of(2).directory() + std::string("/beat");
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    bench::check(fd < 0 ? -errno : unlink(path.c_str()), "open");
    for (auto _ : state) {
        futimens(fd, nullptr);
    }
    close(fd);
}
BENCHMARK(peer_futimens);

// As sd_notify(3) tells systemd's watchdog: sends a datagram, by a socket of
// its own each time, to a supervisor, which wakes.
void peer_datagram(benchmark::State &state)
{
    static const char word[] = "WATCHDOG=1";
    const timeval patience = {0, 10000}; // then it looks for the end
    const std::string path =
        bench::node::of(2).directory() + std::string("/notify");
    const int supervised = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address = {AF_UNIX, {}};
    auto *const a = reinterpret_cast<sockaddr *>(&address);

    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    bench::remove_on_signal(path);
    bench::check(bind(supervised, a, sizeof(address)) == 0 ? 0 : -errno,
                 "bind");
    setsockopt(supervised, SOL_SOCKET, SO_RCVTIMEO, &patience,
               sizeof(patience));
    {
        const bench::companion supervisor([&] {
            char room[64];
            recv(supervised, room, sizeof(room), 0);
        });
        for (auto _ : state) {
            const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

            sendto(fd, word, sizeof(word) - 1, MSG_NOSIGNAL, a,
                   sizeof(address));
            close(fd);
        }
    }
    close(supervised);
    unlink(path.c_str());
}
BENCHMARK(peer_datagram);

} // namespace
