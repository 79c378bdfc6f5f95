#include "options.hpp"

#include <boost/program_options.hpp>
#include <charconv>
#include <sstream>

namespace demo {
namespace {

namespace po = boost::program_options;

[[noreturn]] void usage_error(const std::string& what) { throw po::error(what); }

std::uint64_t parse_size(const std::string& text, const char* option) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  const std::string unit(rest, end);
  const int shift = unit.empty() ? 0 : unit == "K" ? 10 : unit == "M" ? 20 : unit == "G" ? 30 : -1;
  if (error != std::errc() || shift < 0 || value > (std::uint64_t{1} << 40 >> shift)) {
    usage_error(std::string("--") + option + ": '" + text + "' is no size; write a number of bytes or 64K, 8M, 1G");
  }
  return value << shift;
}

void check_range(const char* option, std::uint64_t value, std::uint64_t least, std::uint64_t most) {
  if (value >= least && value <= most) return;
  usage_error(std::string("--") + option + " is " + std::to_string(least) + " to " + std::to_string(most) + ", not " +
              std::to_string(value));
}

void check(const Options& options) {
  check_range("producers", options.producers, 1, 100);
  check_range("consumers", options.consumers, 1, 100);
  check_range("megabytes", options.megabytes, 1, 1'000'000);
  check_range("batch", options.batch, 1, 4096);
  check_range("message", options.message_bytes, 64, 1 << 24);
  check_range("capacity", options.capacity_bytes, 1 << 16, std::uint64_t{1} << 40);
  // Half the ring, so that one batch can be filled while another is read; 32: a record's header and padding.
  if (options.batch * (options.message_bytes + 32) > options.capacity_bytes / 2) {
    usage_error("a batch of " + std::to_string(options.batch) + " messages of " + std::to_string(options.message_bytes) +
                " bytes is more than half the ring; lower --batch or --message, or raise --capacity");
  }
  if (options.exclusive && (options.producers != 1 || options.consumers != 1)) {
    usage_error("--mode exclusive is for one producer and one consumer");
  }
  if (options.kill && options.consumers < 2) usage_error("--kill needs a consumer that stays: --consumers 2 or more");
}

}  // namespace

Options parse_options(int argc, const char* const* argv, std::string& help) {
  Options options;
  std::string mode, capacity, message, part;

  po::options_description shown("Options");
  // clang-format off
  shown.add_options()
      ("help", "show this")
      ("producers", po::value(&options.producers)->default_value(2), "producer processes")
      ("consumers", po::value(&options.consumers)->default_value(2), "consumer processes, all of one group")
      ("megabytes", po::value(&options.megabytes)->default_value(128), "text to stream; files are repeated until it is reached")
      ("capacity", po::value(&capacity)->default_value("8M"), "size of the ring")
      ("batch", po::value(&options.batch)->default_value(64), "messages of a claim, and at most of a lease")
      ("message", po::value(&message)->default_value("4K"), "most bytes of a message; it holds whole lines")
      ("mode", po::value(&mode)->default_value("shared"), "shared, or exclusive: one producer, one consumer, no mutex")
      ("kill", po::bool_switch(&options.kill), "kill -9 a consumer midway; the counts stay exact")
      ("keep", po::bool_switch(&options.keep), "leave the queue behind, drained, for `ipcq stat`")
      ("json", po::bool_switch(&options.json), "print the result as JSON");
  po::options_description hidden;
  hidden.add_options()
      ("part", po::value(&part))
      ("index", po::value(&options.index))
      ("list-fd", po::value(&options.list_fd))
      ("items", po::value(&options.items))
      ("text-queue", po::value(&options.text_queue))
      ("report-queue", po::value(&options.report_queue))
      ("root", po::value(&options.roots));
  // clang-format on
  po::options_description all;
  all.add(shown).add(hidden);

  po::variables_map given;
  po::store(
      po::command_line_parser(argc, argv).options(all).positional(po::positional_options_description().add("root", -1)).run(),
      given);
  po::notify(given);
  if (given.count("help") != 0) {
    std::ostringstream text;
    text << "Usage: ipcq-demo [options] [FILE or FOLDER...]\n\n"
            "Producer processes stream text files through one queue to consumer processes that count words.\n"
            "The counts are checked against a plain count without the queue.\n\n"
         << shown << "\nExit codes: 0 counts agree, 1 they do not or a process failed, 2 usage, 130 interrupted.\n"
         << "Example: ipcq-demo --producers 3 --consumers 2 --megabytes 500 --kill\n";
    help = text.str();
    return options;
  }

  if (mode != "shared" && mode != "exclusive") usage_error("--mode is shared or exclusive, not '" + mode + "'");
  options.exclusive = mode == "exclusive";
  if (options.exclusive && given["producers"].defaulted()) options.producers = 1;
  if (options.exclusive && given["consumers"].defaulted()) options.consumers = 1;
  options.capacity_bytes = parse_size(capacity, "capacity");
  options.message_bytes = parse_size(message, "message");
  if (part == "producer") options.part = Part::producer;
  if (part == "consumer") options.part = Part::consumer;
  if (options.part == Part::parent) check(options);
  return options;
}

}  // namespace demo
