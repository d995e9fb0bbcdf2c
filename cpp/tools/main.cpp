// SPDX-License-Identifier: Apache-2.0

// wmctl: tells what lies in the segments of libwm on this machine. All commands
// but gc only look; a node sees nothing of what wmctl does.

#include "commands.hpp"
#include "screen.hpp"
#include "times.hpp"
#include "words.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <exception>
#include <limits>
#include <new>
#include <sstream>
#include <unistd.h>

namespace
{

using wmctl::options;
using wmctl::status;
using command = status (*)(const options &);

constexpr const char *exit_codes = R"(
Exit status:
  0  done; wait: ready
  1  wait: not ready in time
  2  wrong usage, or several nodes and no NODE that says which
  3  no such node
  4  not permitted: another user's segment
  5  damaged: no segment, or not a whole one
  6  of another ABI of libwm, or of another pid namespace
  7  the system failed: memory, descriptors, output

NODE is the name of an instance or of a file in the directory, or the pid of a
master or worker; for show, watch and events also the beginning of an instance's
name. Without it, the only live node is meant.
)";

std::string not_empty(const std::string &text)
{
    return text.empty() ? "it is empty" : "";
}

std::string name_of_node(const std::string &text)
{
    return text.find('/') == std::string::npos
               ? not_empty(text)
               : text + " is a path; name a node, or a file of --directory";
}

void add_node(CLI::App *app, options &o)
{
    app->add_option("NODE", o.node, "Instance, file name or pid")
        ->type_name("")
        ->check(name_of_node);
}

// Reads an option's number: the whole text, in base 10. CLI11 would accept more
// than that, and take "" for no option.
template <typename Number, typename Option>
auto number(Option &to, Number least, Number most)
{
    return [&to, least, most](const std::string &text) -> std::string {
        const char *const end = text.data() + text.size();
        Number n{};
        const auto [rest, error] = std::from_chars(text.data(), end, n);

        // NaN is neither too small nor too large.
        if (error != std::errc() || rest != end || !(n >= least && n <= most)) {
            std::ostringstream why;

            why.precision(10); // no 1e+06
            why << "\"" << text << "\" is no number from " << least << " to "
                << most;
            return why.str();
        }
        to = n;
        return "";
    };
}

template <typename Option>
auto generation_number(Option &to, std::uint64_t least)
{
    return number(to, least, std::numeric_limits<std::uint64_t>::max());
}

void add_wait(CLI::App *app, options &o)
{
    app->add_option("--ready", "Live workers that are enough")
        ->type_name("N")
        ->required()
        ->check(number(o.ready, 1u, 65535u));
    app->add_option("--timeout", o.timeout, "Seconds to wait; 0: look once")
        ->type_name("S")
        ->capture_default_str()
        ->check(number(o.timeout, 0.0, 1e6));
    auto *const exactly =
        app->add_option("--generation", "Which: its number, or \"current\"")
            ->type_name("G")
            ->check([&o](const std::string &text) {
                return text == "current"
                           ? ""
                           : generation_number(o.generation, 1)(text);
            });
    app->add_option("--newer-than",
                    "The current generation, once it is newer than this")
        ->type_name("G")
        ->check(generation_number(o.newer_than, 0))
        ->excludes(exactly);
    add_node(app, o);
}

void add_all(CLI::App *app, options &o)
{
    app->add_flag("-a,--all", o.all, "Generations without workers, too");
    add_node(app, o);
}

std::string kind(const std::string &text)
{
    const auto all = wmctl::kind_words();
    const auto of = [&](const std::string &word) {
        return word == text || word.starts_with(text + "-");
    };

    if (std::any_of(all.begin(), all.end(), of)) {
        return "";
    }
    const std::string near = wmctl::nearest(text, all);
    return "\"" + text + "\" is no event" +
           (near.empty() ? "; man wmctl lists them" : ", but " + near + " is");
}

void add_events(CLI::App *app, options &o)
{
    app->add_flag("-f,--follow", o.follow,
                  "And what comes, also in its next lives");
    app->add_option("-n,--lines", "The last so many")
        ->type_name("COUNT")
        ->check(number(o.last, std::uint64_t{0},
                       std::numeric_limits<std::uint64_t>::max()));
    app->add_option("--since",
                    "Not older than 90s, 1h30m, 09:30, 2031-05-17T09:30")
        ->type_name("WHEN")
        ->check([&o](const std::string &text) {
            o.since = wmctl::moment_of(text);
            return o.since ? "" : "\"" + text + "\" is no time and no duration";
        });
    app->add_option("--event", o.kind, "Of this kind, or its first word")
        ->type_name("KIND")
        ->check(kind);
    app->add_option("--worker", "With this pid")
        ->type_name("PID")
        ->check(number(o.worker, 1, std::numeric_limits<std::int32_t>::max()));
    app->add_option("--generation", "Of this generation")
        ->type_name("G")
        ->check(generation_number(o.generation, 1));
    app->add_flag("--utc", o.utc, "Times in UTC, not in local time");
    add_node(app, o);
}

