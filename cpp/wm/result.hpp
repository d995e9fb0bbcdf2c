// SPDX-License-Identifier: Apache-2.0

/// @file
/// The results of calls: conditions, error codes, exceptions.

#ifndef WM_RESULT_HPP
#define WM_RESULT_HPP

#include <wm.h>

#include <cerrno>
#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <system_error>

/// All of the facade.
namespace wm
{

/// The library's positive results. A caller must know them; none is an error.
/// Mirrors wm_condition.
enum class condition : int {
    none = 0,
    recovered = WM_RECOVERED, ///< from a dead holder, or from a stall
    is_worker = WM_IS_WORKER, ///< this process is a worker, nothing has begun
    closed = WM_CLOSED,       ///< this call did it
    unsettled = WM_UNSETTLED  ///< the data kept changing during the look
};

/// A sentence for a result of the C library or, cast, for a condition.
/// Maps wm_strerror().
inline const char *message(int result) noexcept
{
    return wm_strerror(result);
}

/// The library's negative results with their sign turned. They compare equal
/// to std::errc where that has a name for them.
inline const std::error_category &category() noexcept
{
    struct library_category final : std::error_category {
        const char *name() const noexcept override { return "libwm"; }

        std::string message(int value) const override
        {
            return wm_strerror(-value);
        }

        std::error_condition
        default_error_condition(int value) const noexcept override
        {
            return {value, std::generic_category()};
        }
    };
    static const library_category instance;

    return instance;
}

/// The exception of the throwing forms. Its what() begins with the C function's
/// name.
class error : public std::system_error
{
public:
    /// From an error code of category(), and the name of the call that failed.
    error(std::error_code code, const char *what)
        : std::system_error(code, what)
    {
    }
};

/// The version of the library that is loaded, which may be newer than the
/// header: `major << 16 | minor`. Maps wm_version().
inline std::uint32_t version() noexcept
{
    return wm_version();
}

/// @cond
namespace detail
{

// A struct for the library to fill in; if it has a size, that is set.
template <class Struct>
Struct blank() noexcept
{
    Struct s{};

    if constexpr (requires { s.size; }) {
        s.size = sizeof(s);
    }
    return s;
}

// Fills the code. Returns the condition, which is none for an error.
inline condition noted(int result, std::error_code &ec) noexcept
{
    if (result < 0) {
        ec.assign(-result, category());
        return condition::none;
    }
    ec.clear();
    return static_cast<condition>(result);
}

// Makes the throwing form of a call that fills a code.
template <class Call>
auto thrown(const char *what, Call call)
{
    std::error_code ec;
    auto result = call(ec);

    if (ec) {
        throw error(ec, what);
    }
    return result;
}

// Makes the noexcept form of a call that allocates: a lack of memory is an
// error, too.
template <class Call>
auto filled(std::error_code &ec, Call call) noexcept -> decltype(call())
{
    try {
        return call();
    } catch (const std::exception &) {
        noted(-ENOMEM, ec);
        return {};
    }
}

// A C++ function behind a C callback. No exception may pass through C, so the
// first one waits here.
template <class Function>
struct callback {
    Function &function;
    std::exception_ptr raised = nullptr;

    template <class Argument>
    static void call(const Argument *argument, void *self) noexcept
    {
        auto &me = *static_cast<callback *>(self);

        try {
            std::invoke(me.function, *argument);
        } catch (...) {
            if (!me.raised) {
                me.raised = std::current_exception();
            }
        }
    }

    void raise() const
    {
        if (raised) {
            std::rethrow_exception(raised);
        }
    }
};

} // namespace detail
/// @endcond

} // namespace wm

#endif
