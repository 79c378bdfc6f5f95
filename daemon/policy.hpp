// The policy: what the operator wants for which queues, from a TOML file of [[rule]] tables.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ipcq/quota.hpp>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace ipcq::daemon {

/// what(): "FILE:LINE: what is wrong there".
class PolicyError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What holds for one queue.
struct Settings {
  std::optional<std::chrono::nanoseconds> grace{};  ///< of an ephemeral queue, in place of its own
  bool clean_with_messages = false;                 ///< an ephemeral queue that nobody needs goes with what it holds
  Quota quota{};                                    ///< of all producers together
  Quota producer_quota{};                           ///< of each producer
  std::map<uid_t, Quota> user_quotas{};             ///< of all producers of a user together
  bool report = false;                              ///< audited whatever its limits, and nobody is revoked
};

class Policy {
 public:
  /// No rule.
  Policy() = default;
  /// Throws PolicyError for a file that cannot be read, is no TOML, or says something unknown.
  explicit Policy(const std::string& path);

  [[nodiscard]] std::size_t rules() const noexcept { return rules_.size(); }
  /// All rules that match, later ones over earlier ones.
  [[nodiscard]] Settings for_queue(const std::string& name) const;

 private:
  struct Rule {
    std::string queues;  // as of fnmatch(3)
    std::optional<std::chrono::nanoseconds> grace;
    std::optional<bool> clean_with_messages;
    bool of_users = false;    // the rates are of `uids`, each by itself
    std::vector<uid_t> uids;  // of uids, and of the members of gids
    std::optional<double> rate;
    std::optional<double> byte_rate;
    std::optional<std::uint32_t> burst;
    std::optional<std::uint64_t> byte_burst;
    std::optional<double> producer_rate;
    std::optional<bool> report;
  };
  std::vector<Rule> rules_;
};

/// "1m30s", "500ms", "0": as on the command line. Nothing: it is none.
[[nodiscard]] std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text);
/// Bytes: "4096", "64K", with K, M and G for 2^10, 2^20, 2^30. Nothing: it is none, or 0.
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text);
/// Events a second: "1000/s", "0.5/s", "90/min" or "90/m", "10/h"; with `sizes` also "10M/s", with K, M and G for 2^10, 2^20, 2^30.
[[nodiscard]] std::optional<double> parse_rate(std::string_view text, bool sizes);

}  // namespace ipcq::daemon
