#include "api/frozen.hpp"

#include <system_error>

#include "api/names.hpp"
#include "ipcq/admin.hpp"
#include "ipcq/queue.hpp"
#include "os/life_lock.hpp"

namespace ipcq {
namespace detail {

std::uint32_t count_living(int fd, const layout::HeaderCopy& header) noexcept {
  std::uint32_t living = 0;
  for (std::uint32_t i = 0; i < header.life_count; ++i) {
    living += os::probe_byte(fd, header.life_begin + i) == os::ByteState::held ? 1U : 0U;
  }
  return living;
}

FrozenMapping::FrozenMapping(const Place& place, const OpenedFile& file) try
    : mapping_(os::page_bytes(), os::page_bytes()),
      header_(reinterpret_cast<layout::FrozenHeader*>(mapping_.map_control(file.fd.get(), true))) {
} catch (const std::system_error& error) {
  fail(Errc::system, place.name, place.path, "its header cannot be mapped", "check the address space limit (ulimit -v)",
       error.code().value());
}

}  // namespace detail

void close_queue(std::string_view name, const OpenOptions& options) {
  try {
    Queue::open(name, options).close();
    return;
  } catch (const Error& error) {
    if (!detail::only_frozen_usable(error.errc())) throw;
  }
  const detail::Place place = detail::place_of(name, options.directory);
  const detail::OpenedFile file =
      detail::open_file(place, detail::Access::read_write, detail::Depth::frozen, options.trusted_owners);
  // One store (die before or after): whoever uses the queue meets the flag and does the rest of closing by its own rules.
  detail::FrozenMapping(place, file).add_flags(layout::flag::kClosed);
}

}  // namespace ipcq
