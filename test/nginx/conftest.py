# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors

pytest_plugins = ["nginx_fixtures"]
