# SPDX-License-Identifier: Apache-2.0
"""A later minor version of the libraries, made of today's sources: each public
struct that may grow has a member more at its end, and each struct of the
segment a line more."""

import glob
import os
import re
import shlex
import shutil
import subprocess

import conf

FIXED = {"wm_counts", "wm_end", "wm_lock_hold", "wm_node", "wm_worker",
         "wm_monitor", "wm_subscription"}
SEGMENT = ("wm_record", "wm_record_cold", "wm_generation_record",
           "wm_log_record", "wm_segment_header")
LINE = 64                   # bytes by which each of these has grown
VERSIONS = ("this", "later")


def public_structs(header):
    return [x for x in re.findall(r"^struct (\w+) {", header, re.M)
            if x not in FIXED]


def replace(pattern, by, text):
    text, n = re.subn(pattern, by, text, flags=re.M)
    assert n == 1, pattern
    return text


def grow(path, names=None, member="uint64_t grown"):
    """Adds a member to the end of these structs, or of all public ones."""
    text = conf.source(path)
    for name in names or public_structs(text):
        text = replace(rf"(^struct {name} {{\n(?:.*\n)*?)(}};\n)",
                       rf"\1    {member};\n\2", text)
    if path.endswith("/wm.h"):
        text = replace(r"(#define WM_VERSION_MINOR) 0", r"\1 1", text)
    conf.write(path, text)


def link(folder, name, where, *options):
    """lib{name} of the sources in a folder, there: the library's path."""
    made = f"{where}/lib{name}.so.1"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O1", "-std=gnu11", "-D_GNU_SOURCE",
         f"-I{folder}", f"-Wl,-soname,lib{name}.so.1", "-Wl,-z,nodelete",
         f"-Wl,--version-script={where}/lib{name}.map",
         *sorted(glob.glob(f"{where}/*.c")), "-o", made, *options, "-pthread"],
        check=True)
    os.symlink(f"lib{name}.so.1", f"{where}/lib{name}.so")
    return made


def build(folder, version="later", *options):
    """libwm of a version, in the folder."""
    shutil.copytree(os.path.join(conf.ROOT, "libwm"), folder,
                    dirs_exist_ok=True)
    if version == "later":
        grow(f"{folder}/wm.h")
        grow(f"{folder}/monitor/wm_monitor.h")
        grow(f"{folder}/layout.h", SEGMENT,
             f"_Alignas(WM_LINE) uint64_t grown[{LINE // 8}]")
    return link(folder, "wm", folder, *options)


def build_monitor(folder, *options):
    """libwm-monitor of the version whose libwm was built in the folder; in a
    folder of its own below that, so that it can run with another libwm."""
    urcu = subprocess.run(["pkg-config", "--cflags", "--libs", "liburcu-bp"],
                          check=True, stdout=subprocess.PIPE, text=True).stdout
    link(folder, "wm-monitor", f"{folder}/monitor", "-ftls-model=initial-exec",
         f"-L{folder}", "-lwm", *shlex.split(urcu), *options)
