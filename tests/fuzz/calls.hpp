// Calls: what every process does in a queue, and must find no damage doing where verify finds none.
#pragma once

#include "image.hpp"

namespace ipcq::fuzz {

/// Leases in both groups, a claim, a take-over of the producer's side. Fails if one of them answers damaged or poisoned.
void expect_no_damage(Image& image);

}  // namespace ipcq::fuzz
