-- SPDX-License-Identifier: Apache-2.0

-- For `luarocks make` in the project's root; needs Meson and a C compiler.
rockspec_format = "3.0"
package = "lua-resty-worker-manager-libwm"
version = "1.0.0-1"
source = { url = "git+file://." }
description = {
   summary = "Which nginx workers run, in which generation, how each ended",
   license = "Apache-2.0",
}
dependencies = { "lua == 5.1" }
build = {
   type = "command",
   build_command = "meson setup --buildtype=release -Dtests=disabled"
      .. " -Dbench=disabled build/rock . && meson compile -C build/rock",
   install = {
      lua = {
         ["resty.worker.manager"] = "lua/resty/worker/manager.lua",
         ["resty.worker.manager.callback"] =
            "lua/resty/worker/manager/callback.lua",
         ["resty.worker.manager.channel"] =
            "lua/resty/worker/manager/channel.lua",
         ["resty.worker.manager.constants"] =
            "lua/resty/worker/manager/constants.lua",
         ["resty.worker.manager.counts"] =
            "lua/resty/worker/manager/counts.lua",
         ["resty.worker.manager.exit"] =
            "lua/resty/worker/manager/exit.lua",
         ["resty.worker.manager.file"] =
            "lua/resty/worker/manager/file.lua",
         ["resty.worker.manager.libwm"] =
            "lua/resty/worker/manager/libwm.lua",
         ["resty.worker.manager.lock"] =
            "lua/resty/worker/manager/lock.lua",
         ["resty.worker.manager.log"] =
            "lua/resty/worker/manager/log.lua",
         ["resty.worker.manager.name"] =
            "lua/resty/worker/manager/name.lua",
         ["resty.worker.manager.node"] =
            "lua/resty/worker/manager/node.lua",
         ["resty.worker.manager.options"] =
            "lua/resty/worker/manager/options.lua",
         ["resty.worker.manager.owed"] =
            "lua/resty/worker/manager/owed.lua",
         ["resty.worker.manager.own"] =
            "lua/resty/worker/manager/own.lua",
         ["resty.worker.manager.start"] =
            "lua/resty/worker/manager/start.lua",
         ["resty.worker.manager.tell"] =
            "lua/resty/worker/manager/tell.lua",
         ["resty.worker.manager.view"] =
            "lua/resty/worker/manager/view.lua",
         ["resty.worker.manager.vm"] =
            "lua/resty/worker/manager/vm.lua",
         ["resty.worker.manager.worker"] =
            "lua/resty/worker/manager/worker.lua",
      },
      lib = { libwm = "build/rock/libwm/libwm.so" },
   },
}
