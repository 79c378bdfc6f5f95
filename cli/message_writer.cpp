#include "message_writer.hpp"

#include <poll.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ipcq/dead_letter.hpp"
#include "queue_json.hpp"
#include "signals.hpp"

namespace ipcq::cli {
namespace {

// One writev takes at most IOV_MAX (1024 on Linux) pieces, and a message is at most three: origin, payload and framing.
constexpr std::size_t kPiecesEach = 3;
constexpr std::size_t kMessagesAtOnce = 1024 / kPiecesEach;

struct Progressed {
  std::size_t bytes = 0;
  int error = 0;
  bool gave_up = false;
};

bool writable(int fd, int timeout_ms) noexcept {
  pollfd ready{fd, POLLOUT, 0};
  return ::poll(&ready, 1, timeout_ms) > 0;  // errors and hang-ups too: the write then tells which
}

Progressed write_pieces(int fd, std::span<iovec> pieces, std::size_t bytes) noexcept {
  Progressed progressed;
  while (progressed.bytes < bytes) {
    // After an interrupt only what does not block is still written. A write that blocks after all (poll promises one
    // page of a pipe, not all of the batch) is ended by the next tick, and then this looks again.
    if (interrupted() && (interrupted_again() || !writable(fd, 0))) {
      progressed.gave_up = true;
      return progressed;
    }
    const ssize_t count = ::writev(fd, pieces.data(), static_cast<int>(pieces.size()));
    if (count < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) {  // the caller made the descriptor non-blocking
        (void)writable(fd, -1);
        continue;
      }
      progressed.error = errno;
      return progressed;
    }
    if (count == 0) {  // no file system does this; going round for ever would be worse than an error
      progressed.error = EIO;
      return progressed;
    }
    progressed.bytes += static_cast<std::size_t>(count);
    auto left = static_cast<std::size_t>(count);
    while (!pieces.empty() && left >= pieces.front().iov_len) {
      left -= pieces.front().iov_len;
      pieces = pieces.subspan(1);
    }
    if (left > 0) {
      pieces.front().iov_base = static_cast<std::byte*>(pieces.front().iov_base) + left;
      pieces.front().iov_len -= left;
    }
  }
  return progressed;
}

iovec piece(const void* data, std::size_t size) noexcept {
  return {const_cast<void*>(data), size};  // writev only reads; its interface is older than const
}

using Prefix = std::array<unsigned char, kLengthPrefixBytes>;

Prefix prefix_of(std::size_t size) noexcept {
  Prefix prefix;
  for (std::size_t i = 0; i < kLengthPrefixBytes; ++i) prefix[i] = static_cast<unsigned char>(size >> (8 * i));
  return prefix;
}

/// The origin of a message, framed.
std::string origin_text(const std::optional<DeadLetter>& letter, Framing framing) {
  const std::string text =
      (letter ? dead_letter_json(*letter) : Json(nullptr)).dump(-1, ' ', false, Json::error_handler_t::replace);
  if (framing == Framing::length_prefixed) {
    const Prefix prefix = prefix_of(text.size());
    return std::string(prefix.begin(), prefix.end()) + text;
  }
  return text + (framing == Framing::null ? '\0' : '\n');
}

}  // namespace

MessageWriter::Result MessageWriter::write(const Lease& lease) const {
  static constexpr char kNewline = '\n';
  static constexpr char kNul = '\0';
  std::array<iovec, kPiecesEach * kMessagesAtOnce> pieces;
  std::array<Prefix, kMessagesAtOnce> prefixes;
  std::vector<std::string> origins(origins_ ? kMessagesAtOnce : 0);
  std::array<std::size_t, kMessagesAtOnce> payloads;
  std::array<std::size_t, kMessagesAtOnce> framed;  // with framing and origin
  const std::size_t framing_bytes = framing_ == Framing::length_prefixed ? kLengthPrefixBytes
                                    : framing_ == Framing::whole         ? 0
                                                                         : 1;
  Result result;
  Lease::Iterator message = lease.begin();
  while (message != lease.end()) {
    std::size_t messages = 0;
    std::size_t count = 0;
    std::size_t bytes = 0;
    for (; message != lease.end() && messages < kMessagesAtOnce; ++message, ++messages) {
      const std::optional<DeadLetter> letter = dead_letter(*message);
      const std::span<const std::byte> payload = letter ? letter->payload : message->payload;
      framed[messages] = payload.size() + framing_bytes;
      if (origins_) {
        origins[messages] = origin_text(letter, framing_);
        pieces[count++] = piece(origins[messages].data(), origins[messages].size());
        framed[messages] += origins[messages].size();
      }
      if (framing_ == Framing::length_prefixed) {
        prefixes[messages] = prefix_of(payload.size());
        pieces[count++] = piece(prefixes[messages].data(), kLengthPrefixBytes);
      }
      pieces[count++] = piece(payload.data(), payload.size());
      if (framing_ == Framing::lines) pieces[count++] = piece(&kNewline, 1);
      if (framing_ == Framing::null) pieces[count++] = piece(&kNul, 1);
      payloads[messages] = payload.size();
      bytes += framed[messages];
    }

    const Progressed progressed = write_pieces(fd_, std::span(pieces).first(count), bytes);
    std::size_t left = progressed.bytes;
    std::size_t written = 0;
    while (written < messages && left >= framed[written]) {
      left -= framed[written];
      result.payload_bytes += payloads[written];
      ++written;
    }
    result.messages += static_cast<std::uint32_t>(written);
    if (progressed.error != 0 || progressed.gave_up) {
      result.partial_bytes = left;
      result.error = progressed.error;
      result.gave_up = progressed.gave_up;
      return result;
    }
  }
  return result;
}

}  // namespace ipcq::cli
