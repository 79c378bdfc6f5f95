#include "arguments.hpp"

#include <algorithm>
#include <array>
#include <boost/program_options.hpp>
#include <functional>
#include <iterator>
#include <limits>
#include <sstream>
#include <utility>

#include "ipcq/admin.hpp"
#include "output.hpp"
#include "people.hpp"
#include "units.hpp"

namespace ipcq::cli {
namespace {

namespace po = boost::program_options;

constexpr std::array kGlobalOptions{
    Option{"dir", "DIR", "directory of the queues; else the environment's IPCQ_DIR, else /dev/shm"},
    Option{"trust", "UID|USER", "accept this owner's queues where others can write to the directory; repeatable", true},
    Option{"json", nullptr, "report as JSON"},
    Option{"quiet,q", nullptr, "no notes and no progress, only errors"},
    Option{"color", "WHEN", "auto (the default), always or never"},
    Option{"help,h", nullptr, "this help"},
};
// Only without a verb.
constexpr std::array kVersionOption{Option{"version", nullptr, "the program's version"}};

// Not a name anybody types: what Boost files the words under that are no options.
constexpr const char* kNames = "<names>";

po::options_description describe(std::span<const Option> options, const std::string& caption) {
  constexpr unsigned kWidth = 110;
  constexpr unsigned kHelpWidth = 70;
  po::options_description description(caption, kWidth, kHelpWidth);
  for (const Option& option : options) {
    if (option.value == nullptr) {
      description.add_options()(option.name, option.help);
    } else if (option.repeatable) {
      description.add_options()(option.name, po::value<std::vector<std::string>>()->value_name(option.value),
                                option.help);
    } else {
      description.add_options()(option.name, po::value<std::string>()->value_name(option.value), option.help);
    }
  }
  return description;
}

/// The global option that `word` ("--dir", "--dir=x", "-q") names, or null.
const Option* global_option(std::string_view word) {
  const std::string_view name = word.substr(0, word.find('='));
  for (const Option& option : kGlobalOptions) {
    const std::string_view both = option.name;
    const std::size_t comma = both.find(',');
    if (name == "--" + std::string(both.substr(0, comma))) return &option;
    if (comma != std::string_view::npos && word == "-" + std::string(both.substr(comma + 1))) return &option;
  }
  return nullptr;
}

UsageError unknown_option(const std::string& word, std::span<const Option> more) {
  std::vector<std::string> names;
  const auto add = [&](const Option& option) {
    if (option.name[0] != ',') names.push_back("--" + std::string(option.key()));
  };
  std::for_each(more.begin(), more.end(), add);
  std::for_each(kGlobalOptions.begin(), kGlobalOptions.end(), add);
  const std::vector<std::string_view> views(names.begin(), names.end());
  const std::string typed = word.substr(0, word.find('='));
  const std::string_view best = nearest(typed, views);
  std::vector<std::string> hints;
  if (!best.empty()) hints.push_back("did you mean '" + std::string(best) + "'?");
  return UsageError("there is no option '" + typed + "'", hints);
}

/// Boost gives each option's value as text or as a list of texts; here always a list.
std::vector<std::string> values_of(const po::variable_value& value) {
  if (value.value().type() == typeid(std::string)) return {value.as<std::string>()};
  if (value.value().type() == typeid(std::vector<std::string>)) return value.as<std::vector<std::string>>();
  return {};
}

po::variables_map parse(const Verb& verb, const std::vector<std::string>& words) {
  po::options_description all;
  all.add(describe(verb.options, "")).add(describe(kGlobalOptions, ""));
  all.add_options()(kNames, po::value<std::vector<std::string>>());
  po::positional_options_description positional;
  positional.add(kNames, -1);
  po::variables_map map;
  try {
    // No guessing: an abbreviation that works today means something else, or nothing, when an option is added.
    constexpr int kStyle = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
    po::store(po::command_line_parser(words).options(all).positional(positional).style(kStyle).run(), map);
  } catch (const po::unknown_option& error) {
    throw unknown_option(error.get_option_name(), verb.options);
  } catch (const po::error& error) {
    throw UsageError(error.what());
  }
  return map;
}

}  // namespace

CommandLine split_command_line(const std::vector<std::string>& words) {
  CommandLine line;
  std::size_t i = 0;
  for (; i < words.size() && words[i].starts_with('-'); ++i) {
    const std::string& word = words[i];
    if (word == "--version") {
      line.version = true;
      continue;
    }
    const Option* option = global_option(word);
    if (option == nullptr) throw unknown_option(word, {});
    if (option->key() == "help") line.help = true;
    line.words.push_back(word);
    if (option->value != nullptr && word.find('=') == std::string::npos) {
      if (++i == words.size()) throw UsageError("'" + word + "' lacks its value " + option->value);
      line.words.push_back(words[i]);
    }
  }
  if (i < words.size()) line.verb = words[i++];
  line.words.insert(line.words.end(), words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
  return line;
}

Arguments::Arguments(const Verb& verb, const std::vector<std::string>& words) {
  for (const auto& [name, value] : parse(verb, words)) {
    // A short option without a long name is filed by Boost as "-0".
    values_.emplace(name.starts_with('-') ? name.substr(1) : name, values_of(value));
  }
  names_ = values(kNames);
  if (help()) return;

  if (names_.size() < verb.names_min) {
    const std::string usage = verb.usage;
    throw UsageError(usage.substr(0, usage.find_first_of(" .")) + " is missing");
  }
  if (names_.size() > verb.names_max) throw UsageError("'" + names_[verb.names_max] + "' is one word too many");

  const std::optional<std::string> directory = value("dir");
  if (directory && directory->empty()) throw UsageError("--dir: the directory has no name");
  directory_ = directory.value_or("");
  for (const std::string& owner : values("trust")) trusted_owners_.push_back(parse_user("--trust", owner));
  set_quiet(has("quiet"));
  set_color(parse_choice<Color>("--color", value("color").value_or("auto"),
                                {{"auto", Color::automatic}, {"always", Color::always}, {"never", Color::never}}));
}

std::optional<std::string> Arguments::value(std::string_view option) const {
  const auto found = values_.find(option);
  if (found == values_.end() || found->second.empty()) return std::nullopt;
  return found->second.front();
}

std::vector<std::string> Arguments::values(std::string_view option) const {
  const auto found = values_.find(option);
  return found == values_.end() ? std::vector<std::string>{} : found->second;
}

void Arguments::check_name(std::string_view what, const std::string& name) {
  if (is_valid_name(name)) return;
  throw UsageError("'" + name + "' is no name of a " + std::string(what) +
                   ": use 1 to 64 letters, digits, '_', '.' and '-', and begin with a letter, a digit or '_'");
}

std::string help_text(const Verb& verb) {
  std::ostringstream text;
  text << "usage: ipcq " << verb.name << " " << verb.usage << "\n\n" << verb.summary << "\n";
  if (*verb.details != '\0') text << "\n" << verb.details;
  if (!verb.options.empty()) text << "\n" << describe(verb.options, "Options");
  text << "\n" << describe(kGlobalOptions, "Global options") << "\nExample:\n" << verb.example;
  return text.str();
}

std::string overview_text() {
  std::ostringstream text;
  text << "usage: ipcq VERB [QUEUE] [options]\n\n"
          "Creates, feeds, drains, inspects and removes shared-memory queues of this host.\n\nVerbs:\n";
  std::vector<std::pair<std::string, std::string>> lines;
  for (const Verb* verb : all_verbs()) lines.emplace_back(verb->name, verb->summary);
  text << labelled(lines, "  ") << "\n"
       << describe(kGlobalOptions, "Global options, before the verb or after it") << "\n"
       << describe(kVersionOption, "Instead of a verb")
       << "\nSizes take K, M, G (2^10 each); durations are 250ms, 5s, 1m30s, 2h, 1d.\n"
          "'ipcq VERB --help' tells all about one verb, with an example.\n"
          "\nExit codes: 0 done, 1 error at run time, 2 usage, 3 no such queue or group, 4 permission or owner,\n"
          "5 nothing came or full in time, 6 damaged or no queue, 7 another layout, C library, machine or namespace,\n"
          "8 exists or in use, 130 Ctrl-C, 141 broken pipe.\n"
          "\nExample:\n"
          "  ipcq create orders\n"
          "  ipcq get orders --follow > copy.log &\n"
          "  ipcq put orders --close < orders.log\n";
  return text.str();
}

}  // namespace ipcq::cli
