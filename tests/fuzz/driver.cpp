// Driver: runs a fuzz target without libFuzzer. Replays the files that are named, then mutations of them.
//
//   ipcq_fuzz_TARGET [--runs N] [FILE or DIRECTORY]...      IPCQ_TEST_SEED, IPCQ_TEST_SCALE: as in the other tests
//
// An input that crashes, fails or hangs is left in the working directory as crash-TARGET, to be given to it again.
#include <fcntl.h>
#include <sanitizer/common_interface_defs.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "step.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;

constexpr std::size_t kBytesMax = ipcq::fuzz::kStepsMax * sizeof(ipcq::fuzz::Step);
constexpr unsigned kHang_s = 60;

const Input* volatile g_running = nullptr;
std::array<char, 256> g_crash_file{};
std::atomic<std::uint64_t> g_runs{0};
std::uint64_t g_runs_seen = 0;

// In signal handlers too: nothing but system calls.
void keep_input() {
  const Input* input = g_running;
  if (input == nullptr) return;
  const int fd = ::open(g_crash_file.data(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return;
  [[maybe_unused]] ssize_t written = ::write(fd, input->data(), input->size());
  ::close(fd);
  const auto say = [&](const char* text) { written = ::write(STDERR_FILENO, text, std::strlen(text)); };
  say("the input is in ");
  say(g_crash_file.data());
  say("\n");
}

void on_abort(int number) {
  keep_input();
  ::signal(number, SIG_DFL);
  ::raise(number);
}

void on_alarm(int /*number*/) {
  const std::uint64_t runs = g_runs.load(std::memory_order_relaxed);
  if (runs == g_runs_seen) {
    constexpr char kText[] = "ERROR: an execution hangs\n";
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kText, sizeof kText - 1);
    ::abort();
  }
  g_runs_seen = runs;
  ::alarm(kHang_s);
}

void run(const Input& input) {
  g_running = &input;
  LLVMFuzzerTestOneInput(input.data(), input.size());
  g_running = nullptr;
  g_runs.fetch_add(1, std::memory_order_relaxed);
}

void read_files(const char* path, std::vector<Input>& inputs) {
  std::vector<std::filesystem::path> files;
  if (std::filesystem::is_directory(path)) {
    for (const auto& entry : std::filesystem::directory_iterator(path)) files.push_back(entry.path());
  } else {
    files.emplace_back(path);
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    std::ifstream stream(file, std::ios::binary);
    if (!stream) {
      std::fprintf(stderr, "cannot read %s\n", file.c_str());
      std::exit(2);
    }
    inputs.emplace_back(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
  }
}

std::uint64_t number_of(const char* text, const char* what) {
  char* end = nullptr;
  errno = 0;
  const std::uint64_t value = std::strtoull(text, &end, 0);
  if (*text != '\0' && *end == '\0' && errno == 0) return value;
  std::fprintf(stderr, "%s is no number: %s\n", what, text);
  std::exit(2);
}

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == '\0' ? otherwise : number_of(text, name);
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t mutations = 10'000;
  std::vector<Input> inputs;
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--runs" && i + 1 < argc) {
      mutations = number_of(argv[++i], "--runs");
    } else {
      read_files(argv[i], inputs);
    }
  }
  const std::string name = std::filesystem::path(argv[0]).filename();
  std::snprintf(g_crash_file.data(), g_crash_file.size(), "crash-%s", name.c_str());
  ::signal(SIGABRT, &on_abort);
  ::signal(SIGALRM, &on_alarm);
  __sanitizer_set_death_callback(&keep_input);
  ::alarm(kHang_s);

  for (const Input& input : inputs) run(input);
  const std::uint64_t replayed = g_runs.load(std::memory_order_relaxed);

  std::random_device device;
  const std::uint64_t seed = from_environment("IPCQ_TEST_SEED", (std::uint64_t{device()} << 32) | device());
  mutations *= std::max<std::uint64_t>(1, from_environment("IPCQ_TEST_SCALE", 1));
  std::printf("IPCQ_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  inputs.emplace_back();
  std::mt19937_64 random(seed);
  Input input;
  for (std::uint64_t i = 0; i < mutations; ++i) {
    input = inputs[random() % inputs.size()];
    const std::size_t size = std::min(input.size(), kBytesMax);
    input.resize(kBytesMax);
    // A few changes upon each other, so that what no file of the corpus does is done too.
    std::size_t changed = size;
    for (std::uint64_t changes = 1 + random() % 8; changes > 0; --changes) {
      changed = ipcq::fuzz::mutate(input.data(), changed, kBytesMax, static_cast<std::uint32_t>(random()));
    }
    input.resize(changed);
    run(input);
  }
  std::printf("%llu replayed, %llu mutated\n", static_cast<unsigned long long>(replayed),
              static_cast<unsigned long long>(mutations));
  return 0;
}
