// What a run of the demo came to, and how it is told.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <ipcq/ipcq.hpp>
#include <ostream>
#include <string>

#include "corpus.hpp"
#include "options.hpp"
#include "tally.hpp"
#include "word_count.hpp"

namespace demo {

struct Result {
  Options options;
  std::uint64_t corpus_files = 0;  ///< different ones
  std::uint64_t corpus_bytes = 0;
  std::uint64_t left_out = 0;
  Items streamed{};
  Tally tally;              ///< through the queue
  ipcq::QueueInfo queue{};  ///< when all had ended
  pid_t killed = 0;         ///< of --kill
  Counts plain{};           ///< without the queue
  double plain_seconds = 0;

  [[nodiscard]] bool counts_agree() const noexcept { return tally.total().counts == plain; }
};

void print_text(std::ostream& out, const Result& result);
void print_json(std::ostream& out, const Result& result);

}  // namespace demo
