// SPDX-License-Identifier: Apache-2.0

// Prints how wmctl writes these ages: no node has exactly the age that a test
// wants.

#include "../../cpp/tools/times.hpp"

#include <iostream>
#include <string>

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        std::cout << wmctl::age(std::stoull(argv[i])) << '\n';
    }
}
