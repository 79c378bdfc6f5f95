#include "corpus.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <stdexcept>
#include <system_error>

#include "word_count.hpp"

namespace demo {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void throw_errno(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// Regular files under `root`, by path: the same machine gives the same corpus. What can't be listed is passed over.
std::vector<File> list_files(const fs::path& root) {
  std::vector<File> files;
  std::error_code ignored;
  const auto add = [&](const fs::directory_entry& entry) {
    std::error_code failed;
    if (!fs::is_regular_file(entry.symlink_status(failed)) || failed) return;
    const std::uint64_t bytes = entry.file_size(failed);
    if (!failed && bytes > 0) files.push_back({entry.path().string(), bytes});
  };
  if (!fs::is_directory(root, ignored)) {
    add(fs::directory_entry(root, ignored));
    return files;
  }
  fs::recursive_directory_iterator entries(root, fs::directory_options::skip_permission_denied, ignored);
  for (; !ignored && entries != fs::recursive_directory_iterator(); entries.increment(ignored)) add(*entries);
  std::sort(files.begin(), files.end(), [](const File& a, const File& b) { return a.path < b.path; });
  return files;
}

}  // namespace

MappedFile::MappedFile(const File& file) {
  const UniqueFd fd(open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) throw_errno(file.path);
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) throw_errno(file.path);
  if (static_cast<std::uint64_t>(status.st_size) != file.bytes) {
    throw std::runtime_error(file.path + " changed while the demo ran; run it again");
  }
  void* const at = mmap(nullptr, file.bytes, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd.get(), 0);
  if (at == MAP_FAILED) throw_errno(file.path);
  text_ = {static_cast<const char*>(at), file.bytes};
}

MappedFile::~MappedFile() {
  if (!text_.empty()) munmap(const_cast<char*>(text_.data()), text_.size());
}

std::vector<std::string> default_roots() {
  std::vector<std::string> roots{"/usr/share/common-licenses", "/var/lib/dpkg"};
  std::error_code ignored;
  for (const fs::directory_entry& package : fs::directory_iterator("/usr/share/doc", ignored)) {
    roots.push_back((package.path() / "copyright").string());
  }
  std::sort(roots.begin(), roots.end());
  return roots;
}

Corpus find_corpus(const std::vector<std::string>& roots, std::uint64_t bytes, std::size_t message_bytes) {
  Corpus corpus;
  for (const std::string& root : roots) {
    for (File& file : list_files(root)) {
      if (corpus.bytes >= bytes) return corpus;
      bool usable = false;
      try {
        usable = is_text(MappedFile(file).text(), message_bytes);
      } catch (const std::runtime_error&) {  // not readable, or being written just now
      }
      if (usable) {
        corpus.bytes += file.bytes;
        corpus.files.push_back(std::move(file));
      } else {
        ++corpus.left_out;
      }
    }
  }
  return corpus;
}

Items first_items(const Corpus& corpus, std::uint64_t bytes) {
  if (corpus.bytes == 0) return {};
  const std::uint64_t rounds = bytes / corpus.bytes;
  Items items{.count = rounds * corpus.files.size(), .bytes = rounds * corpus.bytes};
  for (const File& file : corpus.files) {
    if (items.bytes >= bytes) break;
    ++items.count;
    items.bytes += file.bytes;
  }
  return items;
}

// One file: its size in decimal, a space, its path, a NUL (no path has one).
UniqueFd write_list(const std::vector<File>& files) {
  std::string list;
  for (const File& file : files) list.append(std::to_string(file.bytes)).append(" ").append(file.path).push_back('\0');
  UniqueFd fd(memfd_create("ipcq-demo files", 0));  // not close-on-exec: made to be inherited
  if (fd.get() < 0) throw_errno("memfd_create");
  for (std::size_t done = 0; done < list.size();) {
    const ssize_t written = write(fd.get(), list.data() + done, list.size() - done);
    if (written < 0) throw_errno("writing the list of files");
    done += static_cast<std::size_t>(written);
  }
  return fd;
}

std::vector<File> read_list(int fd) {
  std::string list;
  char part[64 * 1024];
  for (off_t at = 0;;) {
    const ssize_t got = pread(fd, part, sizeof(part), at);
    if (got < 0) throw_errno("reading the list of files");
    if (got == 0) break;
    list.append(part, static_cast<std::size_t>(got));
    at += got;
  }
  std::vector<File> files;
  for (std::string_view rest = list; !rest.empty();) {
    const std::string_view entry = rest.substr(0, rest.find('\0'));
    const std::size_t space = entry.find(' ');
    File file;
    std::from_chars(entry.data(), entry.data() + entry.size(), file.bytes);
    file.path = entry.substr(space + 1);
    files.push_back(std::move(file));
    rest.remove_prefix(entry.size() + 1);
  }
  return files;
}

}  // namespace demo
