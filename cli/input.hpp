// The input of put: standard input or a file, read so that Ctrl-C ends it and every error has a name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace ipcq::cli {

class Input {
 public:
  /// `path` "-": standard input. Throws Failure, also for Ctrl-C (opening a FIFO waits for its writer).
  explicit Input(const std::string& path);
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;
  ~Input();

  /// Waits for bytes. 0: the end. Throws Failure: an error of the input, or Ctrl-C.
  [[nodiscard]] std::size_t read(std::span<std::byte> into);

  /// A read that returns less than asked then means the end, not that more may come later.
  [[nodiscard]] bool regular_file() const noexcept { return regular_bytes_.has_value(); }
  /// Bytes from here to the end of a regular file.
  [[nodiscard]] std::optional<std::uint64_t> regular_bytes() const noexcept { return regular_bytes_; }
  [[nodiscard]] bool terminal() const noexcept;

 private:
  std::string name_;
  int fd_;
  bool ours_;
  std::optional<std::uint64_t> regular_bytes_;
};

}  // namespace ipcq::cli
