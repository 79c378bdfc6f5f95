// Editor: edits of a segment's shared words and records, as the steps of an input say.
//
// Not edited: the list pointers inside mutexes, which are glibc's own and which unlock() writes through (whoever may write
// a segment is trusted with that, docs/concepts.md), and the words of a mutex but for the mark of a holder's death: with
// any other owner most calls end at a lock that times out, which the target `mutexes` alone tries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/view.hpp"
#include "os/robust_mutex.hpp"
#include "step.hpp"

namespace ipcq::fuzz {

class Editor {
 public:
  /// `view` has a writable ring. Edits of ledger entries go to `group`; `positions` are where records are, and where they end.
  Editor(const core::View& view, std::uint32_t group, std::vector<std::uint64_t> positions);

  void edit(const Step& step) noexcept;
  [[nodiscard]] os::RobustMutex& mutex(std::uint32_t number) const noexcept;
  [[nodiscard]] std::uint32_t mutexes() const noexcept { return 2 + view_.groups_max; }

  /// Set by an edit of what few edits touch and no call under test writes: histograms, quotas.
  bool rare = false;

 private:
  struct Field {
    std::uint32_t offset;
    std::uint32_t bytes;
  };

  [[nodiscard]] std::uint64_t position(std::uint64_t number) const noexcept {
    return positions_[number % positions_.size()];
  }
  [[nodiscard]] core::Owner owner(std::uint64_t number) const noexcept { return owners_[number % 8 % owners_.size()]; }
  void list_fields();
  [[nodiscard]] bool in_a_mutex(std::uint64_t offset, std::uint64_t bytes) const noexcept;
  [[nodiscard]] std::uint64_t value_of(const Step& step, std::uint64_t current) const noexcept;
  void edit_field(const Step& step, const Field& field) noexcept;
  void edit_head(const Step& step) noexcept;
  void edit_entry(const Step& step) noexcept;

  core::View view_;
  std::uint32_t group_;
  std::vector<std::uint64_t> positions_;
  std::vector<core::Owner> owners_;
  std::vector<Field> fields_;
};

}  // namespace ipcq::fuzz
