// The rows of other systems, of the program that is built with them.
#pragma once

#include <string>
#include <vector>

#include "row.hpp"

namespace ipcq::bench {

/// Other systems in the same harness, with what they need on disk in `directory`. None in a program built without them.
[[nodiscard]] std::vector<Row> peer_rows(const std::string& directory);

}  // namespace ipcq::bench
