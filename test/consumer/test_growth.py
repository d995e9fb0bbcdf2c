# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""A later minor version, whose structs and records are longer, beside this one:
programs of either run with the library of the other, and each takes over a
running node of the other.

The later version is this one with a member more at the end of each public
struct that may grow, and a line more in each struct of the segment."""

import glob
import os
import re
import shutil
import subprocess

import pytest

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
LIBRARY = os.path.join(ROOT, "libwm")
FIXED = {"wm_counts", "wm_lock_hold", "wm_node", "wm_worker", "wm_node_entry"}
SEGMENT = ("wm_record", "wm_record_cold", "wm_generation_record",
           "wm_log_record", "wm_segment_header")


def lengthen(text, names, member):
    """Adds a member to the end of each struct."""
    for name in names:
        text, n = re.subn(rf"(^struct {name} {{\n(?:.*\n)*?)(}};\n)",
                          rf"\1    {member};\n\2", text, flags=re.M)
        assert n == 1, name
    return text


def public_structs(header):
    return [x for x in re.findall(r"^struct (\w+) {", header, re.M)
            if x not in FIXED]


def rewrite(path, change):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    with open(path, "w", encoding="utf-8") as f:
        f.write(change(text))


def later(header):
    header = lengthen(header, public_structs(header), "uint64_t grown")
    header, n = re.subn(r"(#define WM_VERSION_MINOR) 0", r"\1 1", header)
    assert n == 1
    return header


def build_library(folder):
    objects = sorted(glob.glob(f"{folder}/*.c"))
    made = f"{folder}/libwm.so.1"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O1", "-std=gnu11", "-D_GNU_SOURCE",
         "-Wl,-soname,libwm.so.1", "-Wl,-z,nodelete",
         f"-Wl,--version-script={folder}/libwm.map", *objects, "-o", made,
         "-pthread"], check=True)
    os.symlink("libwm.so.1", f"{folder}/libwm.so")
    return folder


def build_program(folder, *options):
    program = f"{folder}/growth"
    subprocess.run(
        ["gcc", "-Wall", "-Wextra", "-Werror", "-std=gnu11", f"-I{folder}",
         *options, os.path.join(ROOT, "test/consumer/growth.c"), "-o", program,
         f"-L{folder}", "-lwm"], check=True)
    return program


@pytest.fixture(scope="module", name="versions")
def make_versions(tmp_path_factory):
    """{name: folder} of both, each with its library and a program of it."""
    folders = {}
    for name in ("this", "later"):
        folder = str(tmp_path_factory.mktemp(name))
        for path in [*glob.glob(f"{LIBRARY}/*.[ch]"), f"{LIBRARY}/libwm.map"]:
            shutil.copy(path, folder)
        if name == "later":
            rewrite(f"{folder}/wm.h", later)
            rewrite(f"{folder}/layout.h", lambda text: lengthen(
                text, SEGMENT, "_Alignas(WM_LINE) uint64_t grown[8]"))
        build_library(folder)
        build_program(folder, *(["-DGROWN"] if name == "later" else []))
        folders[name] = folder
    return folders


def run(folder, library, *arguments):
    return subprocess.run(
        [f"{folder}/growth", *arguments], text=True, check=False, timeout=120,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "LD_LIBRARY_PATH": library, "DIRECTORY": folder,
             "KNOWN": "yes" if library.endswith("later0") else "no"})


PAIRS = [("this", "this"), ("this", "later"), ("later", "later"),
         ("later", "this")]


@pytest.mark.parametrize("program, library", PAIRS)
def test_a_program_of_one_version_runs_with_the_library_of_another(
        versions, program, library):
    done = run(versions[program], versions[library], "use",
               "use")
    minor = {"this": 0, "later": 1}[library]
    assert (done.returncode, done.stdout) == (0, f"version 1.{minor}\n")


@pytest.mark.parametrize("old, new", PAIRS)
def test_a_running_node_of_one_version_is_taken_over_by_another(versions, old,
                                                                new):
    """The program is this version's: it is the library that differs."""
    done = run(versions["this"], versions[old], "upgrade",
               f"heir-{old}-{new}", versions[new])
    minors = [{"this": 0, "later": 1}[x] for x in (new, old)]
    assert (done.returncode, done.stdout) == (
        0, "".join(f"version 1.{x}\n" for x in minors))


def test_every_public_struct_grows_or_says_that_it_does_not():
    with open(os.path.join(LIBRARY, "wm.h"), encoding="utf-8") as f:
        header = f.read()
    for name in ("wm_counts", "wm_lock_hold"):
        comment = re.search(rf"/\*((?:(?!\*/).)*)\*/\nstruct {name} {{", header,
                            re.S)[1]
        assert "does not" in comment
    listed = {"wm_generation_info", "wm_worker_info", "wm_log_entry"}
    for name in set(public_structs(header)) - listed:
        first = re.search(rf"^struct {name} {{\n\s*(.*)$", header, re.M)[1]
        assert first.startswith("uint32_t size;"), name
