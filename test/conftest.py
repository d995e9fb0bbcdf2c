# SPDX-License-Identifier: Apache-2.0
"""Without a build, one error instead of one for each test."""

import os

import pytest

import conf


def pytest_configure():
    if not os.path.exists(conf.LIBRARY):
        raise pytest.UsageError(f"nothing is built in {conf.BUILD}: "
                                f"meson compile -C {conf.BUILD}")
