// Whether a segment is whole, by its bytes.
#pragma once

#include "core/view.hpp"

namespace ipcq::sweep {

/// After a death: nothing is there but what recovery mends. Throws Wrong.
void check_mendable(const core::View& view);
/// After recovery, with nobody at work: nothing is left to mend. Throws Wrong.
void check_recovered(const core::View& view);

}  // namespace ipcq::sweep
