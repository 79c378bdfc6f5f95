// The input of the demo: text files that the machine has anyway.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unique_fd.hpp"

namespace demo {

/// A file and the size it had when it was chosen. Whoever reads it finds it unchanged or fails.
struct File {
  std::string path;
  std::uint64_t bytes = 0;
};

/// A file mapped for reading. Throws std::system_error if it can't be, std::runtime_error if its size is another now.
class MappedFile {
 public:
  explicit MappedFile(const File& file);
  MappedFile(MappedFile&& other) noexcept : text_(std::exchange(other.text_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(text_, other.text_);
    return *this;
  }
  ~MappedFile();
  [[nodiscard]] std::string_view text() const noexcept { return text_; }

 private:
  std::string_view text_;
};

/// Files to stream, over and over: item i is file i modulo their number.
struct Corpus {
  std::vector<File> files;
  std::uint64_t bytes = 0;     ///< of the files
  std::uint64_t left_out = 0;  ///< files not readable, not text, or with a word longer than a message
};

/// Text files under `roots` (files or folders), by path, until `bytes` are reached. Links are not followed. Reading each
/// once also brings them all into the page cache, so that both counts later start from the same state.
[[nodiscard]] Corpus find_corpus(const std::vector<std::string>& roots, std::uint64_t bytes, std::size_t message_bytes);

/// Package lists and copyright texts, as every Debian machine has them.
[[nodiscard]] std::vector<std::string> default_roots();

/// A number of items and their bytes.
struct Items {
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
};
/// The first items of the corpus, until `bytes` are reached.
[[nodiscard]] Items first_items(const Corpus& corpus, std::uint64_t bytes);

/// Which of `producers` has item i: they take turns from file to file and, for each file, from one time around to the next,
/// so that none has all the large ones.
[[nodiscard]] constexpr std::uint64_t producer_of(std::uint64_t i, std::size_t files, unsigned producers) noexcept {
  return (i % files + i / files) % producers;
}

/// A list of files in memory of its own, to be inherited by the processes that shall read it.
[[nodiscard]] UniqueFd write_list(const std::vector<File>& files);
[[nodiscard]] std::vector<File> read_list(int fd);

}  // namespace demo
