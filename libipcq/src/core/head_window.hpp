// HeadWindow: one head, writable for the moment.
#pragma once

#include <optional>

#include "core/view.hpp"
#include "ipcq/detail/record.hpp"
#include "os/mapping.hpp"

namespace ipcq::core {

/// Recovery, and only recovery, writes heads from a process whose view of the data is read-only: through a window of one
/// page, opened before the mutex is taken where the position is known by then. (A head never straddles pages: positions are multiples of 16.)
class HeadWindow {
 public:
  HeadWindow(const View& view, std::uint64_t position) noexcept {
    if ((position & (sizeof(detail::RecordHeader) - 1)) != 0) return;  // damage, and the head might straddle pages
    const std::uint64_t offset = position & view.mask;
    if (view.data_writable != nullptr) {
      record_ = reinterpret_cast<detail::RecordHeader*>(view.data_writable + offset);
    } else if (view.data_dormant != nullptr) {
      page_.emplace(view.data_dormant + offset);
      record_ = reinterpret_cast<detail::RecordHeader*>(page_->at());
    }
  }
  [[nodiscard]] explicit operator bool() const noexcept { return record_ != nullptr; }
  [[nodiscard]] std::atomic<std::uint64_t>& head() const noexcept { return record_->head; }

 private:
  std::optional<os::PageWindow> page_;
  detail::RecordHeader* record_ = nullptr;
};

}  // namespace ipcq::core
