// Target: verify, of any memory. Where it finds nothing broken, no call may find damage.
#include "core/verify.hpp"

#include <algorithm>
#include <vector>

#include "calls.hpp"

namespace {

using namespace ipcq;

bool is_sound(const core::View& view) {
  const std::vector<core::Finding> findings = core::verify(view);
  for (const core::Finding& finding : findings) {
    fuzz::expect(finding.offset < view.control_bytes + view.capacity, "a finding outside the segment");
    fuzz::expect(finding.invariant != nullptr && !finding.text.empty(), "a finding that says nothing");
    fuzz::expect(std::all_of(finding.text.begin(), finding.text.end(), [](char c) { return c >= ' ' && c <= '~'; }),
                 "a finding with unprintable characters");
  }
  return std::all_of(findings.begin(), findings.end(), [](const core::Finding& finding) { return finding.recoverable; });
}

void run(fuzz::Image& image, const fuzz::Steps& steps) {
  image.restore();
  for (std::size_t i = 1; i < steps.count(); ++i) image.edit(steps[i]);
  if (is_sound(image.consumer())) {
    fuzz::expect_no_damage(image);
  } else {
    fuzz::expect(steps.count() > 1, "a sound image is found broken");
  }
  image.expect_unlocked();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const fuzz::Steps steps(bytes, size);
  if (steps.count() > 0) run(fuzz::image_for(steps[0]), steps);
  return 0;
}
