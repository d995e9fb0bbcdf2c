// SPDX-License-Identifier: Apache-2.0

/// @file
/// The whole C++20 face of libwm and libwm-monitor: wm.hpp and wm/monitor.hpp.

#ifndef WM_MONITOR_HPP
#define WM_MONITOR_HPP

#include <wm.hpp>
#include <wm/monitor.hpp>

#endif
