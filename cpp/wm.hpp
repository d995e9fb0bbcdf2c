// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

/// @file
/// The C++20 face of libwm: owners that release, and errors that cannot be
/// overlooked. It maps wm.h one to one and hides nothing; wm.h is the reference
/// for what each call does, which process may make it, and when. Each call here
/// names the function of C that it maps, and says what it adds to that.
///
///     wm::node            owns an attach, or a read-only open, of a node
///     wm::generation      owns a life of the configuration in its master
///     wm::worker          owns this process's record; leaves when destroyed
///     wm::lifecycle_lock  the node's lock, a standard TimedLockable
///     wm::node_ref, wm::worker_ref
///                         the same calls on what another owner releases
///     wm::snapshot        the workers at one moment, as a vector
///
/// **Errors.** Each call that can fail has two forms. One throws wm::error, a
/// std::system_error with wm::category(). The other fills a std::error_code&,
/// its last parameter, and is noexcept; it clears the code where all went well.
/// A condition is no error: the call returns it, as wm::condition.
///
/// **Owners** move and do not copy.
///  - An owner is empty when it was made without arguments, moved from, closed
///    or released, or when the call that made it has failed. It is false then,
///    and only closing, assigning and destroying it make sense.
///  - close() gives up what is owned, in the two forms of each call; on an
///    empty owner it does nothing. It leaves the owner empty, also where it
///    fails, but for std::errc::resource_deadlock_would_occur of a monitor or
///    a subscription: then nothing was given up.
///  - The destructor, and an assignment for what the owner had before, do the
///    same as close() and say nothing of it.
///  - A move leaves the other empty, and of oneself changes nothing.
///
/// A generation, worker or lock may not outlive its node: declare them after
/// it.
///
/// **References** (`*_ref`) are as large as a pointer and own nothing. An owner
/// that has a name becomes one by itself; a raw pointer only where the program
/// says so; an owner that ends with the expression never.
///
/// **Facts** are the structs of wm.h, in vectors. wm::at() makes a time of one
/// of their members, wm::state() an enum.
///
/// **Fork.** A child has copies of its parent's owners. The node's is good
/// there; those of a worker, a generation or a held lock do nothing when
/// destroyed, and the worker's calls fail with std::errc::no_child_process, or
/// with ESTALE, which std::errc has no name for.
///
/// **Constness** is that of wm.h: what is const here may be called by any
/// thread at any time, and so may the beats; the rest by one thread at a time
/// for each node.
///
/// **Times** are std::chrono's. The library's clock is CLOCK_MONOTONIC, which
/// on Linux is std::chrono::steady_clock.

#ifndef WM_HPP
#define WM_HPP

#include <wm/facts.hpp>
#include <wm/generation.hpp>
#include <wm/lock.hpp>
#include <wm/node.hpp>
#include <wm/node_ref.hpp>
#include <wm/result.hpp>
#include <wm/steps.hpp>
#include <wm/time.hpp>
#include <wm/worker.hpp>
#include <wm/worker_ref.hpp>

#endif
