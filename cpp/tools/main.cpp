// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// wmctl: what the segments of libwm on this machine tell. It only looks, but
// for gc; nothing that it does is seen by a node.

#include "commands.hpp"
#include "words.hpp"

#include <CLI/CLI.hpp>

#include <charconv>
#include <cstdio>
#include <exception>
#include <new>

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
  6  of another ABI or pid namespace
  7  the system failed: memory, descriptors, output

NODE is the name of an instance or of a file in the directory. Without it, the
only live node is meant.
)";

void add_node(CLI::App *app, options &o)
{
    app->add_option("NODE", o.node, "Instance or file name")
        ->type_name("")
        ->check([](const std::string &text) {
            return text.empty() ? "NODE is empty" : "";
        });
}

// Empty if it is one, else what is wrong.
std::string read_generation(const std::string &text,
                            std::optional<std::uint64_t> &generation)
{
    std::uint64_t number = 0;
    const char *const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, number);

    if (text == "current") {
        return "";
    }
    if (error != std::errc() || rest != end || number == 0) {
        return "no generation is called " + text;
    }
    generation = number;
    return "";
}

void add_wait(CLI::App *app, options &o)
{
    app->add_option("--ready", o.ready, "Live workers that are enough")
        ->type_name("N")
        ->required()
        ->check(CLI::Range(1u, 65535u));
    app->add_option("--timeout", o.timeout, "Seconds to wait; 0: look once")
        ->type_name("S")
        ->capture_default_str()
        ->check(CLI::Range(0.0, 1e6));
    auto *const exactly =
        app->add_option("--generation", "Which: its number, or \"current\"")
            ->type_name("G")
            ->check([&o](const std::string &g) {
                return read_generation(g, o.generation);
            });
    app->add_option("--newer-than", o.newer_than,
                    "The current generation, once it is newer than this")
        ->type_name("G")
        ->excludes(exactly);
    add_node(app, o);
}

void add_all(CLI::App *app, options &o)
{
    app->add_flag("-a,--all", o.all, "Generations without workers, too");
    add_node(app, o);
}

// The command that was chosen.
command describe(CLI::App &app, options &o, command &chosen)
{
    const auto add = [&](const char *name, const char *what, command run) {
        auto *const sub = app.add_subcommand(name, what);

        sub->callback([&chosen, run] { chosen = run; });
        return sub;
    };

    app.require_subcommand(1);
    app.fallthrough();
    app.footer(exit_codes);
    app.add_flag("--json", o.json, "JSON, one document a line");
    app.add_option("--directory", o.directory, "Where segments lie")
        ->type_name("DIR")
        ->capture_default_str();
    app.add_flag("--no-color", o.no_color, "No colours, also on a terminal");
    app.set_version_flag("--version", std::string("wmctl ") + WMCTL_VERSION);

    add("list", "Lists nodes, live and post-mortem", wmctl::list);
    add_all(add("show", "Shows generations and workers", wmctl::show), o);
    add_all(add("watch", "Shows them live, until interrupted", wmctl::watch),
            o);
    auto *const events = add("events", "Prints the event log", wmctl::events);
    events->add_flag("-f,--follow", o.follow,
                     "And what comes, also in its next lives");
    add_node(events, o);
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
        if (e.get_exit_code() == 0) {
            return app.exit(e); // --help, --version
        }
        return say(status::usage, std::string(e.what()) + "; see wmctl --help");
    }
}

} // namespace

int main(int argc, char **argv)
{
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