// They may stand on either side of a command, whose help has them, too.
void add_common(CLI::App *app, options &o)
{
    constexpr const char *group = "Options of every command";

    app->add_flag("--json", o.json, "JSON, one document a line")->group(group);
    app->add_option("--directory", o.directory, "Where segments lie")
        ->type_name("DIR")
        ->capture_default_str()
        ->check(not_empty)
        ->group(group);
    app->add_flag("--no-color", o.no_color, "No colours, also on a terminal")
        ->group(group);
}

// The command that was chosen.
command describe(CLI::App &app, options &o, command &chosen)
{
    const auto add = [&](const char *name, const char *what, command run) {
        auto *const sub = app.add_subcommand(name, what)->group("Commands");

        sub->callback([&chosen, run] { chosen = run; });
        add_common(sub, o);
        return sub;
    };

    app.require_subcommand(1);
    app.fallthrough();
    app.footer(exit_codes);
    app.get_formatter()->label("SUBCOMMAND", "COMMAND");
    add_common(&app, o);
    app.set_version_flag("--version", std::string("wmctl ") + WMCTL_VERSION);

    add("list", "Lists nodes, live and post-mortem", wmctl::list)
        ->add_flag("-l,--long", o.files, "And their files");
    add_all(add("show", "Shows generations and workers", wmctl::show), o);
    add_all(add("watch", "Shows them live, until interrupted", wmctl::watch),
            o);
    add_events(add("events", "Prints the event log", wmctl::events), o);
    add_wait(add("wait", "Waits until workers are ready", wmctl::wait), o);
    auto *const gc =
        add("gc", "Unlinks segments without a living process", wmctl::gc);
    gc->add_flag("--dry-run", o.dry_run, "Only says which");
    add_node(gc, o);
    return chosen;
}

int say(status s, const std::string &what)
{
    std::fprintf(stderr, "wmctl: %s\n", wmctl::clean(what).c_str());
    return static_cast<int>(s);
}

// CLI11 knows options by their names, and commands are options of a kind.
std::vector<std::string> option_names(const CLI::App &app)
{
    std::vector<std::string> names;

    for (const CLI::Option *o : app.get_options()) {
        for (const std::string &name : o->get_lnames()) {
            names.push_back("--" + name);
        }
    }
    return names;
}

std::vector<std::string> command_names(const CLI::App &app)
{
    std::vector<std::string> names;

    for (const CLI::App *sub : app.get_subcommands(nullptr)) {
        names.push_back(sub->get_name());
    }
    return names;
}

std::string is_none(const std::string &word, const char *what,
                    const std::vector<std::string> &known)
{
    const std::string near = wmctl::nearest(word, known);

    return word + " is no " + what +
           (near.empty() ? "" : ", but " + near + " is");
}

// The complaint, and the help that says how it is done. CLI11 would call a
// command a subcommand.
std::string complaint(const CLI::App &app, const CLI::ParseError &e)
{
    const auto commands = app.get_subcommands();
    const CLI::App &asked = commands.empty() ? app : *commands.front();
    const auto unknown = app.remaining(true);
    const std::string see = std::string("; see wmctl ") +
                            (commands.empty() ? "" : asked.get_name() + " ") +
                            "--help";
    const auto code = static_cast<CLI::ExitCodes>(e.get_exit_code());

    if (!unknown.empty() &&
        (commands.empty() || code == CLI::ExitCodes::ExtrasError ||
         code == CLI::ExitCodes::RequiredError)) {
        const std::string &first = unknown.front();

        if (first.starts_with('-')) {
            return is_none(first, "option", option_names(asked)) + see;
        }
        return commands.empty()
                   ? is_none(first, "command", command_names(app)) +
                         "; wmctl --help lists them"
                   : first + " is one argument too many" + see;
    }
    return (commands.empty() && code == CLI::ExitCodes::RequiredError
                ? "name a command"
                : e.what()) +
           see;
}

int run(int argc, char **argv)
{
    CLI::App app{"Shows which workers of libwm's servers are running, in "
                 "which generation.",
                 "wmctl"};
    options o;
    command chosen = nullptr;

    describe(app, o, chosen);
    try {
        app.parse(argc, argv);
        return static_cast<int>(chosen(o));
    } catch (const CLI::ParseError &e) {
        if (e.get_exit_code() != 0) {
            return say(status::usage, complaint(app, e));
        }
        std::ostringstream text; // --help, --version

        app.exit(e, text, text);
        wmctl::put(text.str());
        return 0;
    }
}

// A file that is cut short cuts its mapping short, too.
void cut_short(int)
{
    static constexpr char text[] =
        "wmctl: the segment was cut short while it was read\n";

    wmctl::screen::give_back();
    [[maybe_unused]] const auto told =
        write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(static_cast<int>(status::damaged));
}

} // namespace

int main(int argc, char **argv)
{
    std::signal(SIGBUS, cut_short);
    try {
        return run(argc, argv);
    } catch (const wmctl::failure &f) {
        return say(f.why(), f.what());
    } catch (const std::bad_alloc &) {
        return say(status::failed, "out of memory");
    } catch (const std::exception &e) {
        return say(status::failed, e.what());
    }
}
