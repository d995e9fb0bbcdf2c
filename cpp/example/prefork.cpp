// SPDX-License-Identifier: Apache-2.0

// prefork: an HTTP server of several processes, on libwm. A master holds the
// listening socket and forks workers; each serves in one event loop. HUP starts
// a generation, which takes over when all its workers are up; TERM and INT end
// the server when its connections have ended. (1) to (9): README.md.

#include <wm.hpp>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <netinet/in.h>
#include <ranges>
#include <sstream>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace
{

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

struct {
    const char *instance = "prefork";
    int port = 0; // any that is free; on 127.0.0.1
    int workers = 2;
    pid_t master = getpid();
    int beat_ms = 500;
    std::chrono::milliseconds drain = 30s; // connections have so long to end
} settings;

// A line of the log, in one write.
template <class... Part>
void say(const Part &...part)
{
    std::ostringstream line;

    ((line << "prefork[" << getpid() << "]: ") << ... << part) << '\n';
    std::cerr << line.str();
}

int checked(ssize_t result, const char *what)
{
    if (result < 0) {
        throw std::system_error(errno, std::generic_category(), what);
    }
    return static_cast<int>(result);
}

sigset_t signals; // all processes wait for these; blocked, so none is missed
constexpr timespec second = {1, 0};

// (7) A callback gets each event once, from one process, under the lock.
void report(const wm_event &e)
{
    const char *const how[] = {"", "dead generation of", "crashed", "stalled"};
    if (e.kind <= WM_EVENT_STALLED) {
        say(how[e.kind], ": process ", e.pid);
    } else if (e.kind == WM_EVENT_CRASHED_DRAINING) {
        say("crashed while it drained: process ", e.pid);
    } else if (e.kind == WM_EVENT_WORKER_EXIT) {
        say("drains, one of ", e.counts.mine);
    } else if (e.kind == WM_EVENT_WORKER_START) {
        say("starts in generation ", e.generation, " as number ",
            e.counts.mine);
    }
}

struct connection {
    std::string in;
    bool last = false; // the last answer is given
};

class worker_process
{
public:
    worker_process(wm::node_ref node, std::uint64_t generation, int listener)
        : node_(node), listener_(listener),
          // (3) From here on it is JOINING: no sibling takes itself for the
          // last. After four intervals without a beat it counts as stalled.
          worker_(wm::worker::join(node, generation,
                                   {.overdue = 4ms * settings.beat_ms}))
    {
        watch(EPOLL_CTL_ADD, signals_);
        watch(EPOLL_CTL_ADD, listener_, EPOLLET);

        // (4) Now it is LIVE, and its start is given, one process at a time. A
        // process that dies with the lock is no obstacle, and one that is stuck
        // is one for 5 s only: no state depends on the lock.
        wm::run_start(worker_, report, {.wait = 5s}, gone_);
        kill(settings.master, SIGUSR1); // the master may count again
    }

    void run()
    {
        epoll_event event;

        while (!draining_ || !connections_.empty()) {
            if (clock::now() >= beat_at_) {
                beat();
            }
            if (epoll_wait(epoll_, &event, 1, settings.beat_ms) == 1) {
                handle(event.data.fd);
            }
        }
        worker_.close(gone_); // it does not matter if a full table forgot it
        say("leaves");
    }

private:
    // (5) A thread would go on beating while this loop is stuck. tick() beats,
    // and once in an interval one worker also sweeps all others.
    void beat()
    {
        beat_at_ = clock::now() + 1ms * settings.beat_ms;
        if (worker_.tick(1ms * settings.beat_ms, gone_) ==
            wm::condition::recovered) {
            say("has recovered");
        }
        if (node_.events_owed() > 0) { // (7) of others
            node_.give_events(worker_, report);
        }
        if (!draining_) {
            take();
        } else if (clock::now() > deadline_) {
            connections_.clear(); // the end of the process closes them
        }
        // (6) Each worker stands for the lead. Over reloads and crashes one has
        // it, and does a job for one worker. If the job wrote anywhere, it
        // would hand the term along: a lower term is a former leader's.
        if (const wm_leader leader = worker_.stand(gone_);
            leader.mine && beats_++ % 4 == 0) {
            const auto live = std::ranges::count(
                node_.snapshot().workers, WM_LIVE, &wm_worker_info::state);
            say("leads, term ", leader.term, ": ", live, " workers are live");
        }
    }

    // (8) Takes no new connections but those that wait already: in a stop no
    // other worker takes them. It serves the open ones until they end.
    void drain()
    {
        draining_ = true;
        deadline_ = clock::now() + settings.drain;
        take();
        watch(EPOLL_CTL_DEL, listener_);
        close(listener_);

        // (9) Gives its exit. If several workers end at once, one of them gives
        // the end of the generation.
        const auto give = [](const wm_event &e) {
            e.kind == WM_EVENT_MASTER_EXIT
                ? say("generation ", e.generation, " ends")
                : report(e);
        };
        wm::run_exit(worker_, give, {.wait = 5s}, gone_);
    }

    void watch(int operation, int fd, unsigned more = 0)
    {
        epoll_event e = {.events = EPOLLIN | more, .data = {.fd = fd}};

        checked(epoll_ctl(epoll_, operation, fd, &e), "epoll_ctl");
    }

    // Of all idle workers that wake, one gets a connection. If none has a
    // descriptor for it, it wakes nobody again, and waits for a beat.
    void take()
    {
        for (int fd; (fd = accept4(listener_, 0, 0, SOCK_NONBLOCK)) >= 0;) {
            connections_[fd];
            watch(EPOLL_CTL_ADD, fd);
        }
    }

    void handle(int fd)
    {
        if (fd == signals_) {
            signalfd_siginfo info;

            checked(read(fd, &info, sizeof(info)), "signalfd");
            const auto n = info.ssi_signo;
            if (!draining_ && (n == SIGTERM || n == SIGINT)) {
                drain();
            }
        } else if (fd == listener_ && !draining_) {
            take();
        } else if (const auto c = connections_.find(fd);
                   c != connections_.end() && !serve(fd, c->second)) {
            connections_.erase(c);
            close(fd);
        }
    }

    // Answers the requests that are there; false if the connection has ended.
    bool serve(int fd, connection &c)
    {
        char room[4096];
        const ssize_t n = recv(fd, room, sizeof(room), 0);

        if (n <= 0 || c.last) { // after the last answer, only its end matters
            return n > 0 || (n < 0 && errno == EAGAIN);
        }
        c.in.append(room, static_cast<std::size_t>(n));
        const std::string out = answer(c);
        if (send(fd, out.data(), out.size(), 0) != std::ssize(out)) {
            return false; // the client asks and asks, and never reads
        }
        if (c.last) {
            shutdown(fd, SHUT_WR); // close() may destroy bytes on their way
        }
        return true;
    }

    // Answers all complete requests; here, none has a body. A worker that
    // drains tells the client to go elsewhere with the next: so none is lost.
    std::string answer(connection &c)
    {
        const auto body = "generation " + std::to_string(worker_.generation()) +
                          ", pid " + std::to_string(getpid()) + "\n";
        std::string out;

        for (std::size_t end;
             !c.last && (end = c.in.find("\r\n\r\n")) != std::string::npos;) {
            const char *close = strcasestr(c.in.c_str(), "connection: close");
            c.last = draining_ || (close && close < &c.in[end]);
            out += "HTTP/1.1 200 OK\r\nContent-Length: " +
                   std::to_string(body.size()) + "\r\n" +
                   (c.last ? "Connection: close\r\n\r\n" : "\r\n") + body;
            c.in.erase(0, end + 4);
        }
        c.last = c.last || c.in.size() > 16384; // no request is that long
        return out;
    }

    wm::node_ref node_;
    int listener_;
    int signals_ = checked(signalfd(-1, &signals, 0), "signalfd");
    int epoll_ = checked(epoll_create1(0), "epoll");
    wm::worker worker_;
    std::map<int, connection> connections_;
    clock::time_point beat_at_, deadline_;
    std::error_code gone_; // why it lost its record, if so; it serves on
    unsigned beats_ = 0;
    bool draining_ = false;
};

class master
{
public:
    master()
    {
        const auto port = htons(static_cast<std::uint16_t>(settings.port));
        sockaddr_in address = {AF_INET, port, {htonl(INADDR_LOOPBACK)}, {}};
        socklen_t length = sizeof(address);
        const int on = 1;
        auto *const a = reinterpret_cast<sockaddr *>(&address);

        if (const auto left = node_.postmortem().workers; left > 0) {
            say("last time, ", left, " were left");
        }
        // SIGPIPE: a client may go away, and so may the log's reader.
        for (int n : {SIGHUP, SIGTERM, SIGINT, SIGCHLD, SIGUSR1, SIGPIPE}) {
            sigaddset(&signals, n);
        }
        sigprocmask(SIG_BLOCK, &signals, nullptr);
        setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        checked(bind(listener_, a, length), "bind");
        checked(listen(listener_, SOMAXCONN), "listen");
        getsockname(listener_, a, &length);
        say("listens on 127.0.0.1:", ntohs(address.sin_port));
    }

    void run()
    {
        reload();
        while (!stopping_ || !children_.empty()) {
            if (!stopping_ && clock::now() >= fill_at_) {
                fill();
            }
            handle(sigtimedwait(&signals, nullptr, &second));
        }
        say("ends");
    }

private:
    // (2) The former one serves until all workers of this one are ready.
    void reload()
    {
        generation_ = wm::generation::begin(node_); // and read a configuration
        fill_at_ = clock::now();
    }

    // Forks the workers that the generation lacks, at most once in a second.
    void fill()
    {
        const auto there =
            std::ranges::count(std::views::values(children_), generation_.id());
        for (auto i = there; i < settings.workers; i++) {
            const pid_t pid = fork();
            if (pid == 0) {
                // _Exit, so that the child destroys nothing of its parent's.
                prctl(PR_SET_PDEATHSIG, SIGTERM);
                std::_Exit(getppid() == settings.master ? work() : 1);
            }
            fill_at_ = clock::now() + 1s;
            if (pid > 0) {
                children_[pid] = generation_.id();
            }
        }
    }

    int work() noexcept
    try {
        worker_process(node_, generation_.id(), listener_).run();
        node_.close();
        return 0;
    } catch (const std::exception &e) {
        say(e.what());
        return 1;
    }

    void handle(int signal)
    {
        if (signal == SIGHUP && !stopping_) {
            reload();
        } else if (signal == SIGUSR1 && !stopping_ &&
                   node_.counts(generation_.id()).mine >= settings.workers) {
            tell_those_before(generation_.id(), SIGTERM);
        } else if (signal == SIGCHLD) {
            for (int pid, status; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
                children_.erase(pid);
                node_.reaped(pid, status); // nobody has to find it
            }
            node_.give_events({}, report); // (7) the master may do it, too
        } else if ((signal == SIGTERM || signal == SIGINT) && !stopping_) {
            stopping_ = true;
            deadline_ = clock::now() + settings.drain + 5s;
            close(listener_);
            tell_those_before(UINT64_MAX, SIGTERM);
        } else if (stopping_ && clock::now() > deadline_) {
            tell_those_before(UINT64_MAX, SIGKILL);
        }
    }

    void tell_those_before(std::uint64_t id, int signal)
    {
        for (const auto &[pid, generation] : children_) {
            if (generation < id) {
                kill(pid, signal);
            }
        }
    }

    // (1) The node is made once, before the first fork; children inherit it.
    wm::node node_ = wm::node::attach({.instance = settings.instance});
    wm::generation generation_;
    int listener_ =
        checked(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), "socket");
    std::map<pid_t, std::uint64_t> children_; // and their generations
    clock::time_point fill_at_, deadline_;
    bool stopping_ = false;
};

} // namespace

int main(int argc, char **argv)
try {
    int *const to[] = {&settings.port, &settings.workers, &settings.beat_ms};
    const char *const names[] = {"PORT", "WORKERS", "BEAT_MS"};

    if (argc > 5 || (argc > 1 && *argv[1] == '-')) {
        std::cerr << "usage: prefork [INSTANCE [PORT [WORKERS [BEAT_MS]]]]\n";
        return argc == 2 && !strcmp(argv[1], "--help") ? 0 : 1;
    }
    settings.instance = argc > 1 ? argv[1] : settings.instance;
    for (int i = 2; i < argc; i++) {
        char *end;
        const long n = strtol(argv[i], &end, 10);

        if (*end != '\0' || n < (i > 2) || n > 65535) {
            say(names[i - 2], ": ", argv[i], " is not in ", i > 2, "..65535");
            return 1;
        }
        *to[i - 2] = static_cast<int>(n);
    }
    master().run();
    return 0;
} catch (const std::exception &e) {
    say(e.what());
    return 1;
}
