// SPDX-License-Identifier: Apache-2.0

// Escape sequences of ECMA-48, which every terminal of today understands.

#include "screen.hpp"

#include "status.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace wmctl
{

namespace
{

constexpr const char *clear_all = "\033[H\033[2J\033[?25l"; // hides the cursor
constexpr const char *home = "\033[H";
// It comes first: behind a full line it would erase the last character.
constexpr const char *clear_line = "\033[K";
constexpr const char *plain = "\033[0m";
constexpr const char *rest_of_screen = "\033[J";
constexpr const char *show_cursor = "\033[?25h";

volatile std::sig_atomic_t cursor_hidden = 0;

// Whether the output is one that obeys escape sequences.
bool is_terminal()
{
    const char *const type = std::getenv("TERM");

    return isatty(STDOUT_FILENO) == 1 &&
           (type == nullptr || std::strcmp(type, "dumb") != 0);
}

// The first `columns` characters; escape sequences take no column.
std::string cut(const std::string &line, unsigned columns)
{
    std::string kept;
    unsigned column = 0;

    for (std::size_t i = 0; i < line.size(); i++) {
        if (line[i] == '\033') {
            const auto end = line.find('m', i);
            if (end == std::string::npos) {
                break;
            }
            kept += line.substr(i, end - i + 1);
            i = end;
        } else if (column++ < columns) {
            kept += line[i];
        }
    }
    return kept;
}

} // namespace

palette palette::of(const options &o)
{
    const char *no = std::getenv("NO_COLOR");
    const bool asked_not = o.no_color || (no != nullptr && no[0] != '\0');

    return palette(!asked_not && is_terminal());
}

void put(const std::string &text)
{
    std::size_t done = 0;

    while (done < text.size()) {
        const ssize_t n =
            write(STDOUT_FILENO, text.data() + done, text.size() - done);

        if (n >= 0) {
            done += static_cast<std::size_t>(n);
        } else if (errno == EAGAIN) {
            struct pollfd room = {STDOUT_FILENO, POLLOUT, 0};

            poll(&room, 1, -1);
        } else if (errno != EINTR) {
            throw failure(status::failed,
                          std::string("cannot write: ") + std::strerror(errno));
        }
    }
}

screen::screen(bool in_place) : in_place_(in_place && is_terminal())
{
    take();
}

void screen::take()
{
    if (in_place_) {
        cursor_hidden = 1;
        put(clear_all);
    }
}

void screen::give_back() noexcept
{
    if (cursor_hidden != 0 && write(STDOUT_FILENO, show_cursor, 6) < 0) {
        return; // the terminal is gone, and so is its cursor
    }
    cursor_hidden = 0;
}

void screen::draw(const std::string &frame)
{
    struct winsize size {
    };
    std::string out = home;
    std::size_t at = 0;

    if (!in_place_) {
        put(frame);
        return;
    }
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0) {
        size.ws_row = 24;
        size.ws_col = 80;
    }
    for (unsigned row = 1; row < size.ws_row && at < frame.size(); row++) {
        // The last line may lack its end, which is then the frame's.
        const auto end = std::min(frame.find('\n', at), frame.size());
        out += clear_line + cut(frame.substr(at, end - at), size.ws_col) +
               plain + "\n";
        at = end + 1;
    }
    put(out + rest_of_screen);
}

} // namespace wmctl
