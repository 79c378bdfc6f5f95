// Whether a segment is whole, by its bytes.
#pragma once

#include "core/view.hpp"

namespace ipcq::sweep {

/// After a death: nothing is there but what verify calls recoverable. Throws Wrong.
void check_mendable(const core::View& view);
/// After recovery, with nobody at work: nothing is left to mend but a dead exclusive owner's name and last count, which
/// wait for his successor; and Z. Throws Wrong.
void check_recovered(const core::View& view);

}  // namespace ipcq::sweep
