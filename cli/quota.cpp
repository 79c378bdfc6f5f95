// ipcq quota: how fast producers may send.
#include <array>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "arguments.hpp"
#include "ipcq/admin.hpp"
#include "ipcq/queue.hpp"
#include "output.hpp"
#include "people.hpp"
#include "queue_json.hpp"
#include "queues.hpp"
#include "quota_spec.hpp"
#include "units.hpp"
#include "verb.hpp"

namespace ipcq::cli {
namespace {

constexpr std::array kOptions{
    kRateOption,
    kByteRateOption,
    kBurstOption,
    kByteBurstOption,
    Option{"uid", "UID|USER", "all producers of this user together, instead of all of the queue"},
    Option{"producer", "ROW", "the producer attached in this row, until it detaches (ipcq stat tells rows)"},
    Option{"each-producer", nullptr, "every producer by itself"},
    Option{"source", "SOURCE", "set and clear: whose limit: operator (the default), creator or policy"},
};

std::optional<QuotaScope> scope_of(const Arguments& arguments) {
  std::optional<QuotaScope> scope;
  const auto choose = [&](const QuotaScope& one) {
    if (scope) throw UsageError("--uid, --producer and --each-producer exclude each other");
    scope = one;
  };
  if (const auto text = arguments.value("uid")) choose(QuotaScope::user(parse_user("--uid", *text)));
  if (const auto text = arguments.value("producer")) {
    choose(QuotaScope::producer(static_cast<std::uint32_t>(parse_number("--producer", *text, 0, 254))));
  }
  if (arguments.has("each-producer")) choose(QuotaScope::each_producer());
  return scope;
}

QuotaSource source_of(const Arguments& arguments) {
  const auto text = arguments.value("source");
  if (!text) return QuotaSource::operator_;
  return parse_choice<QuotaSource>(
      "--source", *text,
      {{"operator", QuotaSource::operator_}, {"creator", QuotaSource::creator}, {"policy", QuotaSource::policy}});
}

Exit set(const Arguments& arguments, const std::string& name, const Quota& quota) {
  Arguments::check_name("queue", name);
  const QuotaScope scope = scope_of(arguments).value_or(QuotaScope::queue());
  const QuotaSource source = source_of(arguments);
  require_owner(queue_path(arguments, name), name, "set its quotas");
  try {
    set_quota(name, scope, source, quota, open_options(arguments));
  } catch (const Error& error) {
    throw to_failure(error, arguments, name);
  }
  return Exit::done;
}

std::string quotas_table(const std::vector<QuotaInfo>& quotas) {
  Table table({{"WHO"}, {"SET BY"}, {"LIMIT"}});
  for (const QuotaInfo& info : quotas) {
    const std::string who = scope_text(info.scope);
    for (const QuotaSource source : kQuotaSources) {
      const std::string text = quota_text(info.limit(source));
      table.add({who, to_string(source), text.empty() ? "-" : text});
    }
    const std::string holds = quota_text(info.holds);
    table.add({who, "holds", holds.empty() ? "no limit" : holds}, Style::bold);
  }
  return table.text();
}

Exit get(const Arguments& arguments, const std::string& name) {
  Arguments::check_name("queue", name);
  std::vector<QuotaInfo> quotas;
  if (const std::optional<QuotaScope> scope = scope_of(arguments)) {
    try {
      quotas.push_back(get_quota(name, *scope, open_options(arguments)));
    } catch (const Error& error) {
      throw to_failure(error, arguments, name);
    }
  } else {
    quotas = inspect_queue(arguments, name).quotas;
  }
  if (arguments.json()) {
    Json json;
    json["version"] = kJsonVersion;
    json["name"] = name;
    json["quotas"] = Json::array();
    for (const QuotaInfo& info : quotas) json["quotas"].push_back(quota_json(info));
    print_json(json);
    return Exit::done;
  }
  if (quotas.empty()) {
    note("queue '" + name + "' has no quotas");
  } else {
    print(quotas_table(quotas));
  }
  return Exit::done;
}

Exit run(const Arguments& arguments) {
  const std::vector<std::string>& words = arguments.names();
  if (words.empty()) throw UsageError("quota: say set, get or clear");
  const std::string& deed = words[0];
  if (deed != "set" && deed != "get" && deed != "clear") {
    throw UsageError("there is no 'quota " + deed + "': say set, get or clear");
  }
  if (words.size() < 2) throw UsageError("quota " + deed + ": the queue is missing");
  const Quota quota = quota_of(arguments);
  if (deed == "set") {
    if (!quota.limits()) throw UsageError("quota set: say --rate, --byte-rate or both");
    return set(arguments, words[1], quota);
  }
  if (quota.limits()) throw UsageError("--rate and --byte-rate are for 'quota set'");
  if (deed == "clear") return set(arguments, words[1], {});
  if (arguments.has("source")) throw UsageError("--source is for 'quota set' and 'quota clear': get shows all three");
  return get(arguments, words[1]);
}

constexpr Verb kVerb{
    .rank = 7,
    .name = "quota",
    .usage = "set NAME --rate N/UNIT [options] | get NAME [options] | clear NAME [options]",
    .summary = "limit how fast producers may send, show the limits, take them away",
    .details =
        "A limit binds all producers together, or those of a user (--uid), each one (--each-producer), or one\n"
        "(--producer ROW). A producer is bound by all that apply to it. 'set' replaces what the operator said of\n"
        "that scope before; what the creator and a watchdog's policy say is kept apart, and the lowest holds.\n"
        "'get' shows all three and what holds. Who waits is told at once. Setting and clearing is for the\n"
        "queue's owner and root.\n",
    .example =
        "  ipcq quota set orders --rate 1000/s --burst 50\n"
        "  ipcq quota set orders --each-producer --byte-rate 10M/s\n"
        "  ipcq quota get orders\n"
        "  ipcq quota clear orders\n",
    .names_min = 0,
    .names_max = 2,
    .options = kOptions,
    .run = run,
};
const Registration kRegistration(kVerb);

}  // namespace
}  // namespace ipcq::cli
