// Names of queues and groups: the grammar, and the file a name means.
#include "api/names.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>

#include "ipcq/admin.hpp"

namespace ipcq::unit {
namespace {

TEST(Names, OfLettersDigitsUnderscoresDotsAndDashesAreValid) {
  for (const char* name : {"a", "Z", "0", "_", "orders", "a.b-c_d", "9lives", "a.", "a-", "a..b"}) {
    EXPECT_TRUE(is_valid_name(name)) << name;
  }
  EXPECT_TRUE(is_valid_name(std::string(64, 'x')));
}

TEST(Names, OutsideTheGrammarAreNotValid) {
  for (const char* name :
       {"", ".", "..", ".hidden", "-option", "a/b", "/", "a b", "a\n", "ä", "a:b", "a*", "a\\b", "\x7f"}) {
    EXPECT_FALSE(is_valid_name(name)) << name;
  }
  EXPECT_FALSE(is_valid_name(std::string(65, 'x')));
  EXPECT_FALSE(is_valid_name(std::string("a\0b", 3)));
}

TEST(Names, EveryByteIsInTheGrammarOrNot) {
  const std::string letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const bool letter = letters.find(c) != std::string::npos;
    EXPECT_EQ(is_valid_name(std::string(1, c)), letter) << "first, byte " << byte;
    EXPECT_EQ(is_valid_name(std::string("a") + c), letter || c == '.' || c == '-') << "later, byte " << byte;
  }
}

TEST(Names, MeanAFileOfTheDirectory) {
  EXPECT_EQ(detail::path_of("/dir", "orders"), "/dir/ipcq.orders");
  EXPECT_EQ(detail::path_of("/dir/", "orders"), "/dir/ipcq.orders");
}

TEST(Names, ThatAreNotValidAreShownWithoutTheirControlBytes) {
  try {
    static_cast<void>(detail::path_of("/dir", "bad\nname\x1b[31m"));
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::invalid_name);
    const std::string text = error.what();
    EXPECT_EQ(text.find('\n'), std::string::npos);
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
    EXPECT_NE(text.find("bad?name"), std::string::npos);
  }
}

TEST(Names, TheDirectoryIsTheOneSaidElseTheEnvironmentsElseDevShm) {
  const char* before = ::getenv("IPCQ_DIR");
  const std::string kept = before == nullptr ? "" : before;
  ::setenv("IPCQ_DIR", "/from/environment", 1);
  EXPECT_EQ(resolve_directory("/said"), "/said");
  EXPECT_EQ(resolve_directory(""), "/from/environment");
  ::setenv("IPCQ_DIR", "", 1);
  EXPECT_EQ(resolve_directory(""), "/dev/shm");
  ::unsetenv("IPCQ_DIR");
  EXPECT_EQ(resolve_directory(""), "/dev/shm");
  if (before != nullptr) ::setenv("IPCQ_DIR", kept.c_str(), 1);
}

TEST(Names, SizesAreShownInTheUnitThatFits) {
  EXPECT_EQ(detail::size_text(0), "0 bytes");
  EXPECT_EQ(detail::size_text(1023), "1023 bytes");
  EXPECT_EQ(detail::size_text(65536), "64 KiB");
  EXPECT_EQ(detail::size_text(3 << 19), "1.5 MiB");
  EXPECT_EQ(detail::size_text(std::uint64_t{1} << 63), "8192 PiB");
}

}  // namespace
}  // namespace ipcq::unit
