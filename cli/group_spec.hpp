// "NAME[,from=oldest|newest][,overflow=…][,consumers=…][,ephemeral]": a group on the command line.
#pragma once

#include <string>
#include <string_view>

#include "ipcq/options.hpp"

namespace ipcq::cli {

/// Throws UsageError. `where`: what the text was given to ("--group", "GROUP").
[[nodiscard]] GroupOptions parse_group(std::string_view where, const std::string& text);

[[nodiscard]] Overflow parse_overflow(std::string_view option, std::string_view text);
[[nodiscard]] ProducerMode parse_producers(std::string_view option, std::string_view text);
[[nodiscard]] ConsumerMode parse_consumers(std::string_view option, std::string_view text);

}  // namespace ipcq::cli
