#include "core/verify.hpp"

#include <algorithm>
#include <iterator>
#include <tuple>

#include "core/look.hpp"

namespace ipcq::core {
namespace {

auto key(const Finding& finding) { return std::tie(finding.offset, finding.text, finding.recoverable); }
bool before(const Finding& a, const Finding& b) { return key(a) < key(b); }

std::vector<Finding> findings_of_one_look(const View& view) {
  Look look(view);
  look_at_header(look);
  look_at_side(look);
  look_at_endpoints(look);
  look_at_quotas(look);
  look_at_groups(look);
  look_at_ring(look);
  std::vector<Finding> findings = std::move(look.findings());
  std::sort(findings.begin(), findings.end(), before);
  return findings;
}

}  // namespace

std::vector<Finding> verify(const View& view) {
  const std::vector<Finding> first = findings_of_one_look(view);
  if (first.empty()) return {};
  const std::vector<Finding> second = findings_of_one_look(view);
  std::vector<Finding> both;
  std::set_intersection(first.begin(), first.end(), second.begin(), second.end(), std::back_inserter(both), before);
  return both;
}

}  // namespace ipcq::core
