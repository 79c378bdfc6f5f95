// The program that a user starts.
#pragma once

#include "options.hpp"

namespace demo {

/// Streams, counts, checks, reports. The exit status: 0 if the counts agree, else 1. Throws Interrupted after Ctrl-C, with
/// the children ended and the queues removed.
int run_parent(const Options& options);

}  // namespace demo
