// All of the public interface.
#pragma once

#include "ipcq/admin.hpp"        // IWYU pragma: export
#include "ipcq/audit.hpp"        // IWYU pragma: export
#include "ipcq/consumer.hpp"     // IWYU pragma: export
#include "ipcq/dead_letter.hpp"  // IWYU pragma: export
#include "ipcq/deadline.hpp"     // IWYU pragma: export
#include "ipcq/error.hpp"        // IWYU pragma: export
#include "ipcq/options.hpp"      // IWYU pragma: export
#include "ipcq/producer.hpp"     // IWYU pragma: export
#include "ipcq/queue.hpp"        // IWYU pragma: export
#include "ipcq/quota.hpp"        // IWYU pragma: export
#include "ipcq/repair.hpp"       // IWYU pragma: export
#include "ipcq/wait_set.hpp"     // IWYU pragma: export
#include "ipcq/watch.hpp"        // IWYU pragma: export
