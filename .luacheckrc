-- SPDX-License-Identifier: Apache-2.0

std = "ngx_lua"
max_line_length = 80
