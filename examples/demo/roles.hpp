// The programs of the child processes.
#pragma once

#include "options.hpp"

namespace demo {

/// Streams its files into the text queue.
void run_producer(const Options& options);
/// Counts what it is handed until the text queue is closed and drained; one report a batch.
void run_consumer(const Options& options);

}  // namespace demo
