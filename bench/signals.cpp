// SPDX-License-Identifier: Apache-2.0

#include "signals.hpp"

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bench
{

namespace
{

// The handler may not allocate, nor wait for a lock: it finds strings that
// stay, in an array that only grows.
std::array<const char *, 256> paths;
std::atomic<std::size_t> count{0};
std::atomic<pid_t> child{0};
pid_t self = 0;

void answer(int number)
{
    // A forked child has the handler, too, and none of the files.
    if (getpid() != self) {
        _exit(128 + number);
    }
    if (const pid_t pid = child; pid > 0) {
        kill(pid, SIGTERM);
        waitpid(pid, nullptr, 0);
    }
    for (std::size_t i = count; i-- > 0;) {
        unlink(paths[i]);
        rmdir(paths[i]);
    }
    _exit(128 + number);
}

} // namespace

void answer_signals()
{
    struct sigaction action {
    };

    self = getpid();
    action.sa_handler = answer;
    // One at a time: the second would find half of the work done.
    for (const int number : {SIGHUP, SIGINT, SIGTERM}) {
        sigaddset(&action.sa_mask, number);
    }
    for (const int number : {SIGHUP, SIGINT, SIGTERM}) {
        sigaction(number, &action, nullptr);
    }
}

void remove_on_signal(const std::string &path)
{
    const std::size_t at = count;

    if (at < paths.size()) {
        paths[at] = strdup(path.c_str());
        count = at + 1;
    }
}

void end_on_signal(pid_t pid)
{
    child = pid;
}

void end_with(pid_t parent, int number)
{
    prctl(PR_SET_PDEATHSIG, number);
    if (getppid() != parent) {
        _exit(1); // it was gone before the kernel was told
    }
}

} // namespace bench
