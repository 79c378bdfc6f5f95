#include "findings.hpp"

#include "output.hpp"

namespace ipcq::cli {

std::string findings_text(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings) {
    text += styled(finding.recoverable ? Style::warning : Style::bad, finding.recoverable ? "noted" : "broken");
    text += "  " + printable(finding.invariant) + "  offset " + std::to_string(finding.offset) + ": " +
            printable(finding.text) + "\n";
  }
  return text;
}

Json findings_json(const std::vector<Finding>& findings) {
  Json json = Json::array();
  for (const Finding& finding : findings) {
    Json one;
    one["invariant"] = finding.invariant;
    one["offset"] = finding.offset;
    one["text"] = finding.text;
    one["recoverable"] = finding.recoverable;
    json.push_back(one);
  }
  return json;
}

}  // namespace ipcq::cli
