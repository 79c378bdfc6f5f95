// Placement: how far apart the two cpus of a run are at that moment. A virtual machine's host moves virtual cpus between
// cores, which alone changes results four- to fivefold; so every run is bracketed by two probes, and only runs whose
// probes agree are counted, each with its like.
#pragma once

#include <array>

namespace ipcq::bench {

enum class Placement { near, far, unclear };

/// Median round trip of a bare cache-line ping-pong, in ns, that makes a placement.
struct PlacementRule {
  double near_low_ns = 75;  ///< below it the two are hyper-threads of one core
  double near_high_ns = 300;
  double far_low_ns = 330;  ///< other core complex or socket

  [[nodiscard]] Placement of(const std::array<double, 2>& probes_ns) const noexcept {
    const auto is_near = [this](double ns) { return ns >= near_low_ns && ns <= near_high_ns; };
    const auto is_far = [this](double ns) { return ns > far_low_ns; };
    if (is_near(probes_ns[0]) && is_near(probes_ns[1])) return Placement::near;
    if (is_far(probes_ns[0]) && is_far(probes_ns[1])) return Placement::far;
    return Placement::unclear;
  }
};

constexpr const char* to_string(Placement placement) noexcept {
  switch (placement) {
    case Placement::near:
      return "near";
    case Placement::far:
      return "far";
    case Placement::unclear:
      return "unclear";
  }
  return "";
}

}  // namespace ipcq::bench
