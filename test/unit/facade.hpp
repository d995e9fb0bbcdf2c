// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// What the tests of the C++ facade share: nodes of their own, calls that throw,
// and children that answer or die.

#ifndef WM_TEST_FACADE_HPP
#define WM_TEST_FACADE_HPP

#include "wm.hpp"

#include <csetjmp>
#include <csignal>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {
#include <cmocka.h>
}

// The one of the library's errors that std::errc has no name for.
inline const std::error_condition stale(ESTALE, std::generic_category());

inline std::string instance()
{
    return "test-facade-" + std::to_string(getpid());
}

inline wm::node attach(const std::string &name)
{
    return wm::node::attach({.instance = name.c_str(), .capacity = 4});
}

// Gives the end of the generation out, so that nothing is left to tell.
inline void finish(wm::node &n, wm::worker &w)
{
    w.drain();
    n.close_generation(w.generation());
    while (n.take_exit(w.generation())) {
    }
}

template <class Call>
std::error_code thrown_by(Call call)
{
    try {
        call();
    } catch (const wm::error &e) {
        return e.code();
    }
    return {};
}

// Runs what returns whether it went well in a child.
template <class Call>
bool child_says(Call call)
{
    int status = -1;
    const pid_t child = fork();

    if (child == 0) {
        _exit(call() ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status == 0;
}

inline bool is_none(wm::condition c)
{
    return c == wm::condition::none;
}

// A worker in a child that dies by SIGKILL; the node owes its crash.
inline void crash_one(wm::node &n, std::uint64_t generation)
{
    const pid_t child = fork();

    if (child == 0) {
        wm::worker w = wm::worker::join(n, generation);

        w.start();
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, nullptr, 0), child);
}

#endif
