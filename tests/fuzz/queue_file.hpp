// QueueFile: a real queue in a directory of its own, made once; its bytes are edited and restored under whoever has it open.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ipcq/ipcq.hpp>
#include <optional>
#include <string>
#include <vector>

#include "editor.hpp"

namespace ipcq::fuzz {

class QueueFile {
 public:
  static constexpr const char* kName = "fuzz";

  /// A queue with messages in a shared group, "default", and an exclusive one, "alone", and a row of the dead.
  QueueFile();
  ~QueueFile();
  QueueFile(const QueueFile&) = delete;
  QueueFile& operator=(const QueueFile&) = delete;

  [[nodiscard]] const std::string& directory() const noexcept { return directory_; }
  [[nodiscard]] OpenOptions options() const { return {.directory = directory_}; }
  [[nodiscard]] int fd() const noexcept { return fd_; }

  /// What is there now is what restore() restores.
  void seal();
  /// The sound bytes again, in the sound size; a new file if the name is gone.
  void restore();
  void edit(const Step& step) noexcept { editor_->edit(step); }
  /// Any bytes of the header.
  void edit_header(const Step& step) noexcept;
  void resize(std::uint64_t bytes) noexcept;
  [[nodiscard]] std::uint64_t size() const noexcept { return sound_.size(); }
  void expect_unlocked() const noexcept;

 private:
  void map();
  void unmap() noexcept;

  std::string directory_;
  std::string path_;
  int fd_ = -1;
  std::byte* bytes_ = nullptr;
  std::vector<std::byte> sound_;
  std::vector<std::uint64_t> positions_;
  std::optional<Editor> editor_;
};

}  // namespace ipcq::fuzz
