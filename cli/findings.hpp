// Findings of verify and repair, as text and as JSON.
#pragma once

#include <string>
#include <vector>

#include "ipcq/repair.hpp"
#include "queue_json.hpp"

namespace ipcq::cli {

/// A line for each: "broken  ledger.tiles  offset 41984: …", or "noted".
[[nodiscard]] std::string findings_text(const std::vector<Finding>& findings);
[[nodiscard]] Json findings_json(const std::vector<Finding>& findings);

}  // namespace ipcq::cli
