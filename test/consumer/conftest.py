# SPDX-License-Identifier: Apache-2.0
"""One staged install for all tests of this folder."""

import glob
import os
import re
import shlex
import shutil

import pytest

from conf import BUILD, ROOT, source, write
from proc import run

HEADERS = ("libwm/wm.h", "libwm/monitor/wm_monitor.h")
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow",
          "-Werror"]


def names(pattern):
    """Files of the project."""
    return sorted(glob.glob(pattern, root_dir=ROOT, recursive=True))


def without_comments(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


def prototypes(text):
    """The functions that are declared: name to prototype."""
    return {name: " ".join(whole.split()) for whole, name in re.findall(
        r"^((?!typedef)[a-z][\w *]*?\b(wm_\w+)\([^;]*\);)",
        without_comments(text), re.M)}


class Stage:
    """The places of the files, and how a user's build finds them."""

    def __init__(self, path):
        self.path = path
        self.library = os.path.dirname(os.path.dirname(self.find("wm.pc")))
        self.include = os.path.dirname(self.find("wm.h"))

    def find(self, name):
        """The one installed file of this name."""
        found = glob.glob(f"{self.path}/**/{name}", recursive=True)
        assert len(found) == 1, f"{name}: {found}"
        return found[0]

    def run(self, *command, cwd=".", **more_env):
        """Runs it in a directory of the stage."""
        path = os.path.join(self.path, cwd)
        env = {"PKG_CONFIG_LIBDIR": os.path.join(self.library, "pkgconfig"),
               # it escapes no spaces
               "PKG_CONFIG_SYSROOT_DIR": os.path.relpath(self.path, path),
               "LD_LIBRARY_PATH": self.library, **more_env}
        return run(*command, cwd=path, **env)

    def flags(self, package="wm", *more):
        return shlex.split(
            self.run("pkg-config", "--cflags", "--libs", *more, package))

    def write(self, name, text):
        path = os.path.join(self.path, name)
        write(path, text)
        return path

    def run_c(self, text, *options):
        """The output of a program of C."""
        path = self.write("program.c", text)
        self.run("gcc", path, "-o", "program", *options, *self.flags())
        return self.run("./program")


@pytest.fixture
def place(tmp_path):
    """An empty directory."""
    yield str(tmp_path)
    shutil.rmtree(tmp_path)


@pytest.fixture(scope="session")
def stage(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("stage"))
    run("meson", "install", "-C", BUILD, "--destdir", path, "--no-rebuild")
    yield Stage(path)
    shutil.rmtree(path)
