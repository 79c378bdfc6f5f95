// Ctrl-C and its relatives.
#pragma once

namespace demo {

/// From now on SIGINT, SIGTERM and SIGHUP end no process by themselves, but are noted.
void catch_interrupts();

struct Interrupted {};
/// Throws Interrupted if one has come.
void throw_if_interrupted();

}  // namespace demo
