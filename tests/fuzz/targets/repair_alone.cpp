// Target: repair, of any memory in which nobody lives. Afterwards it is sound, or said to be given up; done again there is
// nothing to do, and no call finds damage.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <vector>

#include "calls.hpp"
#include "core/repair.hpp"

namespace {

using namespace ipcq;

// glibc's mutex: `owner` of one that is not recoverable, and the word that says of what kind it is.
constexpr std::size_t kOwner = 8;
constexpr std::size_t kKind = 16;

void edit_mutex(fuzz::Image& image, const fuzz::Step& step) {
  auto* bytes = reinterpret_cast<std::byte*>(&image.mutex(step.where));
  const std::uint32_t word = (step.how & 1U) != 0 ? 0x7ffffffeU : step.number;
  std::memcpy(bytes + ((step.how & 1U) != 0 ? kOwner : kKind), &word, sizeof word);
}

// A later version may know these, and the header tells all else.
bool is_left(const core::Finding& finding) {
  const std::string_view name = finding.invariant;
  return name.starts_with("header.") || name == "flags.known" || name == "quota.zero";
}

void show(const std::vector<core::RepairStep>& steps, const std::vector<core::Finding>& left) {
  for (const core::RepairStep& step : steps) {
    std::fprintf(stderr, "%s %s: %s\n", step.given_up ? "given up" : "mended", step.invariant, step.text.c_str());
  }
  for (const core::Finding& finding : left) {
    std::fprintf(stderr, "%s %s: %s\n", finding.recoverable ? "noted" : "left", finding.invariant, finding.text.c_str());
  }
}

void run(fuzz::Image& image, const fuzz::Steps& steps) {
  image.restore();
  for (std::size_t i = 1; i < steps.count(); ++i) {
    steps[i].code < 8 ? edit_mutex(image, steps[i]) : image.edit(steps[i]);
  }
  const core::View& view = image.producer();
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) {
    if (core::row_attached(view, i)) view.row(i).state.store(static_cast<std::uint32_t>(layout::RowState::free));
  }
  const std::vector<core::RepairStep> done = core::repair_alone(view);
  for (const core::RepairStep& step : done) {
    fuzz::expect(step.invariant != nullptr && step.offset < view.control_bytes + view.capacity,
                 "a step that is nowhere");
    fuzz::expect(!step.text.empty() &&
                     std::all_of(step.text.begin(), step.text.end(), [](char c) { return c >= ' ' && c <= '~'; }),
                 "a step that says nothing, or cannot be printed");
  }
  image.expect_unlocked();
  const bool poisoned = (view.frozen().flags.load() & layout::flag::kPoisoned) != 0;
  const std::vector<core::Finding> left = core::verify(view);
  const auto any = [&](auto&& is) {
    return std::any_of(left.begin(), left.end(),
                       [&](const core::Finding& finding) { return !finding.recoverable && is(finding); });
  };
  const bool header =
      any([](const core::Finding& finding) { return std::string_view(finding.invariant).starts_with("header."); });
  const bool broken = any([&](const core::Finding& finding) {
    return !is_left(finding) && !(header && std::string_view(finding.invariant) == "flags.poisoned");
  });
  if (broken) {
    const bool said =
        poisoned && std::any_of(done.begin(), done.end(), [](const core::RepairStep& step) { return step.given_up; });
    if (!said) show(done, left);
    fuzz::expect(poisoned, "what is not mended can be used");
    fuzz::expect(said, "what is not mended was not said to be given up");
    return;
  }
  if (header) return;
  fuzz::expect(!poisoned, "what is mended cannot be used");
  const std::vector<core::RepairStep> again = core::repair_alone(view);
  if (!again.empty()) show(again, core::verify(view));
  fuzz::expect(again.empty(), "done again, there is something to mend");
  fuzz::expect_no_damage(image);
  image.expect_unlocked();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const fuzz::Steps steps(bytes, size);
  if (steps.count() > 0) run(fuzz::image_for(steps[0]), steps);
  return 0;
}
