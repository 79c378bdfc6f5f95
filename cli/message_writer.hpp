// Messages of a lease to a descriptor, straight from the ring.
#pragma once

#include <cstddef>
#include <cstdint>

#include "framing.hpp"
#include "ipcq/consumer.hpp"

namespace ipcq::cli {

class MessageWriter {
 public:
  struct Result {
    std::uint32_t messages = 0;       ///< wholly written
    std::uint64_t payload_bytes = 0;  ///< of these
    std::size_t partial_bytes = 0;    ///< written of the next message, with its framing
    int error = 0;                    ///< errno that ended it, or 0
    bool gave_up = false;             ///< interrupted, and going on would have blocked
  };

  /// `origins`: each message follows its origin, framed like a message: as JSON if it is a dead letter, else "null".
  MessageWriter(int fd, Framing framing, bool origins) noexcept : fd_(fd), framing_(framing), origins_(origins) {}

  /// Writes all messages, of dead letters what was sent, waiting for the reader as long as nobody interrupts. Copies no
  /// message.
  [[nodiscard]] Result write(const Lease& lease) const;

 private:
  int fd_;
  Framing framing_;
  bool origins_;
};

}  // namespace ipcq::cli
