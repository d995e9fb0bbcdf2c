// SPDX-License-Identifier: Apache-2.0

// A crowd that waits for the lock: how long until the next of them has it, if
// it is given back and if its holder dies, and what the waiters cost meanwhile.
// Beside it the kernel's own way, a robust mutex.

#include "node.hpp"
#include "scenario.hpp"

#include <algorithm>
#include <csignal>
#include <fstream>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

namespace
{

// The lifecycle lock, which orders the callbacks of a node.
class lifecycle_lock
{
public:
    // Those that wait are workers, which beat meanwhile.
    void enter() { home_.join(generation_); }
    void acquire()
    {
        wm_lock_options options{};

        options.size = sizeof(options);
        options.purpose = 1; // a program's own: no start, which goes first
        bench::check(wm_lock_acquire(home_.handle(), &options), "lock");
    }
    void release() { wm_lock_release(home_.handle()); }

private:
    bench::home home_{"crowd", 2048};
    std::uint64_t generation_ = home_.begin();
};

class robust_mutex
{
public:
    robust_mutex()
    {
        pthread_mutexattr_t a;

        pthread_mutexattr_init(&a);
        pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
        pthread_mutex_init(&mutex_, &a);
    }

    void enter() {}
    void acquire()
    {
        if (pthread_mutex_lock(&mutex_) == EOWNERDEAD) {
            pthread_mutex_consistent(&mutex_);
        }
    }
    void release() { pthread_mutex_unlock(&mutex_); }

private:
    pthread_mutex_t &mutex_ = bench::shared<pthread_mutex_t>();
};

// A process that has the lock, and since when.
struct holding {
    pid_t pid;
    std::uint64_t since;
};

// The state of a process, as /proc has it.
char state_of(pid_t pid)
{
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string text;

    std::getline(file, text);
    const auto name = text.rfind(')');
    return name + 2 < text.size() ? text[name + 2] : '?';
}

double cpu_ns(const std::vector<pid_t> &pids)
{
    double sum = 0;

    for (const pid_t pid : pids) {
        double ran = 0;

        std::ifstream("/proc/" + std::to_string(pid) + "/schedstat") >> ran;
        sum += ran;
    }
    return sum;
}

void rest_ms(long ms)
{
    const timespec t = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&t, nullptr);
}

// Processes that all wait for the lock, which the caller has. Each tells when
// it gets it. The first ones give it back; the others keep it.
template <class Lock>
class crowd
{
public:
    crowd(Lock &lock, int count, int giving)
    {
        left_ = giving;
        int ready[2];

        bench::check(pipe(ready) | pipe(told_) ? -errno : 0, "pipe");
        for (int i = 0; i < count; i++) {
            pids_.push_back(bench::spawn([&] {
                lock.enter();
                bench::say_ready(ready[1]);
                lock.acquire();
                hold(lock);
                return 0;
            }));
        }
        bench::await(ready[0], count);
        close(ready[0]);
        close(ready[1]);
        // Such a process now waits for the lock.
        for (const pid_t pid : pids_) {
            while (state_of(pid) != 'S') {
                rest_ms(1);
            }
        }
    }

    ~crowd() { bench::end_all(pids_); }
    crowd(const crowd &) = delete;
    crowd &operator=(const crowd &) = delete;

    // The next that has the lock and keeps it.
    holding next() const
    {
        holding h{};

        if (read(told_[0], &h, sizeof(h)) != sizeof(h)) {
            bench::fail("crowd", "nobody gets the lock");
        }
        return h;
    }

    // Kills one of them.
    void kill_one(pid_t pid)
    {
        std::erase(pids_, pid);
        bench::end_all({pid});
    }

    const std::vector<pid_t> &pids() const { return pids_; }

private:
    // It does not end after that, since the end of a process is work that the
    // next one would wait for.
    void hold(Lock &lock)
    {
        const holding h = {getpid(), bench::now_ns()};

        if (left_.fetch_sub(1) > 0) {
            lock.release();
        } else if (write(told_[1], &h, sizeof(h)) != sizeof(h)) {
            _exit(1);
        }
        for (;;) {
            pause();
        }
    }

    struct shared_count {
        std::atomic<int> left;
    };
    std::atomic<int> &left_ = bench::shared<shared_count>().left;
    std::vector<pid_t> pids_;
    int told_[2] = {-1, -1};
};

// From one holder to the next: the mean of some in a row, while so many others
// wait.
template <class Lock>
bench::figures hand_over(int waiters)
{
    constexpr int handovers = 16;
    Lock lock;

    lock.acquire();
    const crowd<Lock> waiting(lock, waiters + handovers, handovers - 1);
    const auto began = bench::now_ns();
    lock.release();
    const auto took = waiting.next().since - began;

    return {{"time", static_cast<double>(took) / handovers}};
}

// From the end of a holder to the next: the median and the worst of some. And
// the share of a core that all waiters use while a holder lives.
template <class Lock>
bench::figures outlive(int waiters)
{
    constexpr int deaths = 10;
    constexpr long ms = 2000;
    std::vector<double> took;
    Lock lock;

    lock.acquire();
    crowd<Lock> waiting(lock, waiters + deaths + 1, 0);
    const double used = cpu_ns(waiting.pids());
    const auto began = bench::now_ns();
    rest_ms(ms);
    const double share = (cpu_ns(waiting.pids()) - used) /
                         static_cast<double>(bench::now_ns() - began);

    lock.release();
    for (pid_t holder = waiting.next().pid;
         took.size() < static_cast<std::size_t>(deaths);) {
        const auto died = bench::now_ns();

        waiting.kill_one(holder);
        const holding h = waiting.next();
        took.push_back(static_cast<double>(h.since - died));
        holder = h.pid;
    }
    return {{"time", bench::median(took)},
            {"worst_ns", *std::max_element(took.begin(), took.end())},
            {"cores", share}};
}

template <class Lock>
void add(const std::string &prefix, int waiters)
{
    const auto of = "/" + std::to_string(waiters);

    bench::scenario(prefix + "handover" + of,
                    [=] { return hand_over<Lock>(waiters); });
    bench::scenario(prefix + "dead_holder" + of,
                    [=] { return outlive<Lock>(waiters); });
}

const bool registered = [] {
    for (const int waiters : {16, 256, 1000}) {
        add<lifecycle_lock>("lock_", waiters);
        add<robust_mutex>("peer_robust_mutex_", waiters);
    }
    return true;
}();

} // namespace
