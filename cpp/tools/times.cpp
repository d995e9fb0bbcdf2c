// SPDX-License-Identifier: Apache-2.0

#include "times.hpp"

#include <charconv>
#include <cstdio>
#include <ctime>

namespace wmctl
{

namespace
{

std::string print(const char *format, unsigned long long a,
                  unsigned long long b)
{
    char text[64];

    std::snprintf(text, sizeof(text), format, a, b);
    return text;
}

// Milliseconds of a row such as 1h30m; negative if it is none.
double duration_of(const std::string &text)
{
    const char *at = text.data();
    const char *const end = at + text.size();
    double ms = 0;

    while (at != end) {
        double n = 0;
        const auto [rest, error] =
            std::from_chars(at, end, n, std::chars_format::fixed);

        // A digit comes first: inf and -1 are numbers as well.
        if (*at < '0' || *at > '9' || error != std::errc() || rest == end) {
            return -1;
        }
        const double unit = *rest == 's'   ? 1e3
                            : *rest == 'm' ? 60e3
                            : *rest == 'h' ? 3600e3
                            : *rest == 'd' ? 86400e3
                                           : -1;
        if (unit < 0) {
            return -1;
        }
        ms += n * unit;
        at = rest + 1;
    }
    return text.empty() ? -1 : ms;
}

// Reads what a format says, and moves on; changes nothing if that is not there.
bool take(const char *&at, const char *format, std::tm &tm)
{
    std::tm read = tm;
    const char *const rest = strptime(at, format, &read);

    if (rest == nullptr) {
        return false;
    }
    at = rest;
    tm = read;
    return true;
}

// The digits behind a point, of which three count.
int take_fraction(const char *&at)
{
    int ms = 0, unit = 100;

    if (*at == '.') {
        for (at++; *at >= '0' && *at <= '9'; at++, unit /= 10) {
            ms += (*at - '0') * unit;
        }
    }
    return ms;
}

std::optional<std::uint64_t> time_of(const std::string &text, std::time_t now)
{
    const char *at = text.c_str();
    std::tm tm{};

    localtime_r(&now, &tm);
    tm.tm_sec = tm.tm_min = tm.tm_hour = 0;
    tm.tm_isdst = -1;
    const bool dated = take(at, "%Y-%m-%d", tm) || take(at, "%Y/%m/%d", tm);
    if (dated && (*at == 'T' || *at == ' ')) {
        at++;
    }
    const bool at_midnight = dated && *at == '\0';
    if (!at_midnight && !take(at, "%H:%M", tm)) {
        return std::nullopt;
    }
    take(at, ":%S", tm);
    const int ms = take_fraction(at);
    std::tm zoned = tm;
    const bool has_zone = *at != '\0' && take(at, "%z", zoned);
    const std::time_t seconds =
        has_zone ? timegm(&tm) - zoned.tm_gmtoff : mktime(&tm);
    if (*at != '\0' || seconds < 0) {
        return std::nullopt;
    }
    return static_cast<std::uint64_t>(seconds) * 1000 +
           static_cast<std::uint64_t>(ms);
}

} // namespace

std::string age(std::uint64_t ms)
{
    const std::uint64_t s = ms / 1000, m = s / 60, h = m / 60;

    if (s < 10) {
        return print("%llu.%llus", s, ms / 100 % 10);
    }
    if (m == 0) {
        return std::to_string(s) + "s";
    }
    if (h == 0) {
        return print("%llum%02llus", m, s % 60);
    }
    return h < 24 ? print("%lluh%02llum", h, m % 60)
                  : print("%llud%02lluh", h / 24, h % 24);
}

std::string moment(std::uint64_t ms, bool utc)
{
    const auto seconds = static_cast<std::time_t>(ms / 1000);
    std::tm tm{};
    char text[32] = "?", zone[16] = "Z";

    if ((utc ? gmtime_r(&seconds, &tm) : localtime_r(&seconds, &tm)) !=
        nullptr) {
        std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    }
    if (!utc) {
        std::strftime(zone, sizeof(zone), "%z", &tm);
    }
    return text + print(".%03llu", ms % 1000, 0) + zone;
}

std::optional<std::uint64_t> moment_of(const std::string &text)
{
    const double before = duration_of(text);
    std::timespec now{};

    std::timespec_get(&now, TIME_UTC);
    if (before < 0) {
        return time_of(text, now.tv_sec);
    }
    const double ms = static_cast<double>(now.tv_sec) * 1e3 +
                      static_cast<double>(now.tv_nsec) / 1e6 - before;
    return ms > 0 ? static_cast<std::uint64_t>(ms) : 0;
}

} // namespace wmctl
