// ipcqd: the watchdog. Reads its options, and turns whatever ended it into an exit code and a line of words.
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <boost/program_options.hpp>
#include <cstdio>
#include <exception>
#include <ipcq/admin.hpp>
#include <sstream>
#include <string>

#include "instance.hpp"
#include "journal.hpp"
#include "policy.hpp"
#include "service.hpp"
#include "watchdog.hpp"

namespace ipcq::daemon {
namespace {

// Part of the program's interface: docs/operations.md.
constexpr int kStopped = 0;
constexpr int kError = 1;
constexpr int kUsage = 2;
constexpr int kAnotherInstance = 8;

struct Options {
  std::string directory;
  std::string config;
  bool check_config = false;
  bool once = false;
  bool verbose = false;
  bool help = false;
  bool version = false;
};

boost::program_options::options_description described(Options& options) {
  namespace po = boost::program_options;
  po::options_description all("options");
  all.add_options()  //
      ("dir", po::value(&options.directory)->value_name("DIR"), "the queues' directory (IPCQ_DIR, else /dev/shm)")(
          "config", po::value(&options.config)->value_name("FILE"), "the policy, a TOML file; read again at SIGHUP")(
          "check-config", po::bool_switch(&options.check_config), "only say whether the policy can be used")(
          "once", po::bool_switch(&options.once), "one pass over all queues, then end")(
          "verbose", po::bool_switch(&options.verbose), "say too why a queue is kept, and which are watched")(
          "help,h", po::bool_switch(&options.help), "this")("version", po::bool_switch(&options.version), "the version");
  return all;
}

// Each queue takes a descriptor, and each process.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

int check(const Options& options) {
  if (options.config.empty()) {
    say(Level::error, "--check-config: which? say --config FILE");
    return kUsage;
  }
  const Policy policy(options.config);
  std::printf("%s: %zu rules\n", options.config.c_str(), policy.rules());
  return kStopped;
}

int watch(const Options& options) {
  const std::string directory = resolve_directory(options.directory);
  const ServiceManager manager;
  const InstanceLock lock(directory);
  raise_descriptor_limit();
  Watchdog watchdog(directory, options.config);
  if (options.once) {
    watchdog.once();
  } else {
    watchdog.run(manager);
  }
  return kStopped;
}

int run(int argc, char** argv) {
  namespace po = boost::program_options;
  Options options;
  const po::options_description all = described(options);
  try {
    po::variables_map values;
    const po::positional_options_description none;
    po::store(po::command_line_parser(argc, argv).options(all).positional(none).run(), values);
    po::notify(values);
  } catch (const po::error& error) {
    say(Level::error, std::string(error.what()) + "; see ipcqd --help");
    return kUsage;
  }
  if (options.help) {
    std::printf(
        "usage: ipcqd [options]\n\nThe watchdog of ipcq queues: recovers what dead processes left as soon as they are "
        "dead,\nand removes ephemeral queues that nobody needs. Queues work without it.\n\n");
    std::printf("%s", (std::ostringstream() << all).str().c_str());
    return kStopped;
  }
  if (options.version) {
    std::printf("ipcqd " IPCQ_VERSION "\n");
    return kStopped;
  }
  set_verbose(options.verbose);
  try {
    return options.check_config ? check(options) : watch(options);
  } catch (const PolicyError& error) {
    say(Level::error, error.what());
    return kUsage;
  } catch (const AnotherInstance& another) {
    say(Level::error, "another ipcqd is at work here" + (another.pid.empty() ? "" : ", pid " + another.pid) + " (" +
                          another.lock_file + " is locked)");
    return kAnotherInstance;
  } catch (const std::exception& error) {
    say(Level::error, error.what());
    return kError;
  }
}

}  // namespace
}  // namespace ipcq::daemon

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  return ipcq::daemon::run(argc, argv);
}
