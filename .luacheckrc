-- SPDX-License-Identifier: Apache-2.0
-- Copyright The libwm authors

std = "ngx_lua"
max_line_length = 80
