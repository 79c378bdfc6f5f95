#include "system_calls.hpp"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

// The one place from which a counted thread's calls are let through: the filter knows it by its address.
extern "C" long ipcq_counted_call(long number, long a, long b, long c, long d, long e, long f);
extern "C" const char ipcq_counted_call_end[];
asm(R"(
  .text
  .global ipcq_counted_call
  .type ipcq_counted_call, @function
ipcq_counted_call:
  mov %rdi, %rax
  mov %rsi, %rdi
  mov %rdx, %rsi
  mov %rcx, %rdx
  mov %r8, %r10
  mov %r9, %r8
  mov 8(%rsp), %r9
  syscall
  .global ipcq_counted_call_end
ipcq_counted_call_end:
  ret
  .size ipcq_counted_call, . - ipcq_counted_call
)");

namespace ipcq::support {
namespace {

constexpr std::size_t kNumbers = 1024;
std::array<std::atomic<std::uint32_t>, kNumbers> counted;
std::atomic<bool> counting{false};

void on_counted_call(int /*signal*/, siginfo_t* info, void* context) {
  const int saved = errno;
  const auto number = static_cast<std::size_t>(info->si_syscall);
  if (counting.load() && number < kNumbers) counted[number].fetch_add(1);
  greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  registers[REG_RAX] = ipcq_counted_call(info->si_syscall, registers[REG_RDI], registers[REG_RSI], registers[REG_RDX],
                                         registers[REG_R10], registers[REG_R8], registers[REG_R9]);
  errno = saved;
}

void install(const std::vector<sock_filter>& filter) {
  const sock_fprog program = {static_cast<unsigned short>(filter.size()), const_cast<sock_filter*>(filter.data())};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
    throw std::system_error(errno, std::generic_category(), "seccomp");
}

constexpr auto kNumberAt = static_cast<std::uint32_t>(offsetof(seccomp_data, nr));
constexpr auto kFromAt = static_cast<std::uint32_t>(offsetof(seccomp_data, instruction_pointer));

void count_calls_of_this_thread() {
  const auto from = reinterpret_cast<std::uintptr_t>(ipcq_counted_call_end);
  std::vector<sock_filter> filter{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kNumberAt)};
  // The way back from a handler; and what a thread does at its end, when its signals are blocked and none could be counted.
  for (const int number : {SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_madvise, SYS_exit}) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  filter.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kFromAt));
  filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(from), 0, 3));
  filter.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kFromAt + 4));
  filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(from >> 32), 0, 1));
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP));
  install(filter);
}

}  // namespace

std::map<int, std::uint32_t> count_system_calls(const std::function<void()>& call) {
  struct sigaction action {};
  action.sa_sigaction = on_counted_call;
  action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART;
  struct sigaction before {};
  if (sigaction(SIGSYS, &action, &before) != 0) throw std::system_error(errno, std::generic_category(), "sigaction");
  for (auto& count : counted) count = 0;
  std::exception_ptr thrown;
  std::thread thread([&] {
    try {
      count_calls_of_this_thread();
      counting = true;
      call();
    } catch (...) {
      thrown = std::current_exception();
    }
    counting = false;
  });
  thread.join();
  sigaction(SIGSYS, &before, nullptr);
  if (thrown != nullptr) std::rethrow_exception(thrown);
  std::map<int, std::uint32_t> calls;
  for (std::size_t number = 0; number < kNumbers; ++number) {
    if (counted[number] != 0) calls[static_cast<int>(number)] = counted[number];
  }
  return calls;
}

void refuse_system_calls(std::initializer_list<int> numbers, int error) {
  std::vector<sock_filter> filter{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kNumberAt)};
  for (const int number : numbers) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error)));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  install(filter);
}

}  // namespace ipcq::support
