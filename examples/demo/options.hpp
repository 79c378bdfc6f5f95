// What the demo can be asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace demo {

/// `parent` is what a user starts. It starts the others: the same program, told its part by hidden options.
enum class Part { parent, producer, consumer };

struct Options {
  unsigned producers = 2;
  unsigned consumers = 2;
  std::uint64_t megabytes = 128;  ///< of 10^6 bytes
  std::size_t capacity_bytes = std::size_t{8} << 20;
  unsigned batch = 64;               ///< messages of a claim and of a lease
  std::size_t message_bytes = 4096;  ///< at most, of one message
  bool exclusive = false;            ///< one producer and one consumer, without mutexes
  bool kill = false;                 ///< kill -9 a consumer midway
  bool keep = false;                 ///< leave the queue for `ipcq stat`
  bool json = false;
  std::vector<std::string> roots;  ///< files and folders to stream; empty: the machine's package lists and copyright texts

  // Of a child.
  Part part = Part::parent;
  unsigned index = 0;       ///< which of the producers or consumers
  int list_fd = -1;         ///< the list of files, inherited
  std::uint64_t items = 0;  ///< how many of them, over and over, are to be streamed
  std::string text_queue;
  std::string report_queue;
};

/// Reads the command line. Throws boost::program_options::error, which is a usage error. `help` is set if it was asked for.
[[nodiscard]] Options parse_options(int argc, const char* const* argv, std::string& help);

}  // namespace demo
