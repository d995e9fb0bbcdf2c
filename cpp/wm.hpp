// SPDX-License-Identifier: Apache-2.0

/// @file
/// The C++20 face of libwm: owners that release, and errors that cannot be
/// overlooked. It maps wm.h one to one and hides nothing; wm.h is the reference
/// for what each call does, which process may make it, and when. Each call here
/// names the C function that it maps, and says what it adds to that.
///
///     wm::node            owns an attach, or a read-only open, of a node
///     wm::generation      owns a life of the configuration in its master
///     wm::worker          owns this process's record; leaves when destroyed
///     wm::lifecycle_lock  the node's lock, a standard TimedLockable
///     wm::node_ref, wm::worker_ref
///                         the same calls, on a handle of another owner
///     wm::snapshot        the workers at one moment, as a vector
///
/// **Errors.** Each call that can fail has two forms. One throws wm::error, a
/// std::system_error with wm::category(). The other fills a std::error_code&,
/// its last parameter, and is noexcept; it clears the code if it succeeds. A
/// condition is no error: the call returns it, as wm::condition.
///
/// **Owners** move and do not copy.
///  - An owner is empty if it was made without arguments, moved from, closed or
///    released, or if the call that made it has failed. An empty owner is
///    false; it can be closed, assigned to and destroyed, and nothing else.
///  - close() gives up what is owned, and has the two forms of each call; on an
///    empty owner it does nothing. It leaves the owner empty, also if it fails,
///    with one exception: after std::errc::resource_deadlock_would_occur of a
///    monitor or a subscription nothing was given up.
///  - The destructor does the same as close(), and so does an assignment for
///    what the owner had before; they report no error.
///  - A move leaves the other owner empty; a move to itself changes nothing.
///
/// A generation, worker or lock may not outlive its node: declare them after
/// it.
///
/// **References** (`*_ref`) are as large as a pointer and own nothing. An owner
/// that has a name converts to one by itself; a raw pointer converts only if
/// the program says so; an owner that ends with the expression never does.
///
/// **Facts** are the structs of wm.h, in vectors. wm::at() makes a time of a
/// member, wm::state() an enum.
///
/// **Fork.** A child has copies of its parent's owners. The owner of the node
/// is good there. Those of a worker, a generation or a held lock do nothing
/// when they are destroyed, and the worker's calls fail with
/// std::errc::no_child_process, or with ESTALE, for which std::errc has no
/// name.
///
/// **Constness** is that of wm.h: any thread may call a const function at any
/// time, and may beat; only one thread at a time may call the other functions
/// of a node.
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
