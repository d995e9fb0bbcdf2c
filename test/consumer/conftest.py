# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""One staged install for all tests of this folder."""

import glob
import os
import shlex
import shutil
import subprocess
import tempfile

import pytest

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
BUILD = os.environ.get("WM_BUILD", os.path.join(ROOT, "build"))


class Stage:
    """Where the files went, and how a user's build finds them."""

    def __init__(self, path):
        self.path = path
        self.library = os.path.dirname(self.find("libwm.so"))

    def find(self, name):
        """The one installed file of this name."""
        found = glob.glob(f"{self.path}/**/{name}", recursive=True)
        assert len(found) == 1, f"{name}: {found}"
        return found[0]

    def run(self, *command, **more_env):
        env = {**os.environ,
               "PKG_CONFIG_LIBDIR": os.path.join(self.library, "pkgconfig"),
               "PKG_CONFIG_SYSROOT_DIR": ".",     # it escapes no spaces
               "LD_LIBRARY_PATH": self.library, **more_env}
        done = subprocess.run(command, env=env, capture_output=True,
                              text=True, check=False, cwd=self.path)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def flags(self, package="wm"):
        return shlex.split(
            self.run("pkg-config", "--cflags", "--libs", package))


@pytest.fixture(scope="session")
def stage():
    path = tempfile.mkdtemp(prefix="stage.", dir=BUILD)
    try:
        subprocess.run(
            ["meson", "install", "-C", BUILD, "--destdir", path,
             "--no-rebuild"], check=True, capture_output=True)
        yield Stage(path)
    finally:
        shutil.rmtree(path)
