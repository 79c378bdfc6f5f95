#include "queue_file.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "layout/format.hpp"

namespace ipcq::fuzz {
namespace {

constexpr std::size_t kHeaderBytes = layout::kSideOffset;

std::string make_directory() {
  std::string path = resolve_directory({}) + "/fuzz-XXXXXX";
  expect(::mkdtemp(path.data()) != nullptr, "no directory for the queue");
  return path;
}

}  // namespace

QueueFile::QueueFile() : directory_(make_directory()), path_(directory_ + "/ipcq." + kName) {
  CreateOptions options;
  options.capacity_bytes = 64 * 1024;
  options.groups = {{.name = "default"}, {.name = "alone", .consumers = ConsumerMode::exclusive}};
  options.endpoints_max = 16;
  options.groups_max = 2;
  options.ledger_entries = 8;
  options.directory = directory_;
  {
    const Queue queue = Queue::create(kName, options);
    Producer producer = queue.producer();
    Consumer first = queue.consumer();
    Consumer alone = queue.consumer("alone");
    // Over the ring's end: all but the last few messages are drained.
    const std::string large(15 * 1024, 'x');
    const auto send = [&](std::string_view text) { expect(producer.send(text, 7, now) == Outcome::ok, "no message"); };
    std::string got;
    for (int i = 0; i < 4; ++i) {
      send(large);
      expect(first.receive(got, now) == Outcome::ok && alone.receive(got, now) == Outcome::ok, "no drain");
    }
    for (const std::size_t bytes : {1000U, 1500U, 1400U, 0U, 8U, 100U, 24U, 200U, 1U, 64U, 500U, 16U}) {
      send({large.data(), bytes});
    }
    Claim aborted = producer.claim({.bytes = 256}, now);
    expect(aborted.abort() == Outcome::ok, "no abort");
    send("behind what is skipped");
    Lease leased = first.lease({.max_messages = 2, .deadline = now});
    Lease back = first.lease({.max_messages = 3, .deadline = now});
    expect(back.requeue() == Outcome::ok && leased.ack(1, now) == Outcome::ok, "no lease");
    for (std::uint64_t at = 0; const Message& message : first.lease({.deadline = now})) {
      positions_.push_back(at = message.position);
    }
  }
  fd_ = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
  map();
  seal();
}

QueueFile::~QueueFile() {
  unmap();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void QueueFile::map() {
  struct stat info {};
  expect(fd_ >= 0 && ::fstat(fd_, &info) == 0, "the queue's file cannot be opened");
  const auto size = static_cast<std::size_t>(info.st_size);
  void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  expect(at != MAP_FAILED, "the queue's file cannot be mapped");
  bytes_ = static_cast<std::byte*>(at);
  core::View view;
  view.control = bytes_;
  const layout::Header& header = view.header();
  view.set_ring(header.capacity, header.alignment);
  view.control_bytes = header.control_bytes;
  view.rows_offset = header.rows_offset;
  view.groups_offset = header.groups_offset;
  view.group_stride = header.group_stride;
  view.endpoints_max = header.endpoints_max;
  view.groups_max = header.groups_max;
  view.ledger_entries = header.ledger_entries;
  view.data_writable = bytes_ + header.control_bytes;
  view.data = view.data_writable;
  if (positions_.empty()) positions_.push_back(0);
  std::vector<std::uint64_t> positions = positions_;
  positions.push_back(view.side().claim.claim_position.load());
  editor_.emplace(view, 0, std::move(positions));
}

void QueueFile::unmap() noexcept {
  if (bytes_ != nullptr) ::munmap(bytes_, sound_.size());
  if (fd_ >= 0) ::close(fd_);
  bytes_ = nullptr;
  fd_ = -1;
}

void QueueFile::seal() {
  struct stat info {};
  expect(::fstat(fd_, &info) == 0, "the queue's file cannot be looked at");
  sound_.assign(bytes_, bytes_ + info.st_size);
}

void QueueFile::restore() {
  struct stat info {};
  expect(::fstat(fd_, &info) == 0, "the queue's file cannot be looked at");
  if (info.st_nlink == 0) {  // an edit marked it as removed, and somebody finished that
    unmap();
    fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    expect(fd_ >= 0 && ::write(fd_, sound_.data(), sound_.size()) == static_cast<ssize_t>(sound_.size()),
           "the queue's file cannot be made again");
    map();
    return;
  }
  if (static_cast<std::size_t>(info.st_size) != sound_.size()) resize(sound_.size());
  std::memcpy(bytes_, sound_.data(), sound_.size());
}

void QueueFile::edit_header(const Step& step) noexcept {
  const std::size_t width = std::size_t{1} << (step.how & 3U);
  const std::size_t at = (step.number ^ step.where * 8U) % kHeaderBytes / width * width;
  std::memcpy(bytes_ + at, &step.value, width);
}

void QueueFile::resize(std::uint64_t bytes) noexcept {
  expect(::ftruncate(fd_, static_cast<off_t>(bytes)) == 0, "the queue's file cannot be cut");
}

void QueueFile::expect_unlocked() const noexcept {
  for (std::uint32_t i = 0; i < editor_->mutexes(); ++i) {
    expect(editor_->mutex(i).holder() == 0, "a call returned with a mutex held");
  }
}

}  // namespace ipcq::fuzz
