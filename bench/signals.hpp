// SPDX-License-Identifier: Apache-2.0

// The end of the program by a signal: no file and no process of it is left. If
// it is killed, its processes end as well, and bench.py removes the files.

#ifndef WM_BENCH_SIGNALS_HPP
#define WM_BENCH_SIGNALS_HPP

#include <string>
#include <sys/types.h>

namespace bench
{

// From here on a signal that asks for the end removes the files first.
void answer_signals();

// It then removes this file or empty directory as well, last named first.
void remove_on_signal(const std::string &path);

// It then first ends this process, and waits for it. 0: none.
void end_on_signal(pid_t pid);

// Called by a child: this signal ends it when its parent ends. SIGTERM lets one
// that answers signals remove its files.
void end_with(pid_t parent, int number);

} // namespace bench

#endif
